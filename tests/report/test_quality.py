"""What commands show of quality columns, and of the windows that a filter chooses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import sofdata
from sofdata.errors import ConfigError
from sofdata.report.inspect import choose_windows
from sofdata.shards.layout import INDEX
from sofdata.storage.tree import Tree
from sofdata.windows.quality import QUALITY_FIELDS
from tests.helpers import ingest
from tests.helpers import sofdata as command
from tests.videos import moving_square, write_video


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, dest = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("judged") / "d"
    frames = moving_square(40, 160, 120)
    write_video(folder / "light.mp4", frames, 10)
    write_video(folder / "dark.mp4", frames // 12, 10)
    ingest(folder, dest, "quality.columns=all", "windows.min_texture=0")
    return dest


def test_inspect_tells_between_what_most_windows_lie(judged: Path, tmp_path: Path) -> None:
    blur = pq.read_table(judged / INDEX)["blur"].to_numpy()
    done = command("inspect", judged, "--sheet", tmp_path / "a.png", "--json")
    figures = json.loads(done.stdout)["quality"]
    assert tuple(figures) == tuple(QUALITY_FIELDS)
    assert figures["blur"] == {
        "p5": round(float(np.percentile(blur, 5)), 6),
        "median": round(float(np.median(blur)), 6),
        "p95": round(float(np.percentile(blur, 95)), 6),
        "missing": 0,
    }
    shown = command("inspect", judged, "--sheet", tmp_path / "a.png")
    assert "dark_share: p5 " in shown.stdout


def test_inspect_shows_the_windows_that_a_filter_chooses(judged: Path) -> None:
    rows, total = choose_windows(Tree(str(judged)), 50, None, "dark_share > 0.9")
    assert 0 < total < pq.read_metadata(judged / INDEX).num_rows
    assert {row["source"] for row in rows} == {"dark.mp4"}
    assert choose_windows(Tree(str(judged)), 50, "light.mp4", "dark_share < 0.9")[1] > 0
    with pytest.raises(ConfigError, match=r"no window of video 'light.mp4' with dark_share > 0.9"):
        choose_windows(Tree(str(judged)), 50, "light.mp4", "dark_share > 0.9")


def test_a_wrong_filter_ends_a_command_with_what_to_write(judged: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "a.png"
    done = command("inspect", judged, "--sheet", sheet, "--where", "blurr < 1")
    assert done.returncode == 2
    assert "did you mean 'blur'" in done.stderr
    assert not sheet.exists()


def test_the_page_draws_quality_columns(judged: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = command("report", judged, "--out", page, "--where", "dark_share > 0.9", "--rows", 3)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for name in QUALITY_FIELDS:
        assert name in text
    assert "dark-" in text
    assert "light-" not in text


def test_a_filter_on_quality_loads_what_it_says_and_batches_have_the_numbers(judged: Path) -> None:
    table = pq.read_table(judged / INDEX)
    wanted = {row["key"]: row for row in table.to_pylist() if row["dark_share"] < 0.9}
    columns = ["blur", "motion", "steps", "start_s", "error_mean_px"]
    for workers in (0, 1):
        loader = sofdata.load(
            judged, batch_size=3, where="dark_share < 0.9", columns=columns, workers=workers
        )
        seen: list[str] = []
        for batch in loader:
            assert [*batch.columns] == ["blur", "mean_px", "steps", "start_s", "error_mean_px"]
            for name, values in batch.columns.items():
                assert values.dtype == torch.float64
                assert values.tolist() == [wanted[key][name] for key in batch.keys]
            seen += batch.keys
        assert sorted(seen) == sorted(wanted)
    assert batch.to("cpu").columns["blur"].tolist() == batch.columns["blur"].tolist()


def test_without_columns_batches_have_none(judged: Path) -> None:
    assert next(iter(sofdata.load(judged, batch_size=2))).columns == {}


def test_columns_that_are_not_there_are_explained(judged: Path, dataset: Path) -> None:
    for columns, described in (
        (["blurr"], "did you mean 'blur'"),
        (["text"], "columns of numbers: window, start_s"),
        ("blur", "columns is a list"),
    ):
        with pytest.raises(ConfigError, match=described):
            sofdata.load(judged, columns=columns)
    for asked in ({"where": "blur < 1"}, {"columns": ["blur"]}):
        with pytest.raises(ConfigError, match=r"not asked for it: --set quality.columns=blur"):
            sofdata.load(dataset, **asked)


def test_datasets_with_and_without_quality_are_loaded_together(
    judged: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    write_video(folder / "other.mp4", moving_square(30, 160, 120), 10)
    ingest(folder, tmp_path / "plain", "windows.min_texture=0")
    both = [judged, tmp_path / "plain"]
    assert sofdata.load(both, batch_size=4).rows > sofdata.load(judged, batch_size=4).rows
    with pytest.raises(ConfigError, match="unknown column 'blur'"):
        sofdata.load(both, where="blur < 1")
