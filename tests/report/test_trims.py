"""The trim list of a dataset of clips that begin or end at rest, or do not move at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import sofdata
from sofdata.errors import ConfigError
from sofdata.report.trims import COLUMNS, as_text, trim_list
from sofdata.shards.record import complete_dataset
from sofdata.storage.tree import Tree
from tests.helpers import sofdata as run_cli
from tests.videos import write_video

FPS = 10
SETTINGS = {
    "run.engine": "inline",
    "flow.size": 64,
    "flow.step_s": 0.1,
    "windows.size": 32,
    "windows.shots": False,
    "windows.trim_margin": 0,
    "windows.trim_inside": 12,
}


def film(*stages: tuple[int, int]) -> NDArray[np.uint8]:
    """A texture that moves by so many px a frame, for so many frames, stage by stage."""
    moves = [px for px, frames in stages for _ in range(frames)]
    at = np.cumsum([0, *moves])
    cloth = np.random.default_rng(0).integers(0, 256, (16, 16 + at[-1] // 4 + 2, 3), np.uint8)
    wide = cloth.repeat(4, 0).repeat(4, 1)
    return np.stack([wide[:, place : place + 64] for place in at])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    films = {
        "both": film((0, 10), (2, 12), (0, 8)),
        "long rest": film((2, 8), (0, 20), (2, 8)),
        "never": film((0, 16)),
        "always": film((2, 16)),
    }
    for name, frames in films.items():
        write_video(folder / f"{name}.mp4", frames, FPS)
    return folder


@pytest.fixture(scope="module")
def dataset(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    dest = tmp_path_factory.mktemp("trimmed") / "dataset"
    sofdata.ingest(source, dest, settings=SETTINGS | {"windows.trim": True})
    return Tree(str(dest))


def test_every_idle_part_is_listed_where_it_lies(dataset: Tree) -> None:
    rows = trim_list(dataset, complete_dataset(dataset))
    found = [(row["video"], row["at"], row["start_s"], row["end_s"]) for row in rows]
    expected = [
        ("both.mp4", "start", 0.0, 1.0),
        ("both.mp4", "end", 2.2, 3.0),
        ("long rest.mp4", "inside", 0.8, 2.8),
        ("never.mp4", "whole", 0.0, 1.6),
    ]
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for (*_, start_s, end_s), (*_, first_s, last_s) in zip(found, expected, strict=True):
        assert (start_s, end_s) == pytest.approx((first_s, last_s), abs=0.11)


def test_the_account_counts_them_and_a_clip_that_never_moves_is_rejected_as_idle(
    dataset: Tree,
) -> None:
    counts = complete_dataset(dataset).counts
    assert counts.window_reasons["idle"] == 4
    assert (counts.done, counts.reasons) == (3, {"idle": 1})
    assert sofdata.verify(dataset.name).whole


def test_the_list_is_written_as_csv_and_as_json(dataset: Tree, tmp_path: Path) -> None:
    rows = trim_list(dataset, complete_dataset(dataset))
    read = list(csv.DictReader(io.StringIO(as_text(rows, "csv"))))
    assert tuple(read[0]) == COLUMNS
    assert [float(row["start_s"]) for row in read] == pytest.approx(
        [row["start_s"] for row in rows], abs=1e-6
    )
    assert [row["video"] for row in json.loads(as_text(rows, "json"))] == [
        row["video"] for row in rows
    ]


def test_the_command_writes_the_list(dataset: Tree, tmp_path: Path) -> None:
    printed = run_cli("trims", dataset.name)
    assert printed.stdout.splitlines()[0] == ",".join(COLUMNS)
    assert len(printed.stdout.splitlines()) == 5
    done = run_cli("trims", dataset.name, "--out", str(tmp_path / "trims.json"))
    assert "4 idle parts of 3 videos" in done.stdout
    assert len(json.loads((tmp_path / "trims.json").read_text())) == 4


def test_a_dataset_made_without_trim_has_no_list(source: Path, tmp_path: Path) -> None:
    sofdata.ingest(source, tmp_path / "dataset", settings=SETTINGS)
    tree = Tree(str(tmp_path / "dataset"))
    with pytest.raises(ConfigError, match=r"without windows.trim.*--set windows.trim=true"):
        trim_list(tree, complete_dataset(tree))
