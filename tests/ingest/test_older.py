"""A dataset made before losses were counted and texture was asked for is whole, and reads on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config, stored_config
from sofdata.ingest.verify import verify
from sofdata.report.dataset import write_report
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from tests.helpers import ingest

COLUMNS = ("frames_lost", "frames_undated", "missing_s")
COUNTS = (
    "frames",
    "frames_lost",
    "frames_undated",
    "label_files",
    "salvaged",
    "spans_cut",
    "unused_rows",
)
OFF = ("windows.min_texture=0", "windows.camera_fit=ransac")  # as it was without these keys


@pytest.fixture(scope="module")
def films(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole film and one that is cut off, so that it is salvaged."""
    folder = tmp_path_factory.mktemp("films")
    whole, other, *_ = sorted(corpus.rglob("*.webm"))
    shutil.copy(whole, folder / "whole.webm")
    data = other.read_bytes()
    (folder / "cut.webm").write_bytes(data[: len(data) * 3 // 4])
    return folder


@pytest.fixture
def older(films: Path, tmp_path: Path) -> Path:
    """Their dataset without what has come since."""
    dest = tmp_path / "older"
    ingest(films, dest, *OFF)
    videos = pq.read_table(dest / "videos.parquet")
    assert any(videos["salvaged"].to_pylist())
    pq.write_table(videos.drop_columns(list(COLUMNS)), dest / "videos.parquet")
    record = json.loads((dest / "dataset.json").read_text())
    del record["notes"]
    for name in COUNTS:
        del record["counts"][name]
    (dest / "dataset.json").write_text(json.dumps(record))
    return dest


def test_it_is_whole(older: Path) -> None:
    assert verify(Tree(str(older))).findings == ()


def test_a_count_that_it_has_is_still_checked(older: Path) -> None:
    record = json.loads((older / "dataset.json").read_text())
    record["counts"]["windows"] += 1
    (older / "dataset.json").write_text(json.dumps(record))
    assert [each.where for each in verify(Tree(str(older))).findings] == ["dataset.json"]


def test_a_column_that_it_always_had_is_still_missed(older: Path) -> None:
    videos = pq.read_table(older / "videos.parquet")
    pq.write_table(videos.drop_columns(["salvaged"]), older / "videos.parquet")
    assert [each.where for each in verify(Tree(str(older))).findings] == ["videos.parquet"]


def test_its_page_lists_what_was_salvaged(older: Path) -> None:
    tree = Tree(str(older))
    dataset = read_dataset(tree)
    assert dataset is not None
    write_report(tree, dataset, 4, None)
    page = (older / "report.html").read_text()
    assert "<h2>Salvaged</h2>" in page
    assert "cut.webm" in page.split("<h2>Salvaged</h2>")[1]


def test_the_same_ingest_goes_on_and_another_names_the_setting(films: Path, older: Path) -> None:
    assert ingest(films, older, *OFF).units_run == 0
    for key, message in enumerate(
        (
            r"windows.min_texture is 0.4, there 0\.0",
            "windows.camera_fit is 'consensus', there 'ransac'",
        )
    ):
        with pytest.raises(ConfigError, match=message):
            ingest(films, older, *OFF[:key], *OFF[key + 1 :])


def test_a_record_without_the_keys_means_what_was_done_before_there_were_any() -> None:
    older = load_config(None, OFF)
    assert not older.content()["windows"].keys() & {"min_texture", "camera_fit", "tail"}
    assert stored_config(older.content()).windows == older.windows
    without = load_config(None, ["windows.camera=off"])
    assert "camera_fit" not in without.content()["windows"]  # it decides nothing
    masked = load_config(None, ["windows.tail=mask"])
    assert stored_config(masked.content()).windows.tail == "mask"
    assert stored_config(older.content()).windows.tail == "drop"
