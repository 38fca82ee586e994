"""The inputs of several datasets as those of one: each content once, each id once.

Only rows that meet another one are looked at one by one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.cells import NO_LABELS
from sofdata.edits.copying import NOT_SELECTED
from sofdata.edits.origins import NOWHERE, Places
from sofdata.edits.parents import Parent
from sofdata.edits.sources import absolute
from sofdata.shards.layout import INDEX, REJECTS, VIDEOS
from sofdata.shards.parquet import read_table
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

DUPLICATE = "duplicate"
RANKS = {"quarantined": 0, "left": 1, "rejected": 2, "done": 3}
# Columns that must agree for two rows to be the same video of the same corpus.
SAME = ("id", "size_bytes", "text", "labels", "annotations", "actions_part", "actions_rows")
OURS = ("_part", "_unit", "_id", "_rank", "_partial", "_key")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Inputs that become a part of a dataset.

    table: the columns of their plan. name: in front of ids that are another's, too.
    corpus: what they are said to be of, None where all parts are of one source. source: where they
    lie, None where that is not known.
    ranks: how far each has come, of `RANKS`, or -1 for what is only listed. units: int32; the
    number of each one's unit. partial: ids of those of which windows were left out.
    dest: the dataset that has them, None where none has yet.
    """

    table: pa.Table
    name: str
    corpus: str | None
    source: Tree | None
    ranks: pa.Array
    units: NDArray[np.int32]
    partial: pa.Array
    dest: Tree | None = None

    @classmethod
    def of(cls, parent: Parent, name: str, corpus: str | None, source: Tree | None) -> Part:
        """A whole dataset."""
        plan = parent.plan
        ranks, partial = _ranks(parent), _partly_left(parent.tree)
        units = Places.of(plan).unit
        return cls(plan.table, name, corpus, source, ranks, units, partial, parent.tree)

    @classmethod
    def listed(
        cls, table: pa.Table, name: str, corpus: str, source: Tree | None, rank: int = -1
    ) -> Part:
        """Inputs of which nobody asks where they lie, all of one rank."""
        import pyarrow as pa

        ranks = pa.repeat(pa.scalar(rank, pa.int32()), len(table))
        units = np.full(len(table), NOWHERE, np.int32)
        return cls(table, name, corpus, source, ranks, units, pa.array([], pa.string()))


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """All inputs: the columns of a plan, sorted by id; where each lies; what is to be told."""

    table: pa.Table
    places: Places
    more: dict[int, tuple[int, int, str]]
    notes: list[str]
    same_source: bool


@dataclass(slots=True, eq=False)
class _Meeting:
    """What is decided about rows that meet others: numbers of rows of the joint table."""

    dropped: set[int] = field(default_factory=set)
    told: dict[int, int] = field(default_factory=dict)  # to the row that is kept
    more: dict[int, int] = field(default_factory=dict)  # from that one to a second place
    renamed: dict[int, str] = field(default_factory=dict)


def joined(parts: Sequence[Part]) -> Joined:
    """Put the inputs of several datasets together.

    A video whose file and span are in another dataset, too, is kept from the one in which it came
    furthest, of equal ones from the first; the other becomes a reject, `duplicate`, that names it.
    It is not one where it is the same video of the same corpus, of which one dataset has windows
    that were left out of the other: then the windows of both are kept. Ids that two videos have get
    the name of their dataset in front, but for the first.
    """
    import pyarrow as pa

    sources = [part.source for part in parts]
    as_urls = any(source is not None and not source.is_local for source in sources)
    table = pa.concat_tables([_rows(part, number, as_urls) for number, part in enumerate(parts)])
    table = table.combine_chunks()
    meeting = _Meeting()
    _meet(table, parts, meeting)
    _same_refused(table, parts, meeting)
    _rename(table, parts, meeting)
    return _put_together(table, parts, meeting)


