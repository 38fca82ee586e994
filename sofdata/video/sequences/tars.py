"""Numbered pictures in a tar, where they lie: P01_01.tar with frame_0000000001.jpg, ... in it.

The name of the place is the path of the pictures in the tar, with a "*" for their number. Its
options are those of `times`; the list of times is a member beside them. Of a tar only the headers
are read, and the pictures that are asked for; one that is packed cannot be read so.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import StoredImage, damaged, opened_file
from sofdata.video.sequences.frames import chosen, codec_of, of_one_number
from sofdata.video.sequences.names import Numbers, kind_of
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import MOST_BYTES, timeline

MOST_KINDS = 10_000  # of names in one tar
MOST_PICTURE_BYTES = 1 << 28


class Member(NamedTuple):
    """A file in a tar: where its bytes lie. size: of them, 0 for one that is cut off."""

    name: str
    start: int
    size: int


@dataclass(slots=True)
class TarFrames:
    """The pictures of one kind in a tar. places: int64 [n,2], start and size of each."""

    file: BinaryIO
    places: NDArray[np.int64]
    times_s: NDArray[np.float64]
    codec: str
    damage: tuple[int, tuple[str, ...]]
    stack: ExitStack

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            yield _read(self.file, *map(int, self.places[number]))

    def close(self) -> None:
        self.stack.close()


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """The kinds of numbered pictures in a tar, as [folder, pattern, count, least, most].

    others: how many members are none. whole: whether the tar has its end. files: names of members
    beside pictures that `options` names as `times`.
    """
    kinds: dict[tuple[str, str], Numbers] = {}
    others, files = 0, []
    with opened_file(source) as file:
        scan = Scan(file)
        for member in scan:
            kind = kind_of(member.name)
            if kind is None:
                others += 1
                if member.name.rpartition("/")[2] == options.get("times"):
                    files.append(member.name)
            else:
                known = kinds.setdefault((kind.folder, kind.pattern), Numbers())
                known.add(kind.number, member.size)
            if len(kinds) > MOST_KINDS or len(files) > MOST_KINDS:
                raise damaged(f"{source}: more than {MOST_KINDS} kinds of pictures are in it")
    found = [[*key, each.count, each.least, each.most] for key, each in sorted(kinds.items())]
    return {"kinds": found, "others": others, "whole": scan.whole, "files": files}


def open_sequence(source: Source, place: SequencePlace) -> TarFrames:
    """Raises `Unusable` where there is no such picture, or no time for it."""
    folder = place.name.rpartition("/")[0]
    listed = f"{folder}/{place.get('times')}".lstrip("/") if place.get("times") else ""
    with ExitStack() as stack:
        file = stack.enter_context(opened_file(source))
        scan, stated = Scan(file), None
        places: dict[str, tuple[int, int]] = {}
        for member in scan:
            kind = kind_of(member.name)
            if member.name == listed:
                stated = member
            elif kind is not None and kind.folder == folder:
                places.setdefault(member.name, (member.start, member.size))
        if listed and stated is None:
            raise Unusable("no_times", f"{source}: there is no {listed} in it")
        found = chosen(places, place, source)
        list_of_times = None if stated is None else _times(file, stated)
        times_s, lost, odd = timeline(found.numbers, place, list_of_times)
        cut = () if scan.whole else ("the tar is cut off",)
        at = np.array([places[name] for name in found.names], np.int64)
        codec = codec_of(_read(file, *map(int, at[0])), found.names[0])
        damage = lost, (*cut, *odd, *of_one_number(found))
        return TarFrames(file, at, times_s, codec, damage, stack.pop_all())


class Scan:
    """The files of a tar in their order, once. whole: whether it came to the tar's end."""

    def __init__(self, file: BinaryIO) -> None:
        self.whole = False
        self._file = file
        self._bytes = file.seek(0, 2)
        file.seek(0)

    def __iter__(self) -> Iterator[Member]:
        count = 0
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    PROGRESS.packets += 1
                    count += 1
                    vars(tar)["members"].clear()  # which keeps all of them otherwise
                    if member.isreg() and not member.issparse():
                        yield self._member(member)
                self.whole = tar.offset <= self._bytes
        except tarfile.TarError as error:
            if not count:
                raise damaged(f"no tar can be read: {error}") from None

    def _member(self, member: tarfile.TarInfo) -> Member:
        end = member.offset_data + member.size
        there = member.size if end <= self._bytes else 0
        return Member(member.name.removeprefix("./"), member.offset_data, there)


def _read(file: BinaryIO, start: int, size: int) -> bytes | None:
    PROGRESS.packets += 1
    if not 0 < size <= MOST_PICTURE_BYTES:
        return None
    file.seek(start)
    return file.read(size)


def _times(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.start)
    return file.read(min(member.size, MOST_BYTES + 1))
