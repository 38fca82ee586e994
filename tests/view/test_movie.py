"""A film shows the frames and the flow at their times, also where the source is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from sofdata.errors import ConfigError, StorageError
from sofdata.storage.tree import Tree
from sofdata.view.movie import STILL_S, write_movie
from sofdata.view.scenes import Scene, Step, scenes
from tests.helpers import ingest, sofdata

FLOW = np.zeros((2, 2, 2), np.float32)
RGB = np.zeros((2, 2, 3), np.uint8)


def step(at_s: float, end_s: float) -> Step:
    return Step(at_s, end_s, FLOW, 0, 1, {})


def told(found: Scene) -> tuple[float, bool, bool]:
    return found.at_s, found.rgb is not None, found.step is not None


def test_frames_and_steps_meet_at_their_times() -> None:
    frames = [(0.0, RGB), (1.0, RGB), (2.0, RGB), (3.0, RGB)]
    steps = [step(1.0005, 2.0), step(2.0, 3.0)]
    assert [told(each) for each in scenes(steps, frames)] == [
        (0.0, True, False),
        (1.0, True, True),
        (2.0, True, True),
        (3.0, True, False),
    ]


def test_without_frames_a_gap_between_windows_shows_nothing() -> None:
    steps = [step(0.0, 1.0), step(1.0, 2.0), step(5.0, 6.0)]
    assert [told(each) for each in scenes(steps, [])] == [
        (0.0, False, True),
        (1.0, False, True),
        (2.0, False, False),
        (5.0, False, True),
        (6.0, False, False),
    ]


def film(path: Path) -> tuple[list[float], NDArray[np.uint8]]:
    with av.open(str(path)) as file:
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in file.decode()]
    return [at_s for at_s, _ in frames], np.stack([rgb for _, rgb in frames])


def moving(dest: Path) -> str:
    """The video with the most motion."""
    index = pq.read_table(dest / "index.parquet").to_pylist()
    found: str = max(index, key=lambda row: row["mean_px"])["source"]
    return found


def test_a_film_has_a_picture_for_each_sampled_frame(dataset: Path, tmp_path: Path) -> None:
    video = moving(dataset)
    made = write_movie(Tree(str(dataset)), video, str(tmp_path / "a.mp4"))
    times_s, pictures = film(tmp_path / "a.mp4")
    rows = pq.read_table(dataset / "videos.parquet").to_pylist()
    row = next(each for each in rows if each["id"] == video)
    assert len(times_s) == row["frames"] + 1
    assert times_s[-2] == pytest.approx(row["covered_s"], abs=1e-3)
    assert times_s[-1] - times_s[-2] == pytest.approx(STILL_S, abs=1e-3)
    assert made.windows == row["windows"]
    assert made.why_no_frames == ""
    left, right = np.split(pictures[:, 70:350].astype(float), [pictures.shape[2] // 2], 2)
    assert left.mean() > 40  # the video
    assert right.std() > 3  # flow on a dark ground
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def test_where_the_source_is_gone_stored_frames_stand_in(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(corpus, source)
    ingest(source, tmp_path / "d")
    video = moving(tmp_path / "d")
    shutil.rmtree(source)
    made = write_movie(Tree(str(tmp_path / "d")), video, str(tmp_path / "a.mp4"))
    assert "is not there" in made.why_no_frames
    _, pictures = film(tmp_path / "a.mp4")
    assert pictures[0, 70:350, : pictures.shape[2] // 2].mean() > 40


def test_a_video_whose_windows_were_all_rejected_has_a_film_too(
    dataset: Path, tmp_path: Path
) -> None:
    rejects = pq.read_table(dataset / "rejects.parquet").to_pylist()
    video = next(each["video"] for each in rejects if each["reason"] == "static")
    made = write_movie(Tree(str(dataset)), video, str(tmp_path / "a.mp4"))
    assert made.windows >= 0
    assert len(film(tmp_path / "a.mp4")[0]) > 5


def test_what_cannot_be_shown_says_why_and_leaves_no_file(dataset: Path, tmp_path: Path) -> None:
    tree = Tree(str(dataset))
    with pytest.raises(ConfigError, match="no such video"):
        write_movie(tree, "nobody", str(tmp_path / "a.mp4"))
    with pytest.raises(ConfigError, match=r"\.mp4 or \.rrd"):
        write_movie(tree, moving(dataset), str(tmp_path / "a.avi"))
    with pytest.raises(ConfigError, match="is not there"):
        write_movie(tree, moving(dataset), str(tmp_path / "a.mp4"), str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match="cannot write"):
        write_movie(tree, moving(dataset), str(tmp_path / "no" / "a.mp4"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_made(dataset: Path, tmp_path: Path) -> None:
    done = sofdata("movie", dataset, moving(dataset), tmp_path / "a.mp4")
    assert done.returncode == 0, done.stderr
    assert f"film: {tmp_path / 'a.mp4'}, " in done.stdout


@pytest.mark.skipif(find_spec("rerun") is not None, reason="rerun-sdk is installed")
def test_without_rerun_its_recording_names_the_extra(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sofdata\[rerun\]"):
        write_movie(Tree(str(dataset)), moving(dataset), str(tmp_path / "a.rrd"))


@pytest.mark.skipif(find_spec("rerun") is None, reason="needs rerun-sdk: the extra rerun")
def test_a_recording_for_rerun_holds_frames_flow_motion_and_texts(
    dataset: Path, tmp_path: Path
) -> None:
    write_movie(Tree(str(dataset)), moving(dataset), str(tmp_path / "a.rrd"))
    reader = [sys.executable, "-m", "rerun", "rrd", "print", str(tmp_path / "a.rrd")]
    found = subprocess.run(reader, capture_output=True, text=True, check=True, timeout=240).stdout
    for name in ("/video", "/flow", "/motion/mean_px", "/windows"):
        assert name in found
