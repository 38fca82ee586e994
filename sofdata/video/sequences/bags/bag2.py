"""Bags of ROS 2: a folder with metadata.yaml and one or several files, or one such file alone.

Files may be packed (.db3.zstd, .mcap.zstd), or each message in them. One is open at a time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sofdata.errors import InputError
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.bags.db3 import Db3
from sofdata.video.sequences.bags.mcap import McapFile
from sofdata.video.sequences.bags.metadata import NAME, Metadata, read_metadata
from sofdata.video.sequences.bags.spool import ZSTD, LocalFile
from sofdata.video.sequences.bags.store import (
    MOST_MESSAGE_BYTES,
    WIDTH,
    Bag,
    Index,
    IndexParts,
    Topic,
    joined,
)
from sofdata.video.sequences.bags.unpack import unpacked, unpacked_head
from sofdata.video.sequences.base import damaged

SUFFIXES = (".db3", ".mcap")
FILE = WIDTH - 1  # the column of the number of a file
# Messages begin with how they are encoded, 00 01 00 00; those packed one by one with this.
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Bag2:
    """A bag of ROS 2. source: a folder, whose path ends with "/", or a file of one."""

    def __init__(self, source: Source) -> None:
        self._name = str(source)
        self.words: list[str] = []
        self._open: tuple[int, Bag, LocalFile] | None = None
        # Of a folder the files by their names alone: it may lie elsewhere each time.
        self._folder = str(source) if _is_folder(source) else ""
        self._files, self._counts = self._parts(source)
        self.topics = self._topics()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open[2].close()
            self._open = None

    def index(self, topics: Iterable[str]) -> dict[str, Index]:
        """As of `Bag`."""
        parts = {topic: IndexParts(words=[*self.words]) for topic in topics}
        for number in range(len(self._files)):
            try:
                part = self._part(number)
            except InputError:
                continue  # as `_topics` has told
            for topic, found in part.index(set(parts) & set(part.topics)).items():
                parts[topic].add(found.times_ns, *found.places[:, :FILE].T, number)
                parts[topic].words += [f"{self._before(number)}{word}" for word in found.words]
                parts[topic].lost += found.lost
        return {topic: self._finished(topic, each) for topic, each in parts.items()}

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """As of `Bag`."""
        for number in numbers:
            part = self._part(int(index.places[number, FILE]))
            yield _message(part, index, number, head_bytes)

    def _before(self, number: int) -> str:
        """What stands before what is told of a file."""
        return f"{self._files[number]}: " if self._folder else ""

    def _finished(self, topic: str, parts: IndexParts) -> Index:
        """Where fewer messages are there than metadata.yaml tells of, they are lost."""
        found = sum(map(len, parts.times_ns)) + parts.lost
        stated = self._counts.get(topic, 0)
        if found < stated:
            parts.lost += stated - found
            parts.words.append(f"{NAME} tells of {stated} messages of {topic}, {found} are here")
        return parts.finish()

    def _parts(self, source: Source) -> tuple[list[Source], dict[str, int]]:
        if not self._folder:
            return [source], {}
        found = _storage_files(os.listdir(self._folder))
        is_described = Path(self._folder, NAME).exists()
        about = read_metadata(self._folder) if is_described else Metadata(())
        here = {name.removesuffix(ZSTD): name for name in found}  # whoever packed or unpacked it
        stems = [name.removesuffix(ZSTD) for name in about.files]
        named = [here[stem] for stem in stems if stem in here]
        missing = [name for name, stem in zip(about.files, stems, strict=True) if stem not in here]
        spare = [name for stem, name in here.items() if stem not in stems] if about.files else []
        if missing:
            self.words.append(f"{NAME} names files that are missing: {', '.join(missing[:3])}")
        if spare:
            self.words.append(f"{NAME} does not name, and so not read: {', '.join(spare[:3])}")
        files = named if about.files else found
        if not files:
            what = self.words[0] if self.words else "holds no file of a bag"
            raise damaged(f"{self._name}: {what}")
        return [*files], about.counts

    def _topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        first: InputError | None = None
        for number in range(len(self._files)):
            try:
                part = self._part(number)
            except InputError as error:
                self.words.append(str(error))
                first = first or error
                continue
            for name, topic in part.topics.items():
                topics[name] = joined(topics[name], topic) if name in topics else topic
        if first is not None and len(self.words) >= len(self._files) and not topics:
            raise first
        return dict(sorted(topics.items()))

    def _part(self, number: int) -> Bag:
        """The reader of a file. Raises `InputError` where it cannot be read."""
        if self._open is not None and self._open[0] == number:
            return self._open[1]
        self.close()
        name = str(self._files[number])
        local = LocalFile(f"{self._folder}{name}" if self._folder else self._files[number], name)
        bag: Bag = _opened(local, name)
        self._open = (number, bag, local)
        return bag


def _message(part: Bag, index: Index, number: int, head_bytes: int | None) -> bytes | None:
    """A message, unpacked where it is packed by itself."""
    (data,) = part.read(index, (number,), head_bytes)
    if data is None or not data.startswith(_ZSTD_MAGIC):
        return data
    if head_bytes is None:
        return unpacked(data, "zstd", MOST_MESSAGE_BYTES)
    (data,) = part.read(index, (number,))
    return None if data is None else unpacked_head(data, head_bytes)


def _is_folder(source: Source) -> bool:
    return not isinstance(source, RangeFile) and str(source).endswith("/")


def _opened(local: LocalFile, name: str) -> Bag:
    """Raises `InputError`, with the temporary file removed."""
    try:
        if name.removesuffix(ZSTD).endswith(SUFFIXES[1]):
            return McapFile(local.path, name)
        return Db3(local.path, name)
    except InputError:
        local.close()
        raise


def _storage_files(names: Iterable[str]) -> list[str]:
    """The files of a bag among names; a packed one only where it is not there unpacked as well."""
    plain = {name for name in names if name.endswith(SUFFIXES)}
    packed = {name for name in names if name.removesuffix(ZSTD).endswith(SUFFIXES)} - plain
    found = plain | {name for name in packed if name.removesuffix(ZSTD) not in plain}
    return sorted((name for name in found if not name.startswith(".")), key=natural)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """For sorting: bag_2.db3 comes before bag_10.db3."""
    pieces = re.split(r"(\d+)", name)
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in pieces)
