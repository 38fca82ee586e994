"""Videos to units: the same videos give the same units, and a video more or less changes one.

Units are the leaves of a prefix tree. A video's key is a hash of its file's content and of its id.
All videos begin in one leaf; a leaf that is too large is split in two by the next bit of the keys.
So a unit depends on its own videos and their nearest neighbours only: a video that comes falls into
one unit (which may become two), one that goes leaves one (which may join its sibling), and nothing
depends on what was there before, or on where files lie. Spans of one file stand beside each other,
since it comes first in the key: a file is read for few units.

Videos are rows of a table, keys two columns of 64 bits, and a leaf is a range of the sorted keys. A
million videos take some seconds, most of them for three hashes each.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import cached_property
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, overload

from sofdata.corpora.cells import MIB, annotations_of
from sofdata.corpora.entries import actions_of
from sofdata.ingest.config import UnitConfig
from sofdata.ingest.files import BEHIND, files_of
from sofdata.ingest.inputs import PlannedVideos
from sofdata.system.digests import json_bytes, json_digest
from sofdata.types import Annotations, VideoRef

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

FILE_BYTES, ID_BYTES = 5, 11  # of a key
WORD_BITS = 64
KEY_BITS = 2 * WORD_BITS
ORDINAL_BITS = 63  # as the plan stores them, in a signed column
TEXTS_AT_ONCE = 1 << 14
_DIGITS = 16  # of a hash
_PARTS = ("annotations", "actions_uri")  # columns that say which optional ones hold anything


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
    videos: sorted by id.
    earlier: results of its videos that stand. They are no part of the plan.
    known_bytes: `size_bytes`, where that was found for many units at once.
    """

    id: str
    ordinal: int
    videos: Sequence[VideoRef]
    earlier: tuple[Earlier, ...] = field(default=(), compare=False)
    known_bytes: int | None = field(default=None, compare=False, repr=False)

    @property
    def size_bytes(self) -> int:
        """Of the files that it reads, each counted once however many of its spans are videos."""
        if self.known_bytes is not None:
            return self.known_bytes
        return sum({video.file_uri: video.size_bytes for video in self.videos}.values())

    @property
    def video_ids(self) -> list[str]:
        """The ids of its videos, of which no more is looked at."""
        if isinstance(self.videos, PlannedVideos):
            return self.videos.ids
        return [video.id for video in self.videos]

    def annotated(self) -> Sequence[VideoRef]:
        """Its videos of which the corpus says something about stretches."""
        if isinstance(self.videos, PlannedVideos):
            return self.videos.annotated()
        return [video for video in self.videos if video.annotations]


@dataclass(frozen=True, slots=True)
class Cut:
    """How the rows of a table make up units, sorted by ordinal and id.

    rows: int64; the rows of all units, one unit after the other, in each by row.
    starts: int64; where in `rows` each unit begins, and the length of it at the end.
    """

    ids: list[str]
    ordinals: list[int]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]


