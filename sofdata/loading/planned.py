"""What the plan of a dataset says of the videos that its windows come from: labels, and files.

The plan is in every dataset, also in those made before labels stood in the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sofdata.bounded.jsons import parse
from sofdata.errors import ConfigError, InputError
from sofdata.loading.alike import same_content
from sofdata.shards.layout import INDEX, PLAN
from sofdata.shards.parquet import read_table
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa


MOST_LABELS = 1 << 24  # bytes of JSON, as `sofdata.ingest.plan` reads it


def labels_of(tree: Tree, sources: pa.ChunkedArray) -> pa.ChunkedArray:
    """The labels of each of these videos, a map of texts."""
    import pyarrow as pa

    plan = _read(tree, ["id", "labels"], "labels of the corpus")
    kind = pa.map_(pa.string(), pa.string())
    labels = pa.chunked_array(
        [pa.array([sorted(each.items()) for each in _parsed(tree, plan["labels"])], kind)]
    )
    return labels.take(_rows(tree, plan["id"], sources))


def files_of(
    trees: Sequence[Tree], corpora: Sequence[str], sources: Sequence[pa.ChunkedArray]
) -> list[pa.ChunkedArray]:
    """For each video of some datasets a name for the file, or the recording, that it is of.

    What has one name shows the same thing, and must be learned from or measured on, not both. It is
    the recording where the corpus names one (`sofdata.corpora.recordings`), or else the file,
    by its uri; files of equal content have one name, and so have recordings in one of which is the
    same stretch of such a file as in the other, as where one corpus is joined with a copy of it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["id", "uri", "fingerprint", "labels", "span_start_s", "span_end_s"]
    plans = []
    for tree, corpus in zip(trees, corpora, strict=True):
        plan = _read(tree, columns, "file a window comes from")
        plans.append(plan.append_column("recording", _recordings(tree, corpus, plan)))
    files = pa.concat_tables(plans).select(["uri", "fingerprint", "recording"])
    alone = files.filter(pc.equal(files["recording"], ""))
    first = alone.group_by("fingerprint", use_threads=False).aggregate([("uri", "min")])
    found = []
    for tree, plan, wanted in zip(trees, plans, sources, strict=True):
        place = pc.index_in(plan["fingerprint"], value_set=first["fingerprint"])
        same = first["uri_min"].take(place)
        names = pc.if_else(pc.equal(plan["recording"], ""), same, plan["recording"])
        used = plan.append_column("name", names).take(_rows(tree, plan["id"], wanted.unique()))
        found.append(used.select(["id", "fingerprint", *columns[-2:], "recording", "name"]))
    other = same_content(pa.concat_tables(found))
    named = []
    for used, wanted in zip(found, sources, strict=True):
        names = used["name"].to_pylist()
        names = pa.array([other.get(name, name) for name in names], pa.string())
        named.append(pa.chunked_array([names]).take(pc.index_in(wanted, value_set=used["id"])))
    return named


def named(tree: Tree, names: Sequence[str]) -> dict[str, list[str]]:
    """The videos that each of these names calls: ids of videos, or uris of files. Others are not in
    the result."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plan, wanted = _read(tree, ["id", "uri"], "videos of a file"), pa.array(names, pa.string())
    called: dict[str, list[str]] = {}
    for column in ("id", "uri"):
        found = plan.filter(pc.is_in(plan[column], value_set=wanted))
        for name, id in zip(found[column].to_pylist(), found["id"].to_pylist(), strict=True):
            called.setdefault(name, []).append(id)
    return called


def _read(tree: Tree, columns: Sequence[str], what: str) -> pa.Table:
    try:
        plan = read_table(tree, PLAN, columns)
    except FileNotFoundError:
        raise ConfigError(
            f"{tree.name} lacks {PLAN}, which says the {what}: copy it from where the dataset is "
            f"whole, or let 'sofdata verify --repair {tree.name}' say how it is made again"
        ) from None
    if missing := sorted({*columns} - {*plan.column_names}):
        raise InputError(f"{PLAN} of {tree.name} lacks the columns {', '.join(missing)}")
    return plan


def _rows(tree: Tree, ids: pa.ChunkedArray, sources: pa.ChunkedArray) -> pa.ChunkedArray:
    """The row of the plan of each video. Raises `InputError` for one that is in none."""
    import pyarrow.compute as pc

    rows = pc.index_in(sources, value_set=ids)
    if rows.null_count:
        strange = sources.filter(pc.is_null(rows))[0].as_py()
        raise InputError(
            f"{INDEX} of {tree.name} lists windows of {strange}, which is not in {PLAN}; "
            f"'sofdata verify {tree.name}' says what is wrong"
        )
    return rows


def _recordings(tree: Tree, corpus: str, plan: pa.Table) -> pa.Array:
    import pyarrow as pa

    from sofdata.corpora.recordings import recording_of

    found = [recording_of(corpus, labels) for labels in _parsed(tree, plan["labels"])]
    return pa.array(found, pa.string())


def _parsed(tree: Tree, column: pa.ChunkedArray) -> list[dict[str, str]]:
    """Labels as the plan has them: a JSON object a video."""
    known: dict[str, dict[str, str]] = {}
    for text in column.unique().to_pylist():
        try:
            labels = parse(text, MOST_LABELS)
        except ValueError:
            labels = None
        if not isinstance(labels, dict):
            raise InputError(f"{PLAN} of {tree.name} is damaged: {text!r:.60} are no labels")
        known[text] = {str(key): str(value) for key, value in labels.items()}
    return [known[text] for text in column.to_pylist()]
