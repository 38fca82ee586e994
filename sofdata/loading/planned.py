"""What the plan of a dataset says of the videos that its windows come from.

The plan is in every dataset, also in those made before labels stood in the index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.jsons import parse
from sofdata.errors import ConfigError, InputError
from sofdata.loading.index import Index
from sofdata.shards.layout import INDEX, PLAN
from sofdata.shards.parquet import BATCH_ROWS, StoredTable
from sofdata.shards.slices import used_values
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa


MOST_LABELS = 1 << 24  # bytes of JSON, as `sofdata.ingest.plan` reads it
Labels = dict[str, str]


def plan_parts(tree: Tree, columns: Sequence[str], what: str) -> Iterator[pa.Table]:
    """Some columns of the plan, some rows at a time. what: they say, for messages.

    Raises `ConfigError` where there is no plan, `InputError` where it is damaged.
    """
    try:
        with StoredTable.open(tree, PLAN, columns) as stored:
            if missing := sorted({*columns} - {*stored.schema.names}):
                raise InputError(f"{PLAN} of {tree.name} lacks the columns {', '.join(missing)}")
            while (part := stored.take(BATCH_ROWS)).num_rows:
                yield part
    except FileNotFoundError:
        raise ConfigError(
            f"{tree.name} lacks {PLAN}, which says the {what}: copy it from where the dataset is "
            f"whole, or let 'sofdata verify --repair {tree.name}' say how it is made again"
        ) from None


def labels_of(index: Index) -> tuple[pa.ChunkedArray, NDArray[np.int32]]:
    """The labels of all planned videos, maps of texts, and the video of each window, int32 [rows].

    Raises as `plan_parts` and `videos_of`.
    """
    import pyarrow as pa

    kind, ids, labels = pa.map_(pa.string(), pa.string()), list[pa.Array](), list[pa.Array]()
    for part in plan_parts(index.tree, ["id", "labels"], "labels of the corpus"):
        ids += part["id"].chunks
        found = (sorted(each.items()) for each in parsed(index.tree, part["labels"]))
        labels.append(pa.array(found, kind))
    rows = np.empty(index.num_rows, np.int32)
    videos_of(index, pa.chunked_array(ids, pa.string()), rows)
    return pa.chunked_array(labels, kind), rows


def videos_of(index: Index, ids: pa.ChunkedArray, rows: NDArray[np.int32]) -> None:
    """Put the video of each window into `rows`: its place among the ids of the plan.

    Raises `InputError` for a video that is in no plan.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts, number = list[pa.Array](), 0
    for first, batch in index.batches(["source"], encoded=True):
        names, codes = used_values(batch["source"])
        rows[first : first + len(codes)] = codes + np.int32(number)
        parts.append(names)
        number += len(names)
    names = pa.chunked_array(parts)
    found = pc.index_in(names, value_set=ids)
    if found.null_count:
        strange = names.filter(pc.is_null(found))[0].as_py()
        raise InputError(
            f"{INDEX} of {index.tree.name} lists windows of {strange}, which is not in {PLAN}; "
            f"'sofdata verify {index.tree.name}' says what is wrong"
        )
    places = found.to_numpy()
    for start in range(0, len(rows), BATCH_ROWS):  # in the same memory
        rows[start : start + BATCH_ROWS] = places[rows[start : start + BATCH_ROWS]]


def named(tree: Tree, names: Sequence[str]) -> dict[str, list[str]]:
    """The videos that each of these names calls: ids of videos, or uris of files. Others are not in
    the result."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(names, pa.string())
    called: dict[str, list[str]] = {}
    for part in plan_parts(tree, ["id", "uri"], "videos of a file"):
        for column in ("id", "uri"):
            found = part.filter(pc.is_in(part[column], value_set=wanted))
            for name, id in zip(found[column].to_pylist(), found["id"].to_pylist(), strict=True):
                called.setdefault(name, []).append(id)
    return called


def parsed(tree: Tree, column: pa.ChunkedArray) -> list[Labels]:
    """Labels as the plan has them: a JSON object a video."""
    known: dict[str, Labels] = {}
    for text in column.unique().to_pylist():
        try:
            labels = parse(text, MOST_LABELS)
        except ValueError:
            labels = None
        if not isinstance(labels, dict):
            raise InputError(f"{PLAN} of {tree.name} is damaged: {text!r:.60} are no labels")
        known[text] = {str(key): str(value) for key, value in labels.items()}
    return [known[text] for text in column.to_pylist()]
