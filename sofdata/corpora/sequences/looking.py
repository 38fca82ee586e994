"""Looks into the files of a source, in processes that a bad file may take with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from sofdata.errors import InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.video.isolate import DecoderDied
from sofdata.video.limits import OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences.isolated import RecordReader

READERS = 4  # processes; most of a look is waiting for a disk or a store


class NotRead(InputError):
    """A file that cannot be looked into. reason: as `Entry.problem`; str(): as `Entry.detail`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


def looks(
    tree: Tree, places: Iterable[Location], format: str, options: Mapping[str, Any] | None = None
) -> Iterator[Any | NotRead]:
    """What each file or folder holds, as the reader of `format` says it; in order.

    A remote file is read in ranges where its store gives any, else it is copied for the look.
    """
    ready: SimpleQueue[RecordReader] = SimpleQueue()
    readers = [RecordReader() for _ in range(READERS)]
    for reader in readers:
        ready.put(reader)

    def one(where: Location) -> Any | NotRead:
        reader = ready.get()
        try:
            return look_into(reader, tree, where, format, options)
        finally:
            ready.put(reader)

    try:
        with ThreadPoolExecutor(READERS) as threads:
            yield from threads.map(one, places)
    finally:
        for reader in readers:
            reader.close()


def look_into(
    reader: RecordReader,
    tree: Tree,
    where: Location,
    format: str,
    options: Mapping[str, Any] | None = None,
) -> Any | NotRead:
    """What one file or folder holds, or why that cannot be said.

    The error names no path: that of a copy is another one each time, and the entry has its own.
    """
    path = where.file
    try:
        if tree.is_on_disk(where) or not tree.has_ranges(where):
            with tree.local_copy(where) as path:
                return reader.look(path, format, options)
        size = tree.size(where)
        file = RangeFile(where.file, size, lambda start, end: tree.read_range(where, start, end))
        return reader.look(file, format, options)
    except (Unusable, OverLimit, DecoderDied) as error:
        return NotRead(error.reason, without_path(error, path))
    except InputError as error:
        return NotRead("damaged", without_path(error, path))
    except OSError as error:
        return NotRead("unreadable", error.strerror or str(error))


def without_path(error: Exception, path: str) -> str:
    """What an error says, without the path that it begins with."""
    return str(error).removeprefix(f"{path}: ")
