"""A dataset of windows as a folder that Hugging Face's `datasets` reads, and sofdata as well.

The folder is a dataset of sofdata: the same shards, tables and ledger, without what tells of the
machines that made it. Beside these stand its tables as small tars, a row a sample, since `datasets`
reads all configurations of a folder with one builder, and shards are tars.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sofdata.errors import InputError
from sofdata.export.card import hf_card
from sofdata.export.record import ExportRecord
from sofdata.export.skills import SKILLS, Skills
from sofdata.export.yaml_features import Yaml, row_features, sample_features
from sofdata.shards.layout import (
    DATASET,
    FILES,
    INDEX,
    LEDGER,
    PLAN,
    QUARANTINE,
    REJECTS,
    RUNS,
    SHARDS,
    VIDEOS,
    WIDS,
)
from sofdata.shards.parquet import StoredTable, needed_table
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.tar import TarWriter, hash_file
from sofdata.shards.wids import listed_shards
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_TAR = 100_000
ROWS_AT_ONCE = 4096
TABLES = {"index": INDEX, "videos": VIDEOS, "rejects": REJECTS}
WITHHELD = (RUNS, QUARANTINE, FILES)
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class HfJob:
    """What is to be exported."""

    dest: Tree
    out: Tree
    dataset: DatasetRecord


def export_hf(
    job: HfJob, record: ExportRecord, on_progress: OnProgress, licence: str
) -> ExportRecord:
    """Copy what is not there yet, write the rest; returns the finished record.

    Raises `InputError` where a shard is not what the dataset says.
    """
    files = _copied_files(job.dest)
    shards = listed_shards(job.dest)
    for number, (name, listed) in enumerate(shards.items(), 1):
        _copy_shard(job, name, listed.size_bytes, listed.md5)
        fault_point("export: shard")
        on_progress(number, len(shards) + len(TABLES))
    for rel in files:
        with job.dest.local_copy(rel) as path:
            _put_copy(job.out, path, rel)
    labels = _label_names(job.dest)
    configs: list[Yaml] = [{"config_name": "shards", "data_files": "shards/*.tar", "default": True}]
    infos: list[Yaml] = [
        {"config_name": "shards", "features": sample_features(job.dataset, labels)}
    ]
    for number, (name, rel) in enumerate(_tables(job.dest).items(), len(shards) + 1):
        features = _write_rows(job, name, rel, labels)
        if features:
            configs.append({"config_name": name, "data_files": f"rows/{name}/*.tar"})
            infos.append({"config_name": name, "features": features})
        on_progress(min(number, len(shards) + len(TABLES)), len(shards) + len(TABLES))
    finished = record.model_copy(
        update={
            "complete": True,
            "account": {"windows": job.dataset.counts.windows, "shards": len(shards)}
            | {"windows_exported": job.dataset.counts.windows, "files": len(files) + len(shards)},
            "notes": _notes(job.dest),
        }
    )
    card = hf_card(job.dataset, finished, configs, infos, licence)
    job.out.write("README.md", card.encode())
    job.out.write("export.json", finished.to_json())
    return finished


def _copied_files(dest: Tree) -> list[str]:
    """All files of the dataset but its shards, and but those that tell of machines."""
    found = [DATASET, PLAN, INDEX, VIDEOS, REJECTS, WIDS]
    found += [f"{LEDGER}/{name}" for name in dest.names(LEDGER) if name.endswith(".json")]
    return found + [f"{SKILLS}/{name}" for name in dest.names(SKILLS) if name.endswith(".parquet")]


def _copy_shard(job: HfJob, name: str, size_bytes: int, md5: str) -> None:
    """Copy a shard unless it is there: its name holds a part of its hash, and it comes whole."""
    rel = f"{SHARDS}/{name}"
    if job.out.exists(rel) and job.out.size(rel) == size_bytes:
        return
    with job.dest.local_copy(rel, size_bytes) as path:
        if hash_file(path)[1] != md5:
            raise InputError(f"{rel} of {job.dest.name} is damaged: 'sofdata verify' says more")
        _put_copy(job.out, path, rel)


def _put_copy(out: Tree, path: str, rel: str) -> None:
    with out.scratch() as folder:
        copy = os.path.join(folder, "copy")
        shutil.copyfile(path, copy)
        out.put(copy, rel)


def _tables(dest: Tree) -> dict[str, str]:
    """Names of configurations, and the tables whose rows they give."""
    skills = [name for name in dest.names(SKILLS) if name.endswith(".parquet")]
    return {**TABLES, **{_config_name(name): f"{SKILLS}/{name}" for name in skills}}


def _config_name(file: str) -> str:
    """Of a file of skills, without what no name of a configuration may hold."""
    return f"skills-{re.sub('[^A-Za-z0-9_]+', '_', file.removesuffix('.parquet'))}"


def _write_rows(job: HfJob, name: str, rel: str, labels: list[str]) -> list[Yaml]:
    """A table's rows as tars, and their features; nothing where it has no row."""
    number, schema = 0, None
    tar: TarWriter | None = None
    with job.out.scratch() as folder:
        for at, (found, key, row) in enumerate(_rows(job.dest, name, rel)):
            schema = found
            if at % ROWS_A_TAR == 0:
                _end(job.out, tar, name, number - 1)
                tar = TarWriter(os.path.join(folder, f"rows-{number}.tar"))
                number += 1
            assert tar is not None
            tar.add(key, {"json": json.dumps(row, sort_keys=True).encode()})
        _end(job.out, tar, name, number - 1)
    return row_features(schema, labels) if schema is not None else []


def _end(out: Tree, tar: TarWriter | None, name: str, number: int) -> None:
    if tar is not None:
        tar.finish()
        out.put(tar.path, f"rows/{name}/rows-{number:06d}.tar")


def _rows(dest: Tree, name: str, rel: str) -> Iterator[tuple[pa.Schema, str, dict[str, Any]]]:
    """Schema, key and values of each row of a table."""
    number = 0
    read = _skills(dest, rel) if rel.startswith(f"{SKILLS}/") else _stored(dest, rel)
    for table in read:
        for row in table.to_pylist(maps_as_pydicts="strict"):
            row = {each: _filled(each, value) for each, value in row.items()}
            yield table.schema, row.get("key") or f"{name}-{number:09d}", row
            number += 1


def _stored(dest: Tree, rel: str) -> Iterator[pa.Table]:
    with StoredTable.open(dest, rel) as stored:
        while (table := stored.take(ROWS_AT_ONCE)).num_rows:
            yield table


def _skills(dest: Tree, rel: str) -> Iterator[pa.Table]:
    with Skills.open(dest, rel) as skills:
        yield from skills.tables()


def _filled(name: str, value: Any) -> Any:
    """Labels that were not kept are none, so that every row has the same fields."""
    return {} if name == "labels" and value is None else value


def _label_names(dest: Tree) -> list[str]:
    """The names of all labels of all videos."""
    import pyarrow.compute as pc

    texts = pc.unique(needed_table(dest, PLAN, ["labels"])["labels"]).to_pylist()
    return sorted({name for text in texts for name in json.loads(text)})


def _notes(dest: Tree) -> list[str]:
    import pyarrow.compute as pc

    notes = [
        "left out since they tell of machines: "
        + ", ".join(name for name in WITHHELD if dest.exists(name))
    ]
    uris = needed_table(dest, PLAN, ["uri"])["uri"]
    if absolute := pc.sum(pc.match_substring_regex(uris, "^(/|[a-z0-9]+://)")).as_py():
        notes.append(f"plan.parquet names {absolute} videos by their full path or URL")
    return notes
