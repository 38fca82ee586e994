"""What the small features of an episode say of its steps: flags and texts. No picture is read.

RLDS (google-research/rlds, "Dataset format"): `is_first` and `is_last` mark the ends of an episode;
with the last step come an observation and no meaningful action. A record is an episode as a rule;
where flags in it say otherwise, it holds several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.rlds import example
from sofdata.video.sequences.rlds.example import StoredFeature

Numbers = NDArray[np.float32] | NDArray[np.int64]
Features = Mapping[str, StoredFeature]


def needed(features: Features, name: str, kind: int) -> StoredFeature:
    """A feature that has to be there. Raises `Unusable` where it is not, or holds other values."""
    found = features.get(name)
    if found is None or not found.kind:
        raise damaged(f"the record has no feature '{name}'")
    if found.kind != kind:
        what = f"holds {example.KINDS[found.kind]}, where features.json has {example.KINDS[kind]}"
        raise damaged(f"the record's feature '{name}' {what}")
    return found


def numbers_of(file: BinaryIO, features: Features, name: str) -> Numbers:
    """All numbers of a feature; none where it is not there. Raises `Unusable` for bytes."""
    found = features.get(name)
    if found is None or not found.kind:
        return np.empty(0, np.float32)
    if found.kind == example.BYTES:
        raise damaged(f"the record's feature '{name}' holds bytes, and should hold numbers")
    return example.numbers(file, found)


@dataclass(frozen=True, slots=True)
class Part:
    """Steps [first, end) of a record that are one episode; the last of them may be marked so."""

    first: int
    end: int
    ends_marked: bool


def parts_of(first: Numbers, last: Numbers, steps: int) -> list[Part]:
    """The episodes of a record by its flags, none of which has to be there.

    A flag that stays set marks one place: the first of such steps begins an episode, or the last
    ends one. Flags that would cut most steps apart are no such flags: the record is one episode.
    """
    starts, ends = first[:steps] != 0, last[:steps] != 0
    begins = {0, *(np.flatnonzero(starts[1:] & ~starts[:-1]) + 1).tolist()}
    begins |= {*(np.flatnonzero(ends[:-1] & ~ends[1:]) + 1).tolist()}
    if len(begins) > max(1, steps / 2):
        begins = {0}
    edges = [*sorted(begins), steps]
    marked = [bool(0 < end <= len(last) and last[end - 1]) for end in edges[1:]]
    return [Part(*each) for each in zip(edges[:-1], edges[1:], marked, strict=True)]


def rows_of(part: Part, in_order: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which steps of a part have numbers that count: bool [n]. in_order: as of `clocks`.

    Not the last one, if it is marked; and none without a time of its own, as it has no picture.
    """
    found = in_order.copy()
    if part.ends_marked:
        found[-1] = False
    return found


def text_runs(file: BinaryIO, feature: StoredFeature) -> tuple[int, list[tuple[int, str]]]:
    """How many texts a feature has, and (number, text) of each that differs from the one before."""
    example.check_size(feature)
    runs: list[tuple[int, str]] = []
    count, before = 0, None
    for start, end in example.values(file, feature):
        text = example.read_at(file, start, end)
        if text != before:
            runs.append((count, as_text(text)))
        before, count = text, count + 1
    return count, runs


def code_runs(stated: Numbers, width: int) -> tuple[int, list[tuple[int, str]]]:
    """As `text_runs`, of texts that are numbers, `width` a step: bytes of UTF-8, and zeros.

    So Language-Table keeps its instructions. Numbers that are no bytes are no text, but the words
    of some vocabulary: "".
    """
    rows = stated[: len(stated) // width * width].reshape(-1, width)
    differs = np.any(rows[1:] != rows[:-1], axis=1)
    at = [0, *(np.flatnonzero(differs) + 1).tolist()] if len(rows) else []
    return len(rows), [(number, _decoded(rows[number])) for number in at]


def _decoded(codes: Numbers) -> str:
    if codes.min() < 0 or codes.max() > 255:
        return ""
    return as_text(bytes(code for code in codes.astype(np.uint8).tolist() if code))


def as_text(data: bytes) -> str:
    """Bytes of a text, without the spaces and zeros around it."""
    return data.decode("utf-8", "replace").strip().strip("\0").strip()