class Units(Sequence[Unit]):
    """The units of a table, each made when it is asked for."""

    def __init__(self, table: pa.Table, cut: Callable[[], Cut]) -> None:
        """cut: how the rows make them up; called when that is first asked for."""
        self._table = table
        self._make_cut = cut

    @cached_property
    def cut(self) -> Cut:
        """How the rows of the table make them up."""
        return self._make_cut()

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of all."""
        return frozenset(self.cut.ids)

    def content_ids(self, config_sha256: str) -> Iterator[str]:
        """The id that each unit has by what decides its bytes, which is its own in a sound plan."""
        bounds = itertools.pairwise(self.cut.starts)
        members = [self.cut.rows[start:end] for start, end in bounds]
        return _ids(self._table, members, config_sha256)

    def __len__(self) -> int:
        return len(self.cut.ids)

    @overload
    def __getitem__(self, at: int) -> Unit: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Unit, ...]: ...

    def __getitem__(self, at: int | slice) -> Unit | tuple[Unit, ...]:
        if isinstance(at, slice):
            return tuple(map(self._unit, range(len(self))[at]))
        return self._unit(range(len(self))[at])

    def __iter__(self) -> Iterator[Unit]:
        return map(self._unit, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def _sizes(self) -> list[int]:
        """The `size_bytes` of each unit."""
        import numpy as np

        rows, starts = self.cut.rows, self.cut.starts
        unit = np.repeat(np.arange(len(self)), np.diff(starts))
        files = _numbered(files_of(self._table["uri"]))[rows]
        _, once = np.unique(unit * (len(self._table) + 1) + files, return_index=True)
        sizes = np.zeros(len(self), np.int64)
        np.add.at(sizes, unit[once], self._table["size_bytes"].to_numpy()[rows][once])
        found: list[int] = sizes.tolist()
        return found

    def _unit(self, number: int) -> Unit:
        start, end = self.cut.starts[number : number + 2]
        videos = PlannedVideos(self._table, self.cut.rows[start:end])
        ordinal, size = self.cut.ordinals[number], self._sizes[number]
        return Unit(self.cut.ids[number], ordinal, videos, known_bytes=size)


def cut(table: pa.Table, config: UnitConfig, config_sha256: str) -> Cut:
    """Cut videos into units.

    table: the columns of `sofdata.ingest.plan`, a row a video, sorted by id; what is refused is
    no part of it, and has a `problem`.
    """
    import numpy as np

    videos = _videos(table)
    high, low = _keys(table, videos)
    order = np.lexsort((low, high))
    high, low, videos = high[order], low[order], videos[order]
    sizes = _Sizes(table, videos)
    leaves = list(_leaves(high, low, sizes, config))
    # Of the videos alone: the same may make a leaf higher up once a neighbour has gone.
    ordinals = [int(high[start]) >> (WORD_BITS - ORDINAL_BITS) for start, _ in leaves]
    members = [np.sort(videos[start:end]) for start, end in leaves]
    ids = list(_ids(table, members, config_sha256))
    by_place = sorted(range(len(leaves)), key=lambda number: (ordinals[number], ids[number]))
    members = [members[number] for number in by_place]
    return Cut(
        ids=[ids[number] for number in by_place],
        ordinals=[ordinals[number] for number in by_place],
        rows=np.concatenate([*members, np.zeros(0, np.int64)]),
        starts=np.cumsum([0, *map(len, members)], dtype=np.int64),
    )


def _ids(
    table: pa.Table, members: Sequence[NDArray[np.int64]], config_sha256: str
) -> Iterator[str]:
    """The ids of units, given the rows of each. Few of the hashed texts are there at once."""
    import numpy as np

    at = 0
    while at < len(members):
        end, rows = at, 0
        while end < len(members) and (end == at or rows + len(members[end]) <= TEXTS_AT_ONCE):
            rows += len(members[end])
            end += 1
        texts = _inputs_texts(table.take(np.concatenate(members[at:end])))
        for each in members[at:end]:
            yield unit_digest(itertools.islice(texts, len(each)), config_sha256)
        at = end


def regrouped(table: pa.Table) -> Cut:
    """The units that the columns `unit` and `ordinal` of a stored plan say."""
    import numpy as np

    rows = _videos(table)
    names = table["unit"].combine_chunks().take(rows).dictionary_encode()
    ids = names.dictionary.to_pylist()
    rank = np.argsort(np.argsort(ids)) if ids else np.zeros(0, np.int64)
    codes = names.indices.to_numpy()
    ordinals = table["ordinal"].to_numpy()[rows]
    order = np.lexsort((rows, rank[codes], ordinals))
    rows, codes, ordinals = rows[order], codes[order], ordinals[order]
    new = np.ones(len(rows), bool)
    new[1:] = (codes[1:] != codes[:-1]) | (ordinals[1:] != ordinals[:-1])
    starts = np.flatnonzero(new)
    return Cut(
        ids=[ids[code] for code in codes[starts]],
        ordinals=ordinals[starts].tolist(),
        rows=rows,
        starts=np.append(starts, len(rows)),
    )


def unit_id(videos: Iterable[VideoRef], config_sha256: str) -> str:
    """Hash of all that decides a unit's bytes: its videos and the resolved configuration."""
    return unit_digest((json_bytes(_inputs(video)).decode() for video in videos), config_sha256)


def unit_digest(texts: Iterable[str], config_sha256: str) -> str:
    """`json_digest` of the configuration and of the inputs of videos, which are JSON already."""
    text = f"[{quoted(config_sha256)}, [{', '.join(texts)}]]"
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


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


def _inputs_texts(table: pa.Table) -> Iterator[str]:
    """For each row the JSON of `_inputs`, put together from the cells: labels are JSON already."""
    columns = ("id", "size_bytes", "fingerprint", "span_start_s", "span_end_s", "text", "labels")
    extra = any(
        table[name].null_count < len(table) for name in _PARTS if name in table.schema.names
    )
    for batch in table.to_batches():
        cells = [batch[name].to_pylist() for name in columns]
        more = batch.to_pylist() if extra else [None] * len(batch)
        for id, size, mark, start, end, text, labels, row in zip(*cells, more, strict=True):
            span = "null" if start is None else f"[{start!r}, {end!r}]"
            tail = _tail(row) if row else ""
            yield f"[{quoted(id)}, {size}, {quoted(mark)}, {span}, {quoted(text)}, {labels}{tail}]"


