"""Chained edits on two hundred tiny videos beside the dataset that one ingest makes of them all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.edits.select import Selection, selected
from sofdata.edits.split import SplitBy, split
from sofdata.ingest.verify import verify
from sofdata.loading.split import HeldOut
from sofdata.shards.layout import SPLIT
from sofdata.storage.tree import Tree
from tests.edits.tiny import append_tiny, ingest_tiny, merge_tiny, select_tiny, write_tiny
from tests.helpers import hashes

# What says where videos lie, and how the dataset was made.
OF_PLACES = ("plan.parquet", "dataset.json", SPLIT)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`direct` of all videos; `merged` of those that were ingested, appended and ingested apart."""
    folder = tmp_path_factory.mktemp("chain")
    write_tiny(folder / "videos", range(200))
    (folder / "videos" / "013.mp4").write_bytes(b"no video")
    _manifest(folder / "all.jsonl", range(200))
    _manifest(folder / "first.jsonl", range(100))
    _manifest(folder / "second.jsonl", range(100, 150))
    _manifest(folder / "third.jsonl", range(150, 200))
    ingest_tiny(folder / "all.jsonl", folder / "direct")
    ingest_tiny(folder / "first.jsonl", folder / "grown")
    append_tiny(folder / "second.jsonl", folder / "grown")
    ingest_tiny(folder / "third.jsonl", folder / "third")
    merge_tiny(folder / "merged", folder / "grown", folder / "third")
    return folder


def test_ingest_append_and_merge_are_the_direct_dataset_to_the_byte(chain: Path) -> None:
    assert _compared(chain / "merged") == _compared(chain / "direct")
    assert verify(Tree(str(chain / "merged"))).whole


def test_the_plan_differs_in_where_videos_lie_alone(chain: Path) -> None:
    plans = [pq.read_table(chain / name / "plan.parquet") for name in ("merged", "direct")]
    merged, direct = (plan.drop_columns(["uri"]) for plan in plans)
    assert merged.drop_columns(["corpus"]).equals(direct)
    assert [name for name in merged.schema.names if name not in direct.schema.names] == ["corpus"]


def test_both_sides_of_a_split_merged_again_are_the_direct_dataset(
    chain: Path, tmp_path: Path
) -> None:
    split(Tree(str(chain / "merged")), SplitBy("file", HeldOut(0.1)))
    for side in ("train", "held_out"):
        parent, new = open_parent(Tree(str(chain / "merged"))), Tree(str(tmp_path / side))
        derive(selected(parent, new, Selection(side=side)), run_config("inline"))  # type: ignore[arg-type]
    merge_tiny(tmp_path / "both", tmp_path / "train", tmp_path / "held_out")
    assert _compared(tmp_path / "both") == _compared(chain / "direct")
    assert verify(Tree(str(tmp_path / "both"))).whole


def test_a_selection_of_parts_merged_is_the_selection_of_all(chain: Path, tmp_path: Path) -> None:
    where = "motion > 0.7 and window < 2"
    select_tiny(chain / "direct", tmp_path / "direct", where)
    for name in ("grown", "third"):
        select_tiny(chain / name, tmp_path / name, where)
    merge_tiny(tmp_path / "merged", tmp_path / "grown", tmp_path / "third")
    assert _compared(tmp_path / "merged") == _compared(tmp_path / "direct")
    assert verify(Tree(str(tmp_path / "merged"))).whole


def test_the_lineage_tells_every_step(chain: Path) -> None:
    lineage = open_parent(Tree(str(chain / "merged"))).record.lineage or []
    assert [step.operation for step in lineage] == ["append", "merge"]
    assert [parent.videos for parent in lineage[-1].parents] == [150, 50]


def _manifest(path: Path, numbers: Iterable[int]) -> None:
    rows = [
        {
            "id": f"{n:03}",
            "path": f"videos/{n:03}.mp4",
            "text": f"turn {n % 7}",
            "scene": f"{n % 3}",
        }
        for n in numbers
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


def _compared(dest: Path) -> dict[str, str]:
    """Hashes of all that has to be the same: shards, ledger, and the other tables."""
    return {name: each for name, each in hashes(dest).items() if name not in OF_PLACES}