def _rows(part: Part, number: int, as_urls: bool) -> pa.Table:
    """The plan of a part with the columns `OURS`. as_urls: write paths as file://."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = part.table
    if part.corpus is not None:
        table = _put(table, "corpus", pc.fill_null(table["corpus"], part.corpus))
        if part.source is not None:
            for name in ("uri", "actions_uri"):
                table = _put(table, name, _absolute(table[name], part.source, as_urls))
    ours = {
        "_part": pa.repeat(pa.scalar(number, pa.int32()), len(table)),
        "_unit": pa.array(part.units),
        "_id": table["id"],
        "_rank": part.ranks,
        "_partial": pc.is_in(table["id"], value_set=part.partial),
        "_key": _keys(table),
    }
    for name, column in ours.items():
        table = table.append_column(name, column)
    return table


def _ranks(parent: Parent) -> pa.Array:
    """How far each input of a dataset has come."""
    import pyarrow as pa
    import pyarrow.compute as pc

    videos = read_table(parent.tree, VIDEOS)
    at = pc.index_in(parent.plan.table["id"], value_set=videos["id"].combine_chunks())
    left = pc.equal(videos["reason"], NOT_SELECTED)
    state = pc.if_else(left, "left", videos["status"]).take(at)
    return pc.take(
        pa.array(RANKS.values(), pa.int32()), pc.index_in(state, pa.array(RANKS)).combine_chunks()
    )


def _take(table: pa.Table, rows: list[int]) -> pa.Table:
    import pyarrow as pa

    return table.take(pa.array(rows, pa.int64()))


def _put(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def _absolute(uris: pa.ChunkedArray, source: Tree, as_urls: bool) -> pa.Array:
    import pyarrow as pa

    known = uris.to_pylist()
    found = iter(absolute((uri for uri in known if uri is not None), source, as_urls))
    return pa.array([None if uri is None else next(found) for uri in known], pa.string())


def _partly_left(dest: Tree) -> pa.Array:
    """The videos of which windows were left out by a selection."""
    import pyarrow.compute as pc

    rejects = read_table(dest, REJECTS)
    windows = pc.and_(
        pc.equal(rejects["kind"], "window"), pc.equal(rejects["reason"], NOT_SELECTED)
    )
    return rejects["video"].filter(windows).unique()


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """What is equal for the same span of equal files; null for what was refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = [
        pc.fill_null(table[name].cast(pa.string()), "") for name in ("span_start_s", "span_end_s")
    ]
    keys = pc.binary_join_element_wise(table["fingerprint"], *ends, "|")
    there = pc.and_(pc.equal(table["problem"], ""), pc.not_equal(table["fingerprint"], ""))
    return pc.if_else(there, keys, None)


def _several_parts(column: pa.ChunkedArray, part: pa.ChunkedArray) -> Iterator[list[int]]:
    """The rows of each value that rows of several parts have."""
    values = column.combine_chunks().dictionary_encode()
    codes = np.asarray(values.indices.fill_null(-1))
    pairs = np.unique(np.stack([codes, part.to_numpy()]), axis=1)
    often = np.flatnonzero(np.bincount(pairs[0][pairs[0] >= 0], minlength=1) > 1)
    rows = np.flatnonzero(np.isin(codes, often))
    groups: dict[int, list[int]] = defaultdict(list)
    for row in rows.tolist():
        groups[codes[row]].append(row)
    yield from groups.values()


def _meet(table: pa.Table, parts: Sequence[Part], meeting: _Meeting) -> None:
    """Decide about videos whose content is in several parts."""
    pairs = list[tuple[int, int]]()
    for rows in _several_parts(table["_key"], table["_part"]):
        found = dict(zip(rows, _take(table, rows).to_pylist(), strict=True))
        best: Counter[int] = Counter()
        for row in found.values():
            best[row["_part"]] = max(best[row["_part"]], row["_rank"])
        kept = min(best, key=lambda part: (-best[part], part))
        own = {at: row for at, row in found.items() if row["_part"] == kept}
        for at in found.keys() - own.keys():
            _decide(at, found, own, meeting, pairs, all(part.corpus is None for part in parts))
    windows = _Windows(table, parts, [row for pair in pairs for row in pair])
    for kept, other in pairs:
        meeting.more[kept] = other
        if windows.of(kept) & windows.of(other):
            meeting.told[other] = kept
        else:
            meeting.dropped.add(other)


def _decide(
    at: int,
    found: dict[int, dict[str, Any]],
    own: dict[int, dict[str, Any]],
    meeting: _Meeting,
    pairs: list[tuple[int, int]],
    one_source: bool,
) -> None:
    """Decide about a row, given those of the part that is kept. pairs: to be joined."""
    row = found[at]
    same = [number for number, each in own.items() if all(each[name] == row[name] for name in SAME)]
    first = same[0] if same else min(own, key=lambda number: (-own[number]["_rank"], number))
    partial = row["_partial"] or found[first]["_partial"]
    # Of one source it is the same input, of which both have what there is: nothing.
    nothing = RANKS["rejected"] if one_source else RANKS["left"]
    if same and 0 <= row["_rank"] <= nothing:
        meeting.dropped.add(at)
    elif same and partial and first not in dict(pairs) and row["_rank"] == RANKS["done"]:
        pairs.append((first, at))
    else:
        meeting.told[at] = first