def _tail(row: dict[str, Any]) -> str:
    """The JSON of the actions and annotations of a row, as it ends that of `_inputs`."""
    actions, annotations = actions_of(row), annotations_of(row.get("annotations"))
    values: list[Any] = [astuple(actions)] if actions else []
    values += [_annotation_inputs(annotations)] if annotations else []
    return "".join(f", {json_bytes(value).decode()}" for value in values)


def _videos(table: pa.Table) -> NDArray[np.int64]:
    """The rows that are not refused."""
    import numpy as np
    import pyarrow.compute as pc

    return np.flatnonzero(pc.equal(table["problem"], "").to_numpy())


def _keys(
    table: pa.Table, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The keys of rows, as their higher and their lower 64 bits."""
    import numpy as np

    sha256 = hashlib.sha256
    some = table.select(["fingerprint", "id"]).take(rows)
    # Sequences of pictures in one file stand beside each other, as spans of one file do.
    keys = bytearray()
    for batch in some.to_batches():
        pairs = zip(batch["fingerprint"].to_pylist(), batch["id"].to_pylist(), strict=True)
        for mark, id in pairs:
            keys += sha256(mark.partition(BEHIND)[0].encode()).digest()[:FILE_BYTES]
            keys += sha256(id.encode()).digest()[:ID_BYTES]
    words = np.frombuffer(keys, ">u8").reshape(-1, 2).astype(np.uint64)
    return words[:, 0], words[:, 1]


def _numbered(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each text, the same for the same."""
    import numpy as np

    return np.asarray(texts.combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)


class _Sizes:
    """The sizes of rows in the order of their keys: each file once, however many rows are of it."""

    def __init__(self, table: pa.Table, rows: NDArray[np.int64]) -> None:
        import numpy as np

        self._uri, self._rows = files_of(table["uri"]), rows
        self._sizes = table["size_bytes"].to_numpy()[rows]
        self._before = np.concatenate([np.zeros(1), np.cumsum(self._sizes, dtype=np.float64)])

    @cached_property
    def _files(self) -> NDArray[np.int64]:
        """A number for each row's file."""
        return _numbered(self._uri)[self._rows]

    def fit(self, start: int, end: int, most_bytes: float) -> bool:
        """Whether the files of a range are one file, or of so many bytes at most."""
        import numpy as np

        # Roomy: these sums are rounded, and a file may be in them several times.
        if self._before[end] - self._before[start] <= 0.99 * most_bytes:
            return True
        files, first = np.unique(self._files[start:end], return_index=True)
        return len(files) == 1 or int(self._sizes[start:end][first].sum()) <= most_bytes


def _leaves(
    high: NDArray[np.uint64], low: NDArray[np.uint64], sizes: _Sizes, config: UnitConfig
) -> Iterator[tuple[int, int]]:
    """The (start, end) of each leaf, from sorted keys."""
    least_depth = (config.min_units - 1).bit_length()
    most_bytes = config.max_source_mib * MIB
    waiting = [(0, 0, len(high))]
    while waiting:
        depth, start, end = waiting.pop()
        if start == end:
            continue
        first, last = _key(high, low, start), _key(high, low, end - 1)
        if depth >= least_depth:
            few = end - start <= config.max_videos
            if first == last or (few and sizes.fit(start, end, most_bytes)):
                yield start, end
                continue
            depth = KEY_BITS - (first ^ last).bit_length()  # on to where the keys part
        middle = _first_with_bit(high, low, start, end, KEY_BITS - 1 - depth)
        waiting += [(depth + 1, middle, end), (depth + 1, start, middle)]


def _key(high: NDArray[np.uint64], low: NDArray[np.uint64], at: int) -> int:
    return int(high[at]) << WORD_BITS | int(low[at])


def _first_with_bit(
    high: NDArray[np.uint64], low: NDArray[np.uint64], start: int, end: int, bit: int
) -> int:
    """Where the keys of a range, which agree in all higher bits, begin to have this bit set."""
    words, shift = (high, bit - WORD_BITS) if bit >= WORD_BITS else (low, bit)
    while start < end:
        middle = (start + end) // 2
        if int(words[middle]) >> shift & 1:
            end = middle
        else:
            start = middle + 1
    return start
