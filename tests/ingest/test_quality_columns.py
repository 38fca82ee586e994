"""Quality columns: in samples, ledger and index where they are asked for, else nowhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.ingest.config import IngestConfig, load_config, stored_config
from sofdata.ingest.repair import repair
from sofdata.ingest.verify import verify
from sofdata.shards.layout import DATASET, INDEX
from sofdata.shards.sample import decode_sample
from sofdata.shards.schema import index_schema
from sofdata.shards.tar import read_sample_at
from sofdata.storage.tree import Tree
from sofdata.windows.quality import QUALITY_FIELDS
from tests.helpers import hashes, ingest
from tests.videos import moving_square, write_video

ALL = "quality.columns=all"
NAMES = tuple(QUALITY_FIELDS)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        frames = moving_square(24 + 7 * number, 160, 120)
        write_video(folder / f"{number}.mp4", frames, 10)
    return folder


@pytest.fixture(scope="module")
def judged(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("judged") / "d"
    ingest(videos, dest, ALL)
    return dest


def test_index_ledger_and_samples_have_the_same_numbers(judged: Path) -> None:
    table = pq.read_table(judged / INDEX)
    assert table.schema.equals(index_schema(NAMES))
    rows = table.to_pylist()
    assert len(rows) > 5
    for row in rows:
        with open(judged / "shards" / row["shard"], "rb") as stream:
            sample = decode_sample(*read_sample_at(stream, row["offset"], row["shard"]))
        assert sample.record.quality == {name: row[name] for name in NAMES}
        assert all(0 <= row[name] <= 1 for name in NAMES)
    ledger = json.loads(next((judged / "ledger").iterdir()).read_bytes())
    assert {*NAMES} <= {*ledger["windows"][0]}
    assert verify(Tree(str(judged))).findings == ()


def test_without_quality_columns_nothing_of_them_is_stored(videos: Path, tmp_path: Path) -> None:
    ingest(videos, tmp_path / "d")
    record = json.loads((tmp_path / "d" / DATASET).read_bytes())
    assert "quality" not in record["config"]
    assert pq.read_schema(tmp_path / "d" / INDEX).equals(index_schema())
    ledger, shards = (tmp_path / "d" / name for name in ("ledger", "shards"))
    for path in [*ledger.iterdir(), *shards.glob("*.tar")]:
        for name in ("quality", *NAMES):
            assert f'"{name}"'.encode() not in path.read_bytes()
    assert verify(Tree(str(tmp_path / "d"))).findings == ()


def test_the_flow_and_the_windows_are_those_of_a_dataset_without(
    videos: Path, judged: Path, tmp_path: Path
) -> None:
    ingest(videos, tmp_path / "d")
    plain, more = (pq.read_table(dest / INDEX) for dest in (tmp_path / "d", judged))
    names = [name for name in index_schema().names if name not in ("shard", "offset")]
    assert more.select(names).sort_by("key") == plain.select(names).sort_by("key")


def test_processes_and_chunks_of_any_size_give_the_same_numbers(
    videos: Path, judged: Path, tmp_path: Path
) -> None:
    ingest(videos, tmp_path / "two", ALL, "run.engine=processes", "run.workers=2")
    assert hashes(tmp_path / "two") == hashes(judged)
    ingest(videos, tmp_path / "chunks", ALL, "video.chunk_frames=5")
    found = [pq.read_table(dest / INDEX) for dest in (tmp_path / "chunks", judged)]
    columns = ["key", *NAMES]
    assert found[0].select(columns).sort_by("key") == found[1].select(columns).sort_by("key")


def test_the_columns_of_one_name_alone(videos: Path, tmp_path: Path) -> None:
    ingest(videos, tmp_path / "d", "quality.columns=[exposure]")
    table = pq.read_table(tmp_path / "d" / INDEX)
    assert table.schema.equals(index_schema(("dark_share", "bright_share")))
    assert not table["dark_share"].null_count
    assert verify(Tree(str(tmp_path / "d"))).findings == ()


def test_a_column_that_was_changed_or_lost_is_found(judged: Path, tmp_path: Path) -> None:
    dest = tmp_path / "d"
    shutil.copytree(judged, dest)
    table = pq.read_table(dest / INDEX)
    at = table.schema.get_field_index("blur")
    for changed in (
        table.drop_columns(["blur"]),
        table.set_column(at, table.schema.field(at), [np.zeros(table.num_rows)]),
    ):
        pq.write_table(changed, dest / INDEX)
        (finding,) = verify(Tree(str(dest))).findings
        assert finding.where == INDEX
    repair(Tree(str(dest)), verify(Tree(str(dest))))
    assert pq.read_table(dest / INDEX) == table


def test_configurations_of_before_keep_their_digest() -> None:
    config = load_config(None)
    content = config.content()
    assert "quality" not in content
    assert stored_config(content).quality == IngestConfig().quality
    asked = load_config(None, [ALL])
    assert asked.digest() != config.digest()
    assert stored_config(asked.content()).quality == asked.quality
    other = load_config(None, ["quality.columns=camera,consistency,exposure,blur"])
    assert other.digest() == asked.digest()
