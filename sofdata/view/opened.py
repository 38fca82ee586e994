"""A dataset as the pages read it: some rows of its tables, some samples of its shards.

Tables are read by one thread, whichever thread asks, since a file that is open is for one alone.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.inputs import DAMAGES, Refused, input_of
from sofdata.loading.index import Index
from sofdata.report.inspect import opened_index, read_entry
from sofdata.shards.layout import DATASET, PLAN, QUARANTINE, REJECTS, VIDEOS
from sofdata.shards.parquet import BATCH_ROWS, StoredTable, needed_table
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import DecodedSample, decode_sample, quarantine_name
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef
from sofdata.view.query import Query, counted, find

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_SAMPLES = 64  # as bytes: some MiB
KEPT_REFS = 64  # videos of the plan
KEPT_SEARCHES = 8  # numbers of rows: 8 bytes a window
NOTE_BYTES = 1 << 20
CARD = ("key", "shard", "offset", "source", "window", "start_s", "end_s", "steps", "text", "cut")
MOTION = ("mean_px", "p99_px", "active_share")

T = TypeVar("T")
Members = Mapping[str, bytes]


class Opened:
    """One state of a complete dataset. Methods may be called by any thread.

    Raises `ConfigError` for what is no complete dataset, `InputError` where it lacks its index.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.record = _complete(tree)
        self.stamp = stamp_of(tree)
        self._reader = ThreadPoolExecutor(1, "tables")
        self._lock = Lock()
        self._samples: OrderedDict[int, tuple[str, Members]] = OrderedDict()
        self._refs: OrderedDict[str, VideoRef | Refused | None] = OrderedDict()
        self._searches: OrderedDict[Query, NDArray[np.int64]] = OrderedDict()
        self._index: Index = self.reading(lambda: opened_index(tree))

    @property
    def windows(self) -> int:
        return self._index.num_rows

    @property
    def columns(self) -> list[str]:
        return self._index.column_names

    def close(self) -> None:
        """Let the reading thread end once it has done what it was asked for."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def reading(self, work: Callable[[], T]) -> T:
        """Do what reads tables in the one thread that does."""
        return self._reader.submit(work).result()

    def with_index(self, work: Callable[[Index], T]) -> T:
        """Do what reads the index."""
        return self.reading(lambda: work(self._index))

    def found(self, query: Query) -> NDArray[np.int64]:
        """Rows that fulfil a search; the latest searches are remembered. Raises as `find`."""
        with self._lock:
            if query in self._searches:
                self._searches.move_to_end(query)
                return self._searches[query]
        videos = self.videos_of(query.corpus) if query.corpus else None
        rows = self.with_index(lambda index: find(index, query, videos))
        with self._lock:
            self._searches[query] = rows
            while len(self._searches) > KEPT_SEARCHES:
                self._searches.popitem(last=False)
        return rows

    def rows(self, numbers: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of these rows of the index."""
        return self.with_index(lambda index: index.rows(columns, numbers))

    def row(self, number: int) -> dict[str, Any]:
        """A row of the index, all of it. Raises `ConfigError` for a number that is none."""
        if not 0 <= number < self.windows:
            raise ConfigError(f"there is no window {number}: the dataset has {self.windows}")
        return self.rows([number], self.columns)[0]

    @cached_property
    def cuts(self) -> dict[str, int]:
        """How many windows begin for which reason."""
        return self.with_index(lambda index: counted(index, "cut"))

    def members(self, number: int) -> tuple[str, Members]:
        """Key and members of the sample of a row. Raises `InputError` where it is damaged."""
        with self._lock:
            if number in self._samples:
                self._samples.move_to_end(number)
                return self._samples[number]
        if not 0 <= number < self.windows:
            raise ConfigError(f"there is no window {number}: the dataset has {self.windows}")
        entry = self.rows([number], ("key", "shard", "offset"))[0]
        found = read_entry(self.tree, entry, lambda key, members: (key, members))
        with self._lock:
            self._samples[number] = found
            while len(self._samples) > KEPT_SAMPLES:
                self._samples.popitem(last=False)
        return found

    def member(self, number: int, suffix: str) -> bytes:
        """One member of the sample of a row. Raises `InputError` where it has none."""
        key, members = self.members(number)
        if suffix not in members:
            raise InputError(f"sample {key} lacks its member {suffix}")
        return members[suffix]

    def sample(self, number: int) -> DecodedSample:
        """The window of a row, checked and decoded. Raises `InputError`."""
        return decode_sample(*self.members(number))

    def ref(self, id: str) -> VideoRef | Refused | None:
        """A video of the plan, what was refused of it, or None for another id.

        A pass over the plan; the latest are remembered. Raises `InputError`.
        """
        with self._lock:
            if id in self._refs:
                return self._refs[id]
        found = self._planned(id)
        with self._lock:
            self._refs[id] = found
            while len(self._refs) > KEPT_REFS:
                self._refs.popitem(last=False)
        return found

    def _planned(self, id: str) -> VideoRef | Refused | None:
        import pyarrow.compute as pc

        def look() -> VideoRef | Refused | None:
            with StoredTable.open(self.tree, PLAN) as stored:
                while (part := stored.take(BATCH_ROWS)).num_rows:
                    at = pc.index(part["id"], id).as_py()
                    if at >= 0:
                        return input_of(part.slice(at, 1).to_pylist()[0])
            return None

        try:
            return self.reading(look)
        except DAMAGES as error:
            raise InputError(f"the plan is damaged: {id}: {str(error)[:200]}") from None
        except FileNotFoundError:  # a dataset without its plan can be looked at all the same
            return None

    @cached_property
    def corpora(self) -> pa.Table | None:
        """`id` and `corpus` of all planned videos, in a dataset of several corpora; else None."""
        import pyarrow.compute as pc

        def read() -> pa.Table | None:
            with StoredTable.open(self.tree, PLAN, ["id", "corpus"]) as stored:
                if "corpus" not in stored.schema.names:
                    return None
                return stored.take(stored.num_rows)

        try:
            table = self.reading(read)
        except FileNotFoundError:
            return None
        if table is None:
            return None
        named = pc.fill_null(table["corpus"], self.record.corpus)
        return table.set_column(table.column_names.index("corpus"), "corpus", named)

    @cached_property
    def corpus_names(self) -> list[str]:
        """The corpora of a dataset of several, none of one."""
        return [] if self.corpora is None else sorted(self.corpora["corpus"].unique().to_pylist())

    def videos_of(self, corpus: str) -> pa.Array:
        """Ids of the videos of a corpus."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self.corpora
        if table is None:
            return pa.array([], pa.string())
        return table["id"].filter(pc.equal(table["corpus"], corpus)).combine_chunks()

    @cached_property
    def rejects(self) -> pa.Table:
        """`rejects.parquet`."""
        return self.reading(lambda: needed_table(self.tree, REJECTS))

    @cached_property
    def videos(self) -> pa.Table:
        """`videos.parquet`."""
        return self.reading(lambda: needed_table(self.tree, VIDEOS))

    def video(self, id: str) -> dict[str, Any] | None:
        """How a video ended, None for another id."""
        import pyarrow.compute as pc

        at = pc.index(self.videos["id"], id).as_py()
        return None if at < 0 else self.videos.slice(at, 1).to_pylist()[0]

    def quarantine_note(self, id: str) -> dict[str, Any]:
        """What the ingest noted about a quarantined video, empty where there is no such note."""
        try:
            data = read_small(self.tree, f"{QUARANTINE}/{quarantine_name(id)}", NOTE_BYTES)
            found = json.loads(data)
        except (OSError, InputError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def rejected_windows(opened: Opened, video: str) -> list[dict[str, Any]]:
    """The rejected windows of a video: `window`, `start_s`, `end_s`, `reason`."""
    import pyarrow.compute as pc

    table = opened.rejects
    chosen = pc.and_(pc.equal(table["video"], video), pc.equal(table["kind"], "window"))
    names = ["window", "start_s", "end_s", "reason"]
    found: list[dict[str, Any]] = table.select(names).filter(chosen).to_pylist()
    return found


def stamp_of(tree: Tree) -> str:
    """What changes when the dataset does, as far as its store tells without a reading of it."""
    try:
        return repr(tree.stat(DATASET))
    except (OSError, InputError):
        return ""


def _complete(tree: Tree) -> DatasetRecord:
    record = read_dataset(tree)
    if record is None:
        raise ConfigError(f"{tree.name} holds no {DATASET}: it is no dataset of sofdata")
    if not record.complete:
        raise ConfigError(f"the ingest into {tree.name} is not complete; run it again to resume")
    return record
