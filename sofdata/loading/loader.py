"""Shards to `Batch`es: in an order that is planned, by `webdataset`'s pipeline, ahead of their use.

    order ─► rows of each batch for this rank ─► decoded samples ─► batches ─► torch's DataLoader

The index says where each sample lies, so an epoch is a list of numbers before anything is read.
That is what makes the batches the same for any number of workers, lets ranks share an epoch without
loss or repetition, and lets a resume begin anywhere without reading what came before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import index
from typing import Any

from sofdata.errors import ConfigError, ContractError, SofdataError, TransientError
from sofdata.loading.ahead import Ahead
from sofdata.loading.cache import ShardCache, default_folder
from sofdata.loading.catalog import Location, open_catalog, trees_of
from sofdata.loading.collate import Collate, Collated, Large
from sofdata.loading.numbers import checked_columns
from sofdata.loading.order import Order, RankShare
from sofdata.loading.reader import Reader
from sofdata.loading.selection import Split, checked_split, choose, part_of
from sofdata.loading.sharing import (
    check_ranks,
    foreign_worker,
    mark_as_ours,
    ranks_of,
    take_part,
)
from sofdata.loading.slots import Slots
from sofdata.loading.source import Source
from sofdata.loading.state import Beginning, NextBatch, from_state, identity, is_epoch, to_state
from sofdata.loading.where import Where, columns_of, is_given
from sofdata.system.extras import require
from sofdata.types import ActionBatch, Batch

AHEAD_BATCHES = 2
MOST_OPEN = 128  # shards in a process; systems allow about a thousand files
_left_behind: list[Any] = []  # threads and processes of the process that this one was forked from


class Loader:
    """The batches of one dataset, or of several that fit each other; `sofdata.load` makes one.

    Loops of others may take it as it is, or within `DataLoader(loader, batch_size=None)`, whose
    workers then share the batches of an epoch. It can be pickled, where its dataset stays.

    url: a path or fsspec URL, or several; options: for their file systems.
    batch_size: windows in a batch, over all ranks together.
    shuffle: False for the order of the index, the same in every epoch.
    seed: of the shuffle; every epoch has another order.
    workers: processes that read and decode; 0: a thread. The batches are the same.
    rank, world: this process of so many that share each batch: it gets every `world`-th window.
        By default as `torch.distributed` says, where it is initialised.
    where: a filter on the columns of the index, as text, "motion > 0.5", or as an expression of
        `pyarrow.compute`; see `sofdata.loading.where`.
    columns: of the index, whose numbers batches have as `Batch.columns`: ["blur", "start_s"].
    split: ("train", 0.1) leaves out a tenth of the files, the nearest number there is, and
        ("held_out", 0.1) gives only these. No file is on both sides, nor two cameras of an episode,
        nor two clips of a recording. In place of the share: the path of a list of what to hold out,
        or `sofdata.loading.split.HeldOut`, or `Sides` that were decided before.
    drop_last: leave out a last batch that is not full, in each epoch other windows. With several
        ranks it is left out in any case: they could not share it evenly.
    cache_dir: where copies of remote shards are kept, up to `cache_bytes`; by default in the
        temporary folder. Nothing local is copied.
    buffer_shards: how many shards are mixed with each other; as many are open at a time.

    Raises `ConfigError` for anything that cannot work: no torch, no such dataset, one that is not
    complete or of another schema version, several that do not fit, a wrong filter or one that
    selects nothing, a batch that the ranks cannot share.

    texts: all texts of the datasets, sorted, also of windows that are not selected;
        `Batch.text_ids` point into it.
    rows: how many windows are selected. videos: of how many videos, counted when first asked for.
    batches: how many batches an epoch has, the same on each rank; dropped: windows of an epoch that
        are in none.
    geometry: the sizes of a batch's arrays. sides: where each file is, None without a split.
    """

    def __init__(
        self,
        url: Location | Sequence[Location],
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 0,
        rank: int | None = None,
        world: int | None = None,
        where: Where = "",
        columns: Iterable[str] = (),
        split: Split | None = None,
        drop_last: bool = False,
        cache_dir: Location | None = None,
        cache_bytes: int = 8 << 30,
        buffer_shards: int = 8,
        options: dict[str, Any] | None = None,
    ) -> None:
        require(("torch", "webdataset"), "train", "loading batches")
        # Numbers of numpy are taken, too; what JSON is to keep (`state_dict`) is plain.
        batch_size, seed = _whole(batch_size, "batch_size"), _whole(seed, "seed")
        workers, buffer_shards = _whole(workers, "workers"), _whole(buffer_shards, "buffer_shards")
        shuffle, drop_last = bool(shuffle), bool(drop_last)
        _check_numbers(batch_size, seed, workers, buffer_shards)
        _check_ranks(batch_size, rank or 0, world or 1)
        self._ranks = ranks_of(rank, world)
        rank, world, _ = self._ranks
        _check_ranks(batch_size, rank, world)
        asked = checked_split(split)
        trees = trees_of(url, options or {})
        catalog = open_catalog(trees)
        read = columns_of(where, catalog.column_names) if is_given(where) else []
        self._columns = checked_columns(columns, catalog.column_names)
        part = part_of(catalog, asked)
        self._catalog = replace(catalog, windows=choose(catalog, where, read, part))
        self.sides = part.sides if part else None
        drop_last = drop_last or world > 1
        self._workers = workers
        self.texts = catalog.texts
        self.geometry = catalog.geometry
        self.rows = len(self._catalog.windows)
        self.batches = self.rows // batch_size if drop_last else -(-self.rows // batch_size)
        self.dropped = self.rows % batch_size if drop_last else 0
        if not self.batches:
            raise ConfigError(
                f"{self.rows} windows do not fill a batch of {batch_size}: take a smaller batch"
            )
        self._order = Order(self._catalog.windows.counts, shuffle, seed, buffer_shards)
        self._share = RankShare(batch_size, self.batches, rank, world)
        # A group of shards gives way to the next one gradually where batches are read in parallel.
        folder = os.path.abspath(os.path.expanduser(cache_dir or default_folder()))
        self._cache = ShardCache(folder, cache_bytes, 2 * buffer_shards)
        self._settings = {
            "batch_size": batch_size,
            "shuffle": shuffle,
            "drop_last": drop_last,
            **({"seed": seed, "buffer_shards": buffer_shards} if shuffle else {}),
        }
        self._beginning = Beginning()
        self._set_up()

    def _set_up(self) -> None:
        """Make what is of this process alone."""
        take_part(Loader, Batch)
        catalog, share, workers = self._catalog, self._share, self._workers
        block_bytes = Large.size_bytes(share.batch_size // share.world, catalog.geometry)
        slots = Slots(workers, AHEAD_BATCHES + 1, block_bytes) if workers else None
        open_shards = min(self._cache.keep, MOST_OPEN)
        reader = Reader(catalog, self._cache, open_shards)
        self._source = Source(self._order, share, shared=workers > 0)
        self._collate = Collate(catalog.texts, catalog.geometry, slots, self._columns)
        self._pipeline = _pipeline(self._source, reader, self._collate)
        self._processes: Any = None
        self._stream: Ahead[Batch | SofdataError] | None = None
        self._next = (0, 0)
        self._begun = 0
        self._position = self._beginning.position
        self._resume: NextBatch | None = None  # where a worker of a DataLoader goes on
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        made = {"_source", "_collate", "_pipeline", "_processes", "_stream", "_next", "_begun"}
        made |= {"_position", "_resume"}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_up()

    def __repr__(self) -> str:
        share = self._share
        of = f", rank {share.rank} of {share.world}" if share.world > 1 else ""
        return (
            f"Loader({self._catalog.name}: {self.rows} windows of {self.videos} videos, "
            f"{self.batches} batches of {share.batch_size} an epoch{of})"
        )

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        worker = foreign_worker()
        begin = self._beginning.take(worker[0] if worker else None)
        if self._resume is not None:
            begin, self._resume = self._resume, None
        return self.epoch(begin.epoch, begin.batch)

    def set_epoch(self, number: int) -> None:
        """Which epoch iterating gives from now on, 0 at first; known in all workers.

        Loops that shuffle again call it by this name before each epoch; in others, call it there.
        """
        number = _whole(number, "the number of an epoch")
        if not is_epoch(number):
            raise ConfigError(f"there is no epoch {number}: they are counted from 0")
        if self._beginning.position.epoch != number or not self._beginning.position.batch:
            self._beginning.set(NextBatch(number, 0))
            self._position = NextBatch(number, 0)

    def state_dict(self, batch: int | None = None) -> dict[str, Any]:
        """Where the loader stands: after the batch that an iteration has given last.

        What is read ahead does not count, so that after `load_state_dict` exactly those batches
        come that have not come yet, bit for bit. Plain values, which JSON and torch.save keep. All
        ranks have the same state after the same batch; one of them needs to store it.

        batch: how many batches of the epoch were taken, for a loader that workers of torch's
            `DataLoader` read: only who iterates that knows. (torchdata's `StatefulDataLoader` asks
            its workers by itself.)

        Raises `ConfigError` where `batch` is needed and missing, or is none of an epoch.

        Example:
            >>> import sofdata
            >>> loader = sofdata.load("dataset", batch_size=2, shuffle=True)
            >>> stream = iter(loader)
            >>> first = next(stream)
            >>> state = loader.state_dict()  # in the middle of an epoch
            >>> other = sofdata.load("dataset", batch_size=2, shuffle=True)  # in another process
            >>> other.load_state_dict(state)
            >>> [batch.keys for batch in other] == [batch.keys for batch in stream]
            True
        """
        position = self._position
        if batch is not None:
            if not 0 <= batch <= self.batches:
                raise ConfigError(f"there is no batch {batch}: an epoch has {self.batches} batches")
            position = NextBatch(self._beginning.position.epoch, batch)
        elif self._beginning.is_read_by_workers and not foreign_worker():
            raise ConfigError(
                "the workers of a DataLoader read this loader, and only the loop over it knows how "
                "many batches it has taken: give their number, state_dict(batch=...)"
            )
        return to_state(position, self._identity, self._catalog.name)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken: the next iteration gives the rest of that epoch.

        At the end of an epoch that is nothing; `set_epoch` begins the next one. Calling it with the
        epoch of the state keeps the place in it, so that a loop over epochs needs no other code
        after a restart:

            loader.load_state_dict(state)
            for number in range(state["epoch"], epochs):
                loader.set_epoch(number)
                for batch in loader:
                    train_on(batch)

        state: of a loader of the same data with the same settings; `workers` may differ, and so may
            `world` where both have `drop_last`.

        Raises `ConfigError` that names what differs, and for what is no such state.
        """
        position = from_state(state, self._identity, self.batches)
        self._begun += 1  # ends an epoch that is under way
        self._position = position
        if foreign_worker():  # each goes on at a place of its own
            self._resume = position
        else:
            self._beginning.set(position)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return identity(self._catalog, self._settings)

    @cached_property
    def videos(self) -> int:
        """How many videos have windows that are selected; counted when it is first asked for."""
        return self._catalog.videos()

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Of all flow in the datasets, whatever is selected: p99_px, mean_px, std_px, vectors."""
        return self._catalog.statistics()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch | ActionBatch]:
        """The batches of one epoch, from batch `start` on; those before it are not read.

        Reading goes on into the next epoch while this one is used up, so that it need not be waited
        for. Only one epoch of a loader can be under way: beginning another ends it. Raises
        `InputError` that names the sample and the shard where one cannot be read or does not fit.
        """
        if number < 0 or not 0 <= start <= self.batches:
            raise ConfigError(
                f"there is no batch {start} of epoch {number}: an epoch has {self.batches} batches"
            )
        self._begun += 1
        self._position = NextBatch(number, start)
        return self._epoch(number, start, self._begun)

    def close(self) -> None:
        """End the thread or the processes, as dropping the loader does."""
        self._begun += 1
        if self._stream is not None and self._process == os.getpid():
            self._stream.close()
        self._stream = self._processes = None

    def _epoch(self, number: int, start: int, begun: int) -> Iterator[Batch | ActionBatch]:
        check_ranks(self._ranks)
        worker, workers = foreign_worker() or (0, 1)
        if self._workers and foreign_worker():
            raise ConfigError(
                f"a Loader with workers={self._workers} is read in a worker of a DataLoader, which "
                "may start no processes: make it with workers=0, or give num_workers=0 there"
            )
        for place in range(start + worker, self.batches, workers):
            if begun != self._begun:
                raise ContractError("this epoch was ended by the next one of the same loader")
            batch = self._take((number, place), worker, workers)
            # Where all workers of a DataLoader go on: each adds its own number to it.
            self._position = NextBatch(number, min(place - worker + workers, self.batches))
            yield batch

    def _take(self, place: tuple[int, int], first: int, step: int) -> Batch | ActionBatch:
        """The batch at (epoch, batch): the next one that is made, or else all begins there.

        first, step: of the batches of an epoch, those that this process reads.
        """
        if self._process != os.getpid():  # forked: threads and processes are not here
            _left_behind.append((self._stream, self._processes))
            self._stream = self._processes = None
            self._process = os.getpid()
        stream, self._stream = self._stream, None  # until a batch has come
        if stream is None or self._next != place:
            if stream is not None:
                stream.close()  # its thread reads what the next one is about to read
            stream = self._stream_from(*place, first, step)
        try:
            batch = next(stream)
        except BaseException as error:
            self._processes = None  # they may have died
            if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
                raise TransientError(
                    f"a loading process died: {error} If memory ran out, take fewer of them, or "
                    "smaller batches; a resumed run continues from here"
                ) from None
            raise
        if isinstance(batch, SofdataError):
            # Ended here, since the traceback would hold them until some garbage collection, in
            # which torch's processes take seconds to end.
            stream.close()
            stream = self._processes = None
            raise batch
        self._stream = stream
        epoch, number = place
        number += step
        self._next = (epoch, number) if number < self.batches else (epoch + 1, first)
        return batch

    def _stream_from(
        self, epoch: int, batch: int, first: int, step: int
    ) -> Ahead[Batch | SofdataError]:
        """All batches of this process from there on, without end."""
        self._source.begin_at(epoch, batch, first, step)
        if self._workers and self._processes is None:
            self._processes = _processes(self._pipeline, self._workers)
        made = self._processes if self._workers else self._pipeline
        to_batch = self._collate.to_batch
        # With processes, the thread has only to copy batches out of their slots.
        return Ahead(
            (one if isinstance(one, SofdataError) else to_batch(one) for one in iter(made)),
            1 if self._workers else AHEAD_BATCHES,
        )


def _whole(value: Any, name: str) -> int:
    try:
        return index(value)
    except TypeError:
        raise ConfigError(f"{name} has to be a whole number, got {value!r:.60}") from None


def _check_numbers(batch_size: int, seed: int, workers: int, buffer_shards: int) -> None:
    if batch_size < 1 or workers < 0 or seed < 0 or buffer_shards < 1:
        raise ConfigError(
            f"batch_size {batch_size} and buffer_shards {buffer_shards} must be at least 1, "
            f"workers {workers} and seed {seed} at least 0"
        )


def _check_ranks(batch_size: int, rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} must be at least 0 and below world, which is {world}")
    if batch_size % world:
        near = max(1, round(batch_size / world)) * world
        raise ConfigError(
            f"batch_size {batch_size} is that of all {world} ranks together and must be divisible "
            f"by {world}: take {near}"
        )


def _pipeline(source: Source, reader: Reader, collate: Collate) -> Any:
    import webdataset as wds

    return wds.DataPipeline(source, reader, wds.map(collate), _errors_as_values)


def _errors_as_values(batches: Iterable[Collated]) -> Iterator[Collated | SofdataError]:
    """Last stage: an error of ours goes to the main process as it is, in its place in the order."""
    try:
        yield from batches
    except SofdataError as error:
        yield error


def _processes(pipeline: Any, workers: int) -> Any:
    import torch
    from torch.utils.data import DataLoader

    # A generator of its own: else each epoch would draw from the global one, and the number of
    # workers would change what a model draws.
    return DataLoader(
        pipeline,
        batch_size=None,
        num_workers=workers,
        persistent_workers=True,
        prefetch_factor=AHEAD_BATCHES,
        generator=torch.Generator(),
        worker_init_fn=mark_as_ours,
    )
