"""`sofdata.ingest.verify` finds every kind of damage, and says where it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.ingest.repair import repair
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest


def _flip_a_bit(folder: Path) -> str:
    shard = sorted((folder / "shards").glob("*.tar"))[0]
    data = bytearray(shard.read_bytes())
    data[700] ^= 4
    shard.write_bytes(data)
    return shard.name


def _remove_a_shard(folder: Path) -> str:
    shard = sorted((folder / "shards").glob("*.tar"))[-1]
    shard.unlink()
    return shard.name


def _cut_a_shard(folder: Path) -> str:
    shard = sorted((folder / "shards").glob("*.tar"))[0]
    shard.write_bytes(shard.read_bytes()[:5120])
    return shard.name


def _leave_a_stray_shard(folder: Path) -> str:
    (folder / "shards" / "sof-000099-0123456789abcdef.tar").write_bytes(bytes(10240))
    return "sof-000099"


def _remove_a_record(folder: Path) -> str:
    record = sorted((folder / "ledger").iterdir())[0]
    record.unlink()
    return record.name


def _leave_a_stray_record(folder: Path) -> str:
    record = sorted((folder / "ledger").iterdir())[0]
    (folder / "ledger" / "0123456789abcdef.json").write_bytes(record.read_bytes())
    return "0123456789abcdef"


def _lose_a_video_in_the_ledger(folder: Path) -> str:
    record = sorted((folder / "ledger").iterdir())[0]
    values = json.loads(record.read_text())
    values["videos"] = values["videos"][1:]
    record.write_text(json.dumps(values))
    return record.name


def _damage_a_record(folder: Path) -> str:
    record = sorted((folder / "ledger").iterdir())[0]
    record.write_bytes(record.read_bytes()[:100])
    return record.name


def _lose_a_row(name: str) -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        table = pq.read_table(folder / name)
        pq.write_table(table.slice(1), folder / name)
        return name

    return damage


def _change_a_count(folder: Path) -> str:
    values = json.loads((folder / "dataset.json").read_text())
    values["counts"]["windows"] += 1
    (folder / "dataset.json").write_text(json.dumps(values))
    return "dataset.json"


def _remove(name: str) -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        (folder / name).unlink()
        return name

    return damage


DAMAGES = [
    _flip_a_bit,
    _remove_a_shard,
    _cut_a_shard,
    _leave_a_stray_shard,
    _remove_a_record,
    _leave_a_stray_record,
    _lose_a_video_in_the_ledger,
    _damage_a_record,
    _lose_a_row("index.parquet"),
    _lose_a_row("rejects.parquet"),
    _lose_a_row("videos.parquet"),
    _change_a_count,
    _remove("plan.parquet"),
    _remove("shards/index.json"),
    _remove("index.parquet"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_located(
    dataset: Path, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    assert verify(Tree(str(tmp_path / "d"))).whole
    where = damage(tmp_path / "d")
    found = verify(Tree(str(tmp_path / "d"))).findings
    assert any(where in finding.where for finding in found), found


@pytest.mark.parametrize("damage", DAMAGES)
def test_repair_and_the_same_ingest_restore_every_byte(
    corpus: Path, dataset: Path, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    damage(tmp_path / "d")
    repair(tree, verify(tree))
    ingest(corpus, tmp_path / "d")
    assert verify(tree).findings == ()
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_fast_checks_sizes_but_reads_no_shard(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    tree = Tree(str(tmp_path / "d"))
    _flip_a_bit(tmp_path / "d")
    assert verify(tree, fast=True).whole
    _cut_a_shard(tmp_path / "d")
    assert not verify(tree, fast=True).whole
