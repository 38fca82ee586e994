"""Numbered pictures in a tar, where they lie: P01_01.tar with frame_0000000001.jpg, ... in it.

Places are named as `packed` says. Of a tar only the headers are read, and the pictures that are
asked for; one that is compressed cannot be read so. Of members with one name the last counts, as it
does when a tar is unpacked, and a hard link is the picture that it leads to.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.storage.archives.tar_headers import TarHeaders
from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import StoredImage, damaged, opened_file
from sofdata.video.sequences.frames import MOST_PICTURE_BYTES, chosen, codec_of, oddities
from sofdata.video.sequences.names import kind_of
from sofdata.video.sequences.packed import Contents, list_of_times
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import MOST_BYTES, timeline


class Member(NamedTuple):
    """A file in a tar: where its bytes lie. size: of them, 0 for one that is cut off.

    target: of a hard link the name that it leads to; "" for a file; None for what is neither.
    """

    name: str
    start: int
    size: int
    target: str | None


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
    """What lies in a tar, as `Contents.told` says it. options: "times", as `Contents` has it."""
    found = Contents(options.get("times"))
    with opened_file(source) as file:
        scan = Scan(file)
        for member in scan:
            if member.target is None:
                found.ignore("link")
            else:
                found.add(member.name, member.size)
    return found.told(scan.whole)


def open_sequence(source: Source, place: SequencePlace) -> TarFrames:
    """Raises `Unusable` where there is no such picture, or no time for it."""
    listed = list_of_times(place)
    with ExitStack() as stack:
        file = stack.enter_context(opened_file(source))
        scan, stated = Scan(file), None
        places: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        again = 0
        for member in scan:
            if member.target is None:
                continue
            if member.name == listed:
                stated = _times(file, member)
            elif _is_of(place, member.name):
                again += member.name in places
                places[member.name] = member.start, member.size
                links.pop(member.name, None)
                if member.target:
                    links[member.name] = member.target
        places |= _led_to(file, links)
        if listed and stated is None:
            raise Unusable("no_times", f"{source}: there is no {listed} in it")
        found = chosen(places, place, source)
        times_s, lost, odd = timeline(found.numbers, place, stated)
        at = np.array([places[name] for name in found.names], np.int64)
        codec = codec_of(_read(file, *map(int, at[0])), found.names[0])
        words = (*_words(scan, again), *odd, *oddities(found))
        return TarFrames(file, at, times_s, codec, (lost, words), stack.pop_all())


class Scan:
    """The members of a tar but for folders, in their order, once. whole: as `TarHeaders` has it."""

    def __init__(self, file: BinaryIO) -> None:
        self._bytes = file.seek(0, 2)
        file.seek(0)
        self._headers = TarHeaders(file)

    @property
    def whole(self) -> bool:
        return self._headers.whole

    def __iter__(self) -> Iterator[Member]:
        try:
            for member in self._headers:
                PROGRESS.packets += 1
                if not member.isdir():
                    yield self._member(member)
        except tarfile.TarError as error:
            if not self._headers.count:
                raise damaged(f"no tar can be read: {error}") from None

    def _member(self, member: tarfile.TarInfo) -> Member:
        plain = member.isreg() and not member.issparse()
        target = "" if plain else _inside(member.linkname) if member.islnk() else None
        end = member.offset_data + member.size
        there = member.size if plain and end <= self._bytes else 0
        return Member(_inside(member.name), member.offset_data, there, target)


def _inside(name: str) -> str:
    return name.removeprefix("./")


def _is_of(place: SequencePlace, name: str) -> bool:
    """Whether a member may be a picture of a place."""
    kind = kind_of(name)
    return kind is not None and kind.folder == place.name.rpartition("/")[0]


def _led_to(file: BinaryIO, links: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Where the files lie that hard links lead to, in whatever folder; 0 bytes where none is."""
    wanted, found = set(links.values()), dict[str, tuple[int, int]]()
    for member in Scan(file) if wanted else ():
        if member.name in wanted:
            own = member.start, member.size
            found[member.name] = found.get(member.target, (0, 0)) if member.target else own
    return {name: found.get(target, (0, 0)) for name, target in links.items()}


def _words(scan: Scan, again: int) -> Iterator[str]:
    if not scan.whole:
        yield "the tar is cut off or damaged"
    if again:
        yield f"{again} pictures are in the tar more than once, of which the last counts"


def _read(file: BinaryIO, start: int, size: int) -> bytes | None:
    PROGRESS.packets += 1
    if not 0 < size <= MOST_PICTURE_BYTES:
        return None
    file.seek(start)
    return file.read(size)


def _times(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.start)
    return file.read(min(member.size, MOST_BYTES + 1))
