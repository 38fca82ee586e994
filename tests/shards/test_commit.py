"""`sofdata.shards.commit` in object stores: two drivers, one record, and the shard it names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sofdata.ingest.plan import load_plan
from sofdata.shards.commit import commit_record, committed, read_record
from sofdata.shards.schema import LedgerRecord
from sofdata.storage.tree import Tree
from tests.s3 import S3Server


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.make_bucket("commits")


@pytest.fixture(params=["s3", "memory"])
def dest(request: pytest.FixtureRequest, s3_env: S3Server, bucket: str) -> Tree:
    """A store with conditions and marks, and one that has neither."""
    name = request.node.name.replace("[", "-").rstrip("]")
    return Tree(f"{bucket}/{name}" if request.param == "s3" else f"memory://{name}")


class Driver:
    """What a driver has made of a unit: a shard of its own bytes, and the record of it."""

    def __init__(self, dest: Tree, dataset: Path, folder: Path, content: bytes) -> None:
        plan = load_plan(Tree(str(dataset)))
        assert plan
        record = read_record(Tree(str(dataset)), plan.units[0].id)
        assert record.shard
        sha256 = hashlib.sha256(content).hexdigest()
        shard = record.shard.model_copy(update={"sha256": sha256, "size_bytes": len(content)})
        self.record: LedgerRecord = record.model_copy(update={"shard": shard})
        self.dest = dest
        self.rel = f"shards/{shard.name}"
        self.path = folder / sha256
        self.path.write_bytes(content)

    def publish(self) -> None:
        shard = self.record.shard
        assert shard
        self.dest.put(str(self.path), self.rel, shard.sha256)

    def commit(self) -> LedgerRecord:
        return commit_record(self.dest, self.record, str(self.path))


@pytest.fixture
def drivers(dest: Tree, dataset: Path, tmp_path: Path) -> tuple[Driver, Driver]:
    """Two whose results differ, as when a video met a time limit for one of them."""
    return (
        Driver(dest, dataset, tmp_path, b"one" * 100),
        Driver(dest, dataset, tmp_path, b"other" * 100),
    )


@pytest.mark.parametrize("order", ["11 22", "12 12", "21 12", "12 21", "21 21"])
def test_two_drivers_in_any_order_leave_a_record_and_the_shard_that_it_names(
    dest: Tree, drivers: tuple[Driver, Driver], order: str
) -> None:
    if order == "11 22":  # one is done before the other publishes
        for driver in drivers:
            driver.publish()
            driver.commit()
    else:
        published, commits = order.split()
        for number in published:
            drivers[int(number) - 1].publish()
        for number in commits:
            drivers[int(number) - 1].commit()
    standing = committed(dest, drivers[0].record.unit)
    assert standing in (drivers[0].record, drivers[1].record)
    assert standing
    assert standing.shard
    assert hashlib.sha256(dest.read(drivers[0].rel)).hexdigest() == standing.shard.sha256


def test_the_second_of_two_equal_results_takes_over_the_first(
    dest: Tree, dataset: Path, tmp_path: Path
) -> None:
    driver = Driver(dest, dataset, tmp_path, b"same" * 100)
    driver.publish()
    assert driver.commit() == driver.record
    assert driver.commit() == driver.record


def test_a_damaged_record_is_written_anew(dest: Tree, drivers: tuple[Driver, Driver]) -> None:
    driver = drivers[0]
    dest.write(f"ledger/{driver.record.unit}.json", b"{")
    driver.publish()
    assert driver.commit() == driver.record
    assert committed(dest, driver.record.unit) == driver.record
