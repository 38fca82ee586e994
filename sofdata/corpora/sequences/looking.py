"""Looks into the files of a source, in processes that a bad file may take with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from sofdata.errors import InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.video.ranges import Budget, RangeFile, Source
from sofdata.video.sequences.place import SequencePlace

if TYPE_CHECKING:  # what decodes is imported where something is looked into
    from sofdata.video.sequences.base import Rows
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
    from sofdata.video.sequences.isolated import RecordReader

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
    Raises `OSError` where no process can be started, which is no fault of the file.
    """
    from sofdata.video.isolate import DecoderDied
    from sofdata.video.limits import OverLimit
    from sofdata.video.probe import Unusable

    reader.launch()
    path = where.file
    try:
        with readable(tree, where) as source:
            path = str(source)
            return reader.look(source, format, options)
    except (Unusable, OverLimit, DecoderDied) as error:
        return NotRead(error.reason, without_path(error, path))
    except InputError as error:
        return NotRead("damaged", without_path(error, path))
    except OSError as error:
        return NotRead("unreadable", error.strerror or str(error))


def without_path(error: Exception, path: str) -> str:
    """What an error says, without the path that it begins with."""
    return str(error).removeprefix(f"{path}: ")


@contextmanager
def readable(tree: Tree, where: Location) -> Iterator[Source]:
    """A file or folder as the decoding process reads it: in ranges, where a store gives any.

    Raises what `Tree.local_copy` does, and what has failed in the reading of a range.
    """
    if tree.is_on_disk(where) or not tree.has_ranges(where):
        with tree.local_copy(where) as path:
            yield path
        return
    budget = Budget(lambda start, end: tree.read_range(where, start, end), None)
    try:
        yield RangeFile(where.file, tree.size(where), budget)
    except (InputError, OSError):
        budget.check()  # what a reader makes of a range that could not be had
        raise
    budget.check()


def rows_in(tree: Tree, where: Location, place: SequencePlace) -> Rows:
    """The numbers of a place in a file, for `read_actions`: read by the reader of this process.

    Raises the `InputError` that the reader of the format does, and what a store raises.
    """
    from sofdata.video.sequences.isolated import own_reader

    with readable(tree, where) as source:
        return own_reader().rows(source, place)
