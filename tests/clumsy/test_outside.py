"""The tables of a dataset, which may be a stranger's, cannot point a reader outside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.audit.run import audit
from sofdata.errors import InputError
from sofdata.ingest.repair import repair
from sofdata.ingest.verify import verify
from sofdata.loading.loader import Loader
from sofdata.report.inspect import draw_sheet
from sofdata.storage.tree import Tree

OUTSIDE = [
    "../outside.tar",
    "/outside.tar",
    "s3://b/x.tar",
    "file:///x.tar",
    "a/b.tar",
    "..",
    "a\nb",
]


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(dataset, tmp_path / "d")
    first = min((tmp_path / "d" / "shards").glob("*.tar"))
    shutil.copy(first, tmp_path / "outside.tar")
    shutil.copy(first, tmp_path / "d" / "outside.tar")
    return tmp_path / "d"


def rename_first_shard(table: Path, name: str) -> None:
    found = pq.read_table(table)
    old = min(found["shard"].to_pylist())
    names = [name if each == old else each for each in found["shard"].to_pylist()]
    column = found.schema.get_field_index("shard")
    pq.write_table(
        found.set_column(column, found.schema.field(column), pa.array([names][0])), table
    )


def load_one(folder: Path) -> None:
    next(iter(Loader(str(folder), batch_size=1)))


def draw(folder: Path) -> None:
    draw_sheet(Tree(str(folder)), rows=2, video=None, path=str(folder / "sheet.png"))


def decode_again(folder: Path) -> None:
    audit(Tree(str(folder)), None, 1, 0, lambda *_: None)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_loader_refuses_an_index_that_names_a_shard_outside(copy: Path, name: str) -> None:
    rename_first_shard(copy / "index.parquet", name)
    with pytest.raises(InputError, match=r"index.parquet of .* is not read"):
        load_one(copy)


@pytest.mark.parametrize("reader", [draw, decode_again])
def test_so_do_inspect_and_audit(copy: Path, reader: Callable[[Path], None]) -> None:
    rename_first_shard(copy / "index.parquet", "../outside.tar")
    with pytest.raises(InputError, match="made to lead elsewhere"):
        reader(copy)


@pytest.mark.parametrize("name", OUTSIDE)
def test_verify_finds_a_ledger_that_names_a_shard_outside_and_repair_removes_nothing_there(
    copy: Path, name: str
) -> None:
    path = min((copy / "ledger").glob("*.json"))
    record = json.loads(path.read_text())
    record["shard"]["name"] = name
    path.write_text(json.dumps(record))
    verdict = verify(Tree(str(copy)))
    assert any("not a path" in finding.what for finding in verdict.findings)
    repair(Tree(str(copy)), verdict)
    assert (copy.parent / "outside.tar").exists()


def test_verify_finds_a_plan_whose_units_are_paths(copy: Path) -> None:
    table = pq.read_table(copy / "plan.parquet")
    column = table.schema.get_field_index("unit")
    units = pa.array(["../../elsewhere"] * table.num_rows)
    pq.write_table(
        table.set_column(column, table.schema.field(column), units), copy / "plan.parquet"
    )
    (finding,) = verify(Tree(str(copy))).findings
    assert "made to lead elsewhere" in finding.what


@pytest.mark.parametrize("field", ["md5sum", "filesize"])
def test_what_a_remote_index_gives_as_a_sum_never_becomes_a_path_of_the_cache(
    dataset: Path, tmp_path: Path, field: str
) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset), f"/outside-{field}", recursive=True)
    place = f"/outside-{field}/shards/index.json"
    listed = json.loads(memory.cat_file(place))
    listed["shardlist"][0][field] = "../../../../tmp/x"
    memory.pipe_file(place, json.dumps(listed).encode())
    with pytest.raises(InputError, match="has no size or md5"):
        Loader(f"memory://outside-{field}", batch_size=1, cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_shard_that_is_a_link_is_read_where_it_leads_and_a_repair_writes_nothing_there(
    copy: Path,
) -> None:
    """Stores of large files, such as git-annex and DVC, keep them so."""
    shard = min((copy / "shards").glob("*.tar"))
    kept = shard.rename(copy.parent / "kept.tar")
    shard.symlink_to(kept)
    load_one(copy)
    (copy / "outside.tar").unlink()
    assert verify(Tree(str(copy))).whole
    before = kept.read_bytes()
    kept.write_bytes(before[:-512] + b"x" * 512)
    repair(Tree(str(copy)), verify(Tree(str(copy))))
    assert kept.read_bytes() == before[:-512] + b"x" * 512
    assert shard.is_symlink()  # until the same ingest puts a new shard in its place
