"""Videos to units: the same videos give the same units, and a video more or less changes one.

Units are the leaves of a prefix tree. A video's key is a hash of its file's content and of its id.
All videos begin in one leaf; a leaf that is too large is split in two by the next bit of the keys.
So a unit depends on its own videos and their nearest neighbours only: a video that comes falls into
one unit (which may become two), one that goes leaves one (which may join its sibling), and nothing
depends on what was there before, or on where files lie. Spans of one file stand beside each other,
since it comes first in the key: a file is read for few units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from sofdata.ingest.config import IngestConfig, UnitConfig
from sofdata.system.digests import json_digest
from sofdata.types import Annotations, VideoRef

MIB = 1 << 20
FILE_BITS = 40
ID_BITS = 88
KEY_BITS = FILE_BITS + ID_BITS
ORDINAL_BITS = 63  # as the plan stores them, in a signed column
_DIGITS = 16  # of a hash


@dataclass(frozen=True, slots=True)
class Earlier:
    """A ledger record that holds an earlier result of some of a unit's videos, as they are now.

    path: of the record, relative to the dataset. videos: their ids.
    usable: whether its samples may be taken over; if not, it only says what was reached before.
    """

    path: str
    videos: frozenset[str]
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Unit:
    """Videos that one worker turns into one shard.

    ordinal: its place in the order of units: the first 63 bits of the smallest of its keys.
    earlier: results of its videos that stand. They are no part of the plan.
    """

    id: str
    ordinal: int
    videos: tuple[VideoRef, ...]
    earlier: tuple[Earlier, ...] = field(default=(), compare=False)

    @property
    def size_bytes(self) -> int:
        """Of the files that it reads, each counted once however many of its spans are videos."""
        return _size_bytes(self.videos)


def cut(videos: Sequence[VideoRef], config: IngestConfig) -> tuple[Unit, ...]:
    """Cut videos into units, sorted by ordinal; within a unit they are sorted by id."""
    digest = config.digest()
    keyed = sorted(((_key(video), video) for video in videos), key=lambda pair: pair[0])
    units = []
    for prefix, group in _leaves(keyed, config.units):
        group.sort(key=lambda video: video.id)
        units.append(Unit(unit_id(group, digest), prefix, tuple(group)))
    return tuple(sorted(units, key=lambda unit: (unit.ordinal, unit.id)))


def unit_id(videos: Sequence[VideoRef], config_sha256: str) -> str:
    """Hash of all that decides a unit's bytes: its videos and the resolved configuration."""
    return json_digest([config_sha256, [_inputs(video) for video in videos]], _DIGITS)


def video_inputs(video: VideoRef) -> str:
    """Hash of all that decides a video's samples beside the configuration."""
    return json_digest(_inputs(video), _DIGITS)


def _inputs(video: VideoRef) -> list[Any]:
    return (
        [video.id, video.size_bytes, video.fingerprint, video.span_s, video.text, video.labels]
        + ([astuple(video.actions)] if video.actions else [])
        + ([_annotation_inputs(video.annotations)] if video.annotations else [])
    )


def _annotation_inputs(annotations: Annotations) -> dict[str, Any]:
    """All that annotations say, without a length that is not known: names of units stay."""
    inputs = asdict(annotations)
    if annotations.lasts_s is None:
        del inputs["lasts_s"]
    return inputs


def _key(video: VideoRef) -> int:
    file = int.from_bytes(hashlib.sha256(video.fingerprint.encode()).digest())
    name = int.from_bytes(hashlib.sha256(video.id.encode("utf-8", "surrogateescape")).digest())
    return (file >> (256 - FILE_BITS)) << ID_BITS | name >> (256 - ID_BITS)


def _leaves(
    keyed: list[tuple[int, VideoRef]], config: UnitConfig
) -> Iterator[tuple[int, list[VideoRef]]]:
    """(ordinal, videos) of each leaf, from videos sorted by key."""
    least_depth = (config.min_units - 1).bit_length()
    waiting = [(0, 0, len(keyed))]
    while waiting:
        depth, start, end = waiting.pop()
        if start == end:
            continue
        first, last = keyed[start][0], keyed[end - 1][0]
        if depth >= least_depth:
            if first == last or _fits(keyed[start:end], config):
                # Of the videos alone: the same may make a leaf higher up once a neighbour has gone.
                yield first >> (KEY_BITS - ORDINAL_BITS), [video for _, video in keyed[start:end]]
                continue
            depth = KEY_BITS - (first ^ last).bit_length()  # on to where the keys part
        middle = _first_with_bit(keyed, start, end, KEY_BITS - 1 - depth)
        waiting += [(depth + 1, middle, end), (depth + 1, start, middle)]


def _fits(keyed: list[tuple[int, VideoRef]], config: UnitConfig) -> bool:
    if len(keyed) > config.max_videos:
        return False
    sizes = {video.uri: video.size_bytes for _, video in keyed}
    return len(sizes) == 1 or sum(sizes.values()) <= config.max_source_mib * MIB


def _first_with_bit(keyed: list[tuple[int, VideoRef]], start: int, end: int, bit: int) -> int:
    """Where the keys of a range, which agree in all higher bits, begin to have this bit set."""
    while start < end:
        middle = (start + end) // 2
        if keyed[middle][0] >> bit & 1:
            end = middle
        else:
            start = middle + 1
    return start


def _size_bytes(videos: Sequence[VideoRef]) -> int:
    return sum({video.uri: video.size_bytes for video in videos}.values())
