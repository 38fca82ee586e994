"""Edits of datasets in an object store make the bytes that they make on a disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.edits.select import Selection, selected
from sofdata.edits.split import SplitBy, split
from sofdata.ingest.verify import verify
from sofdata.loading.split import HeldOut
from sofdata.storage.tree import Tree
from tests.edits.tiny import append_tiny, ingest_tiny, merge_tiny, select_tiny, write_tiny
from tests.helpers import NOT_COMPARED
from tests.s3 import S3Server

WHERE = "motion > 0.7 and window < 2"


@pytest.fixture
def bucket(s3_env: S3Server, request: pytest.FixtureRequest) -> str:
    return s3_env.make_bucket(request.node.name.replace("_", "-")[:40])


def stored(url: Path | str) -> dict[str, str]:
    """sha256 of each file of a dataset but its record, which says where it was made from."""
    tree = Tree(str(url))
    return {
        item.rel: hashlib.sha256(tree.read(item.rel)).hexdigest()
        for item in tree.walk()
        if item.rel.split("/")[0] not in (*NOT_COMPARED, "dataset.json", "plan.parquet")
    }


def test_a_chain_of_edits_is_the_same_in_a_store(tmp_path: Path, bucket: str) -> None:
    for name, numbers in (("a", range(8)), ("b", range(20, 26)), ("c", range(40, 44))):
        write_tiny(tmp_path / name, numbers)
    for place in (str(tmp_path / "d"), f"{bucket}/d"):
        for name in ("a", "b"):
            ingest_tiny(tmp_path / name, f"{place}/{name}")
        append_tiny(tmp_path / "c", f"{place}/a")
        select_tiny(f"{place}/a", f"{place}/chosen", WHERE)
        merge_tiny(f"{place}/both", f"{place}/a", f"{place}/b")
        split(Tree(f"{place}/both"), SplitBy("file", HeldOut(0.3)))
        parent, new = open_parent(Tree(f"{place}/both")), Tree(f"{place}/held")
        derive(selected(parent, new, Selection(side="held_out")), run_config("inline"))
    for name in ("a", "chosen", "both", "held"):
        there = stored(f"{bucket}/d/{name}")
        assert there == stored(tmp_path / "d" / name), name
        assert any(rel.startswith("shards/") for rel in there)
        assert verify(Tree(f"{bucket}/d/{name}")).whole


def test_an_export_reads_a_dataset_in_a_store(tmp_path: Path, bucket: str) -> None:
    from sofdata.api.functions import export

    write_tiny(tmp_path / "a", range(5))
    ingest_tiny(tmp_path / "a", tmp_path / "d")
    ingest_tiny(tmp_path / "a", f"{bucket}/d")
    for kind in ("hf", "lerobot"):
        export(str(tmp_path / "d"), str(tmp_path / f"{kind}-here"), to=kind)
        export(f"{bucket}/d", str(tmp_path / f"{kind}-there"), to=kind)
        here, there = (
            {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
            for root in (tmp_path / f"{kind}-here", tmp_path / f"{kind}-there")
        )
        assert here == there