class _Windows:
    """The numbers of the windows that some videos have, by row of the joint table."""

    def __init__(self, table: pa.Table, parts: Sequence[Part], rows: list[int]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._found: dict[tuple[int, str], set[int]] = defaultdict(set)
        some = _take(table.select(["_part", "_id"]), sorted(rows))
        self._names = dict(zip(sorted(rows), some.to_pylist(), strict=True))
        for number in {each["_part"] for each in self._names.values()}:
            ids = [each["_id"] for each in self._names.values() if each["_part"] == number]
            dest = parts[number].dest
            assert dest is not None
            index = read_table(dest, INDEX).select(["source", "window"])
            index = index.filter(pc.is_in(index["source"], value_set=pa.array(ids, pa.string())))
            for source, window in zip(
                *(index[n].to_pylist() for n in index.schema.names), strict=True
            ):
                self._found[number, source].add(window)

    def of(self, row: int) -> set[int]:
        return self._found[self._names[row]["_part"], self._names[row]["_id"]]


def _same_refused(table: pa.Table, parts: Sequence[Part], meeting: _Meeting) -> None:
    """Drop inputs that were refused in several parts as the same file."""
    for rows in _several_parts(table["id"], table["_part"]):
        seen = set[tuple[Any, ...]]()
        for at, row in zip(rows, _take(table, rows).to_pylist(), strict=True):
            part = parts[row["_part"]]
            if not row["problem"] or (part.corpus is not None and part.source is None):
                continue
            place = (row["uri"], row["problem"], row["size_bytes"])
            if place in seen:
                meeting.dropped.add(at)
            seen.add(place)


def _rename(table: pa.Table, parts: Sequence[Part], meeting: _Meeting) -> None:
    """Give rows other ids whose own an earlier one has, or one of content that is kept."""
    taken: set[str] | None = None
    for rows in _several_parts(table["id"], table["_part"]):
        left = [row for row in rows if row not in meeting.dropped]
        left.sort(key=lambda row: (row in meeting.told, row))
        for at in left[1:]:
            taken = taken if taken is not None else {*table["id"].to_pylist()}
            name = f"{parts[table['_part'][at].as_py()].name}/{table['id'][at].as_py()}"
            while name in taken:
                name += "~"
            taken.add(name)
            meeting.renamed[at] = name


def _put_together(table: pa.Table, parts: Sequence[Part], meeting: _Meeting) -> Joined:
    import pyarrow as pa

    kept = np.ones(len(table), np.bool_)
    kept[sorted(meeting.dropped)] = False
    notes = [*_notes(table, parts, meeting)]
    table = _told(_with_ids(table, meeting), meeting)
    number = np.cumsum(kept) - 1
    order = np.argsort(np.array(table["id"].to_pylist(), object)[kept], kind="stable")
    place = np.argsort(order)
    more = {
        int(place[number[first]]): _place_of(table, other) for first, other in meeting.more.items()
    }
    table = table.filter(pa.array(kept)).take(pa.array(order)).combine_chunks()
    places = Places(
        np.asarray(table["_part"].to_numpy(), np.int32),
        np.asarray(table["_unit"].to_numpy(), np.int32),
        table["_id"],
    )
    same = all(part.corpus is None for part in parts)
    return Joined(table.drop_columns([*OURS]), places, more, notes, same)


def _place_of(table: pa.Table, row: int) -> tuple[int, int, str]:
    return tuple(table[name][row].as_py() for name in ("_part", "_unit", "_id"))  # type: ignore[return-value]


def _with_ids(table: pa.Table, meeting: _Meeting) -> pa.Table:
    import pyarrow as pa

    if not meeting.renamed:
        return table
    ids = table["id"].to_pylist()
    for row, name in meeting.renamed.items():
        ids[row] = name
    return _put(table, "id", pa.array(ids, pa.string()))


def _told(table: pa.Table, meeting: _Meeting) -> pa.Table:
    """Make rejects of the rows that are kept from another part."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not meeting.told:
        return table
    rows = sorted(meeting.told)
    where = np.zeros(len(table), np.bool_)
    where[rows] = True
    mask = pa.array(where)
    blank: dict[str, Any] = {"fingerprint": "", "text": "", "labels": NO_LABELS}
    blank |= {"problem": DUPLICATE, "_unit": NOWHERE}
    details = [_why(table, row, meeting.told[row]) for row in rows]
    for each in table.schema:
        blanked = each.nullable and not each.name.startswith("_") and each.name != "corpus"
        if each.name == "detail":
            values = pa.array(details, each.type)
        elif each.name in blank or blanked:
            values = pa.array([blank.get(each.name)] * len(rows), each.type)
        else:
            continue
        column = table[each.name].combine_chunks()
        table = _put(table, each.name, pc.replace_with_mask(column, mask, values))
    return table


def _why(table: pa.Table, row: int, kept: int) -> str:
    return f"{table['_id'][row]} has the content of {table['id'][kept]}, which is kept"


def _notes(table: pa.Table, parts: Sequence[Part], meeting: _Meeting) -> Iterator[str]:
    told = Counter(_take(table.select(["_part"]), sorted(meeting.told))["_part"].to_pylist())
    others = sorted(meeting.renamed.keys() - meeting.told.keys())
    renamed = Counter(_take(table.select(["_part"]), others)["_part"].to_pylist())
    for number, part in enumerate(parts):
        if told[number]:
            yield (
                f"videos of {part.name} that are there already: {told[number]}, each kept once; "
                f"rejects.parquet names both ({DUPLICATE})"
            )
        if renamed[number]:
            yield (
                f"inputs of {part.name} with ids that others have, too: {renamed[number]}, which "
                f"are {part.name}/ID here"
            )
