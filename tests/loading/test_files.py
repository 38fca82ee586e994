"""`sofdata.loading.files`: what shows the same has one name, as the definition says it video by
video."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sofdata.corpora.recordings import recording_of
from sofdata.loading.alike import same_content
from sofdata.loading.files import files_of
from sofdata.loading.index import Index
from sofdata.shards.parquet import write_table
from sofdata.shards.schema import index_schema, plan_schema
from sofdata.storage.tree import Tree

Row = dict[str, Any]
COLUMNS = ["fingerprint", "span_start_s", "span_end_s", "recording", "name"]


def plan(seed: int, corpus: str, prefix: str) -> list[Row]:
    """Some planned videos: copies, spans of one file, some with a recording and some without."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for number in range(rng.randint(3, 25)):
        file = rng.randrange(8)
        span = rng.choice([(None, None), (0.0, 2.0), (1.0, 3.0), (5.0, None)])
        label = {"epic": "video_id", "lerobot": "episode"}.get(corpus, "other")
        labels = {label: str(rng.randrange(4))} if rng.random() < 0.6 else {}
        rows.append(
            {
                "id": f"{prefix}{number}",
                "uri": f"clips/{rng.choice(['a', 'b', prefix])}{file}.mp4",
                "size_bytes": 1,
                "fingerprint": f"f{rng.choice([file, file, rng.randrange(8)])}",
                "span_start_s": span[0],
                "span_end_s": span[1],
                "labels": json.dumps(labels),
                **dict.fromkeys(("text", "unit", "problem", "detail"), ""),
                "ordinal": number,
            }
        )
    return rows


def written(folder: Path, rows: list[Row], windows: list[Row]) -> Index:
    folder.mkdir()
    tree = Tree(str(folder))
    write_table(tree, "plan.parquet", plan_schema(), rows)
    default: Row = {
        field.name: "x" if pa.types.is_string(field.type) else None if field.nullable else 1
        for field in index_schema()
    }
    write_table(tree, "index.parquet", index_schema(), [default | each for each in windows])
    return Index(tree)


def by_definition(corpora: list[str], plans: list[list[Row]], used: list[set[str]]) -> Row:
    """The name of each video that has windows."""
    for corpus, rows in zip(corpora, plans, strict=True):
        for row in rows:
            row["recording"] = recording_of(corpus, json.loads(row["labels"]))
    alone: dict[str, str] = {}
    for row in [row for rows in plans for row in rows if not row["recording"]]:
        alone[row["fingerprint"]] = min(row["uri"], alone.get(row["fingerprint"], row["uri"]))
    found = []
    for rows, ids in zip(plans, used, strict=True):
        for row in [row for row in rows if row["id"] in ids]:
            found.append(row | {"name": row["recording"] or alone[row["fingerprint"]]})
    columns = {name: [row[name] for row in found] for name in COLUMNS}
    other = same_content(pa.table(columns))
    return {row["id"]: other.get(row["name"], row["name"]) for row in found}


@pytest.mark.parametrize("seed", range(40))
def test_each_window_is_of_the_file_that_the_definition_names(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    corpora = rng.choices(["epic", "lerobot", "folder"], k=rng.randint(1, 3))
    plans = [plan(97 * seed + at, corpus, f"v{at}-") for at, corpus in enumerate(corpora)]
    indexes, used, sources = [], list[set[str]](), list[str]()
    for at, rows in enumerate(plans):
        ids = [row["id"] for row in rows]
        videos = [video for video in rng.choices(ids, k=9) for _ in range(rng.randint(1, 4))]
        windows = [{"source": each, "offset": place} for place, each in enumerate(videos)]
        indexes.append(written(tmp_path / str(at), rows, windows))
        used.append({*videos})
        sources += videos
    files = files_of(indexes, corpora)
    expected = by_definition(corpora, plans, used)
    assert [files.names[number] for number in files.file.tolist()] == [
        expected[source] for source in sources
    ]
    assert list(files.names) == sorted({*expected.values()})
    assert files.ids.take(files.video).to_pylist() == sources
