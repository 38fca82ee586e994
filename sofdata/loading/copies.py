"""Copies of videos count as one file, where `sofdata dedup` has found any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.loading.index import Index
from sofdata.loading.texts import Texts
from sofdata.shards.copies import read_copies
from sofdata.shards.layout import COPIES

if TYPE_CHECKING:
    import pyarrow as pa


def with_copies(
    names: Texts,
    number: NDArray[np.int32],
    ids: pa.ChunkedArray,
    used: NDArray[np.bool_],
    indexes: Sequence[Index],
    starts: Sequence[int],
) -> tuple[Texts, NDArray[np.int32]]:
    """The names of files, and their numbers, with one name for files that hold copies.

    number: of each planned video that of its file's name. ids: of these videos. used: which have
    windows. starts: where the videos of each dataset begin among them.

    Raises as `read_copies`, and `InputError` for a copy of a video that is in no plan.
    """
    parent = np.arange(len(names), dtype=np.int32)

    def first(name: int) -> int:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = int(parent[name])
        return name

    found = False
    for index, start, end in zip(indexes, starts, [*starts[1:], len(number)], strict=True):
        pairs = read_copies(index.tree) or []
        rows = _rows(pairs, ids.slice(start, end - start), index)
        for one, other in rows + start:
            low, high = sorted((first(int(number[one])), first(int(number[other]))))
            parent[high] = low
            found = True
    if not found:
        return names, number
    number = np.array([first(name) for name in range(len(names))], np.int32)[number]
    left = np.zeros(len(names), np.bool_)
    left[number[used]] = True
    places = np.cumsum(left, dtype=np.int32) - 1
    return names.those(left), places[number]


def _rows(
    pairs: Sequence[tuple[str, str]], ids: pa.ChunkedArray, index: Index
) -> NDArray[np.int64]:
    """The places of both videos of each pair among the planned ones, int64 [pairs, 2]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    named = pa.array([name for pair in pairs for name in pair], pa.string())
    places = pc.index_in(named, value_set=pa.concat_arrays(ids.cast(pa.string()).chunks))
    if places.null_count:
        strange = named.filter(pc.is_null(places))[0].as_py()
        raise InputError(
            f"{COPIES} of {index.tree.name} names {strange}, which is not in its plan: run "
            f"'sofdata dedup {index.tree.name}' again, or remove it"
        )
    rows: NDArray[np.int64] = places.to_numpy().astype(np.int64).reshape(-1, 2)
    return rows
