"""Samples of a dataset, read one by one from where the index says that they are."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

from sofdata.errors import InputError
from sofdata.loading.cache import ShardCache
from sofdata.loading.catalog import Catalog, ShardFile
from sofdata.loading.index import TO_THE_END, ShardRows
from sofdata.shards.tar import MAX_SAMPLE_BYTES, read_sample_at
from sofdata.storage.local import storage_errors
from sofdata.storage.tree import Tree
from sofdata.ui.brief import Brief


@dataclass(frozen=True, slots=True, repr=False)
class Stored(Brief):
    """A sample as it stands in its shard: its key, and the bytes of its members by suffix."""

    key: str
    members: Mapping[str, bytes]
    shard: ShardFile


class Reader:
    """Pipeline stage: the numbers of a batch's windows to their samples, not yet decoded.

    catalog: whose used windows are numbered from 0.
    open_shards: how many shards are kept open at a time, with what the index says of their windows.

    What is read must be the sample that the index lists at its place.
    """

    def __init__(self, catalog: Catalog, cache: ShardCache, open_shards: int) -> None:
        self._windows = catalog.windows
        self._places = catalog.places()
        self._shards = catalog.shards
        self._cache = cache
        self._open_shards = open_shards

    def __call__(self, batches: Iterable[list[int]]) -> Iterator[list[Stored]]:
        files = OpenShards(self._shards, self._cache, self._open_shards)
        rows = OrderedDict[int, ShardRows]()
        try:
            for numbers in batches:
                places = zip(*(each.tolist() for each in self._windows.find(numbers)), strict=True)
                yield [
                    self._read(files, shard, self._rows(rows, shard), at) for shard, at in places
                ]
        finally:
            files.close()

    def _rows(self, kept: OrderedDict[int, ShardRows], shard: int) -> ShardRows:
        """What the index says of the windows of a shard, out of those that are in use."""
        if shard not in kept:
            if len(kept) == self._open_shards:
                kept.popitem(last=False)
            kept[shard] = self._places.of(shard)
        kept.move_to_end(shard)
        return kept[shard]

    def _read(self, files: OpenShards, number: int, rows: ShardRows, at: int) -> Stored:
        key, shard = rows.keys[at].as_py(), self._shards[number]
        offset, length = int(rows.offset[at]), int(rows.length[at])
        with naming_sample(key, shard):
            try:
                members = _sample(files, number, offset, length, key)
            except InputError:
                if shard.tree.is_local:
                    raise
                files.forget(number)  # the copy may have been damaged since it was opened
                members = _sample(files, number, offset, length, key)
        return Stored(key, members, shard)


def _sample(
    files: OpenShards, number: int, offset: int, length: int, key: str
) -> Mapping[str, bytes]:
    """The members of the sample that lies there, which must be the one of this key."""
    data = files.read(number, offset, length)
    found, members = read_sample_at(io.BytesIO(data), 0, f"its bytes from {offset} on")
    if found != key:
        raise InputError(f"at byte {offset} stands {found}")
    return members


@contextmanager
def naming_sample(key: str, shard: ShardFile) -> Iterator[None]:
    """Name the sample and its shard in an `InputError`, and say how to find out more."""
    try:
        yield
    except (InputError, FileNotFoundError) as error:
        raise InputError(
            f"sample {key} of {shard.rel} cannot be used: {error}. 'sofdata verify "
            f"{shard.tree.name}' lists all that is wrong, and --repair repairs it"
        ) from None


class OpenShards:
    """Shards open for reading, of which those used longest ago are closed."""

    def __init__(self, shards: Sequence[ShardFile], cache: ShardCache, at_most: int) -> None:
        # Connections do not survive a fork, so each process makes file systems of its own.
        trees = {id(shard.tree): Tree(shard.tree.url, shard.tree.options) for shard in shards}
        self._shards = [replace(shard, tree=trees[id(shard.tree)]) for shard in shards]
        self._cache = cache
        self._at_most = at_most
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a shard; fewer than `length` where it ends before."""
        if number not in self._open:
            if len(self._open) == self._at_most:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._open_shard(self._shards[number])
        self._open.move_to_end(number)
        handle = self._open[number].fileno()
        with storage_errors(f"read {self._shards[number].rel}"):
            size = os.fstat(handle).st_size
            if not 0 <= offset <= size:
                raise InputError(f"it should begin at byte {offset}, and the shard has {size}")
            length = size - offset if length == TO_THE_END else min(length, size - offset)
            if length > 2 * MAX_SAMPLE_BYTES:  # with headers and what fills up blocks
                raise InputError(f"by the index it has {length} bytes, more than a sample can have")
            return os.pread(handle, length, offset)

    def forget(self, number: int) -> None:
        """Close a shard, which is opened and checked again when it is next read."""
        if number in self._open:
            self._open.pop(number).close()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()

    def _open_shard(self, shard: ShardFile) -> BinaryIO:
        if not shard.tree.is_local:
            return self._cache.open(shard)
        path = shard.tree.path(shard.rel)
        try:
            if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
                raise InputError("it is no file")
            return open(path, "rb")
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:  # also where its name can be none
            raise InputError(f"it cannot be opened: {error}") from None
