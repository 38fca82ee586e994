"""What the small features of an episode say of its steps: times, flags, texts. No picture is read.

RLDS (google-research/rlds, "Dataset format"): `is_first` and `is_last` mark the ends of an episode;
with the last step come an observation and no meaningful action. A record is an episode as a rule;
where flags in it say otherwise, it holds several.
"""

from __future__ import annotations

import math
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

# Seconds in one, by how the name of a feature of times ends.
UNITS_S = {"_ns": 1e-9, "_us": 1e-6, "_ms": 1e-3, "_s": 1.0, "_sec": 1.0, "_seconds": 1.0}
# Whole numbers without a unit since 1970: what they must exceed to be s, ms, us or ns.
_SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
_LEAST_INCREASING = 0.5  # of the steps, for times to be meant


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

    Flags that would cut most steps apart are no such flags: the record then is one episode.
    """
    begins = {0, *np.flatnonzero(first[:steps]).tolist()}
    begins |= {at + 1 for at in np.flatnonzero(last[:steps]).tolist() if at + 1 < steps}
    if len(begins) > max(1, steps / 2):
        begins = {0}
    edges = [*sorted(begins), steps]
    marked = [bool(0 < end <= len(last) and last[end - 1]) for end in edges[1:]]
    return [Part(*each) for each in zip(edges[:-1], edges[1:], marked, strict=True)]


def unit_of(name: str, stated: Numbers) -> float | None:
    """Seconds in one of the times of a feature, None where neither name nor numbers tell."""
    for end, unit_s in UNITS_S.items():
        if name.endswith(end):
            return unit_s
    if stated.dtype != np.int64:
        return 1.0
    least = float(stated.min())
    return next((unit_s for floor, unit_s in _SINCE_1970 if least > floor), None)


def are_times(times_s: NDArray[np.float64]) -> bool:
    """Whether times increase, at most steps of several; zeros that fill a place do not."""
    if len(times_s) < 2 or not np.isfinite(times_s).all() or times_s.max() <= 0:
        return False
    return float(np.mean(np.diff(times_s) > 0)) > _LEAST_INCREASING


def relative_s(stated: Numbers, unit_s: float) -> NDArray[np.float64]:
    """Times from the first of them on, s: as exact as stated, be they ns since 1970."""
    if not len(stated):
        return np.empty(0, np.float64)
    exact = stated if stated.dtype == np.int64 else stated.astype(np.float64)
    found: NDArray[np.float64] = np.round((exact - exact[0]) * unit_s, 9)
    return found


def usual_fps(times_s: NDArray[np.float64]) -> float:
    """Steps a second, by the middle one of the times between two; 0 where none increases."""
    between = np.diff(times_s)
    between = between[between > 0]
    fps = 1 / float(np.median(between)) if len(between) else 0.0
    return fps if math.isfinite(fps) else 0.0


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
    """As `text_runs`, of texts that are `width` code points each, filled with zeros.

    So Language-Table keeps its instructions.
    """
    rows = stated[: len(stated) // width * width].reshape(-1, width)
    differs = np.any(rows[1:] != rows[:-1], axis=1)
    at = [0, *(np.flatnonzero(differs) + 1).tolist()] if len(rows) else []
    valid = [[int(code) for code in rows[number] if 0 < code < 0x110000] for number in at]
    texts = ["".join(map(chr, codes)) for codes in valid]
    return len(rows), [(number, _clean(text)) for number, text in zip(at, texts, strict=True)]


def as_text(data: bytes) -> str:
    """Bytes of a text."""
    return _clean(data.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    """Without what cannot be stored, and the spaces and zeros around it."""
    return text.encode("utf-8", "replace").decode().strip().strip("\0").strip()
