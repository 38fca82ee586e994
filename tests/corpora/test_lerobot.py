"""`sofdata.corpora.lerobot.corpus` and its writer: all episodes are found, actions on demand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ActionError, ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import ActionTrack
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.lerobots import (
    DATA,
    EPISODES,
    LENGTHS,
    TOP,
    WRIST,
    edit_info,
    edit_table,
    spoil_column,
    write_grey,
)


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return write_grey(tmp_path / "grey")


def listing(root: Path) -> Listing:
    return LeRobot().listing(Tree(str(root)))


def demonstrations(root: Path) -> Listing:
    return LeRobot().demonstrations(Tree(str(root)))


def by_id(found: Listing) -> dict[str, Entry]:
    return {entry.id: entry for entry in found.entries}


def track(root: Path, id: str) -> ActionTrack:
    found = demonstrations(root)
    ref = by_id(found)[id].actions
    assert ref is not None
    assert found.actions is not None
    return LeRobot().read_actions(Tree(str(root)), ref, found.actions)


def levels(root: Path, entry: Entry) -> list[float]:
    """Mean grey level of every frame of an entry."""
    stream = open_video(str(root / entry.uri), VideoConfig(), Sampling(32, 0.1, entry.span_s))
    return [float(rgb.mean()) for frames in stream for rgb in frames.rgb]


# The files


def test_the_writer_keeps_to_the_format(grey: Path) -> None:
    """Columns, types and names as LeRobot 0.4 writes them; tasks are the index of a frame."""
    info = json.loads((grey / "meta/info.json").read_text())
    totals = (info["total_episodes"], info["total_frames"], info["total_tasks"])
    assert (info["codebase_version"], totals, info["fps"]) == ("v3.0", (3, 28, 2), 10)
    tasks = pd.read_parquet(grey / "meta/tasks.parquet")
    assert tasks.index.tolist() == ["task 0", "task 1"]
    assert tasks["task_index"].tolist() == [0, 1]
    data = pq.ParquetFile(grey / DATA)
    assert data.schema_arrow.field("action").type == pa.list_(pa.float32(), 2)
    assert data.schema_arrow.field("timestamp").type == pa.float32()
    assert data.metadata.num_row_groups == 2  # one an episode
    rows = pq.ParquetFile(grey / EPISODES).read().to_pylist()
    assert [row["length"] for row in rows] == list(LENGTHS)
    assert [row["dataset_from_index"] for row in rows] == [0, 7, 19]
    assert [row[f"videos/{TOP}/from_timestamp"] for row in rows] == [0.0, 0.7, 0.0]
    assert [row[f"videos/{WRIST}/file_index"] for row in rows] == [0, 0, 1]
    stats = json.loads((grey / "meta/stats.json").read_text())
    assert (stats["action"]["max"], stats["action"]["count"]) == ([28.0, 0.0], [28])


def test_writing_twice_gives_the_same_bytes(grey: Path, tmp_path: Path) -> None:
    again = write_grey(tmp_path / "again")
    files = [path.relative_to(grey) for path in grey.rglob("*") if path.is_file()]
    assert len(files) == 10
    assert all((grey / name).read_bytes() == (again / name).read_bytes() for name in files)


# The listing


def test_it_is_recognised_by_its_info(grey: Path) -> None:
    corpus, why = find_corpus(Tree(str(grey)))
    assert (corpus.name, why) == ("lerobot", "LeRobot: meta/info.json")


def test_each_camera_of_each_episode_is_a_video_with_its_text(grey: Path) -> None:
    (grey / "README.md").write_text("hello")
    found = listing(grey)
    assert len(found.entries) == 6
    assert (found.ignored, found.notes, found.actions) == ({".md": 1}, (), None)
    entry = by_id(found)[f"{WRIST}/episode-000001"]
    assert entry.uri == f"videos/{WRIST}/chunk-000/file-000.mp4"
    assert entry.text == "task 1"
    assert entry.labels == {"camera": WRIST, "episode": "1"}
    assert entry.span_s == pytest.approx((0.65, 1.85))  # half a frame early
    assert (entry.problem, entry.actions) == ("", None)


@pytest.mark.parametrize("drift_s", [0.0, 0.04, -0.04])
def test_a_span_holds_the_frames_of_its_episode_and_no_other(grey: Path, drift_s: float) -> None:
    """Also when the stated seconds have drifted from the frames, by less than half a frame."""

    def shift(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for key in row:
                if key.endswith("_timestamp"):
                    row[key] += drift_s

    edit_table(grey, EPISODES, shift)
    for entry in listing(grey).entries:
        episode = int(entry.labels["episode"])
        expected = 40 + 60 * episode + (30 if entry.labels["camera"] == WRIST else 0)
        found = levels(grey, entry)
        assert len(found) == LENGTHS[episode]
        assert np.abs(np.array(found) - expected).max() < 4


def test_several_tasks_become_one_text(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[0].update(tasks=["open it", "look in"]))
    assert by_id(listing(grey))[f"{TOP}/episode-000000"].text == "open it; look in"


def test_a_missing_file_and_a_senseless_span_cost_their_episodes_only(grey: Path) -> None:
    (grey / f"videos/{WRIST}/chunk-000/file-001.mp4").unlink()
    edit_table(grey, EPISODES, lambda rows: rows[0].update({f"videos/{TOP}/to_timestamp": 0.0}))
    problems = {entry.id: entry.problem for entry in listing(grey).entries if entry.problem}
    assert problems == {f"{WRIST}/episode-000002": "no_file", f"{TOP}/episode-000000": "bad_span"}


def test_cameras_of_another_kind_are_left_out_and_named(grey: Path) -> None:
    def change(info: dict[str, Any]) -> None:
        info["features"][WRIST]["info"] = {"is_depth_map": True}
        info["features"]["observation.images.side_depth"] = {"dtype": "image", "shape": [8, 8]}

    edit_info(grey, change)
    found = listing(grey)
    assert {entry.labels["camera"] for entry in found.entries} == {TOP}
    assert "side_depth shows depth and is left out" in " ".join(found.notes)
    assert f"{WRIST} shows depth" in " ".join(found.notes)
    assert found.ignored == {"depth video": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(codebase_version="v2.1"), "of codebase_version v2.1"),
        (lambda info: info.update(codebase_version="v1.6"), "'v1.6', and only v2.0, v2.1, v3.0"),
        (lambda info: info.pop("codebase_version"), "codebase_version is None"),
        (lambda info: info.pop("features"), "lacks 'features'"),
        (lambda info: info.update(fps=0), "frames a second, found 0"),
        (lambda info: info.update(fps=True), "frames a second, found True"),
        (lambda info: info.update(video_path=None), "'video_path' should be a path, found None"),
        (lambda info: info.update(data_path="/etc/{chunk_index}/{file_index}"), "relative path"),
        (lambda info: info.update(data_path="../{chunk_index}/{file_index}"), "relative path"),
        (lambda info: info.update(data_path="{chunk_index.x}{file_index}"), "relative path"),
        (lambda info: info.update(video_path="{video_key}.mp4"), "relative path with"),
        (lambda info: info["features"].pop(TOP) and info["features"].pop(WRIST), "no feature is a"),
        (
            lambda info: [
                info["features"][camera].update(info={"is_depth_map": True})
                for camera in (TOP, WRIST)
            ],
            "no feature is a camera, only camera of depth, float32, int64",
        ),
    ],
)
def test_what_is_wrong_with_the_info_is_said(grey: Path, change: Any, message: str) -> None:
    edit_info(grey, change)
    with pytest.raises(ConfigError, match=r"info\.json|file-000\.parquet") as error:
        listing(grey)
    assert message in str(error.value)
    assert "--corpus folder" in str(error.value)


def test_a_damaged_table_of_episodes_is_named(grey: Path) -> None:
    edit_table(grey, EPISODES, lambda rows: rows[1].update(length=None))
    with pytest.raises(ConfigError, match=r"file-000\.parquet.*episode 1: 'length' is None"):
        listing(grey)
    (grey / EPISODES).write_bytes(b"PAR1 nonsense")
    with pytest.raises(ConfigError, match=r"file-000\.parquet.*no readable Parquet"):
        listing(grey)
    (grey / EPISODES).unlink()
    with pytest.raises(ConfigError, match="no episode is listed"):
        listing(grey)


# Actions


def test_actions_are_not_read_unless_they_are_asked_for(grey: Path) -> None:
    """What is stored of them is made unreadable, their statistics in `meta/episodes` too."""
    before = listing(grey)
    spoil_column(grey / EPISODES, "stats/action/mean")
    spoil_column(grey / DATA, "action")
    assert listing(grey) == before
    with pytest.raises(ActionError, match=r"episode 0 in .*no readable Parquet"):
        track(grey, f"{TOP}/episode-000000")
    (grey / DATA).unlink()
    assert listing(grey).entries == before.entries


@pytest.mark.parametrize("id", [f"{TOP}/episode-000001", f"{WRIST}/episode-000001"])
def test_the_actions_of_an_episode_stand_on_the_clock_of_its_video(grey: Path, id: str) -> None:
    found = track(grey, id)
    count = np.arange(12)
    np.testing.assert_array_equal(found.values, np.stack([10 + count, -count], axis=1))
    np.testing.assert_allclose(found.times_s, 0.7 + count / 10, atol=1e-6)
    assert found.tolerance_s == 0.05


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.int64(), 2), pa.large_list(pa.float32())]
)
def test_rows_are_found_however_they_are_stored(grey: Path, kind: Any) -> None:
    before = track(grey, f"{TOP}/episode-000001")
    schema = pq.ParquetFile(grey / DATA).schema_arrow
    place = schema.get_field_index("action")
    edit_table(grey, DATA, lambda rows: None, schema.set(place, pa.field("action", kind)))
    after = track(grey, f"{TOP}/episode-000001")
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(after.times_s, before.times_s)


def test_a_long_file_is_read_in_parts(tmp_path: Path) -> None:
    """More rows in one row group than are read at a time, and the episode lies across two parts."""
    write_grey(tmp_path, lengths=(3, 3))
    rows = [
        {"timestamp": t / 10, "frame_index": t, "episode_index": e, "action": [e, t]}
        for e, length in enumerate((4000, 300, 5000))
        for t in range(length)
    ]
    schema = pq.ParquetFile(tmp_path / DATA).schema_arrow
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / DATA)
    edit_table(tmp_path, EPISODES, lambda rows: rows[1].update(length=300))
    found = track(tmp_path, f"{TOP}/episode-000001")
    np.testing.assert_array_equal(found.values[:, 1], np.arange(300))


def test_a_missing_action_is_no_number(grey: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[2]["action"] = None
        rows[4]["action"] = [1.0, None]

    edit_table(grey, DATA, change)
    values = track(grey, f"{TOP}/episode-000000").values
    assert np.flatnonzero(np.isnan(values).any(1)).tolist() == [2, 4]
    assert values[5].tolist() == [5.0, -5.0]


def test_a_vector_of_one_number_may_be_stored_bare(grey: Path) -> None:
    schema = pq.ParquetFile(grey / DATA).schema_arrow
    bare = schema.set(schema.get_field_index("action"), pa.field("action", pa.float32()))
    for rel in (DATA, DATA.replace("file-000", "file-001")):
        edit_table(grey, rel, lambda rows: [row.update(action=2.5) for row in rows], bare)
    edit_info(grey, lambda info: info["features"]["action"].update(shape=[1], names=None))
    assert track(grey, f"{TOP}/episode-000000").values.tolist() == [[2.5]] * 7


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x", "y"], ("x", "y")),
        ({"motors": ["x", "y"]}, ("x", "y")),
        ({"x": 1, "y": 0}, ("y", "x")),
        (None, ("action_0", "action_1")),
        ([["x", "y"]], ("x", "y")),
        ([["x"], ["y"]], ("x", "y")),
        ({"arm": ["x"], "hand": ["y"]}, ("x", "y")),
        ({"left": ["x"], "right": ["x"]}, ("left.x", "right.x")),
        ({"motors": {"left": ["x"], "right": ["x"]}}, ("left.x", "right.x")),
        ({"motors": [["x", "y"]]}, ("x", "y")),
        ({"0": "x", "1": "y"}, ("x", "y")),
        ([0, 1], ("0", "1")),
        ({}, ("action_0", "action_1")),
        ([], ("action_0", "action_1")),
        ([["x", "y"], ["z"]], ("action_0", "action_1")),
        (["all of them"], ("action_0", "action_1")),
        (["x", "x"], ("action_0", "action_1")),
    ],
)
def test_every_dimension_has_a_name(grey: Path, names: Any, expected: tuple[str, ...]) -> None:
    edit_info(grey, lambda info: info["features"]["action"].update(names=names))
    spec = demonstrations(grey).actions
    assert spec is not None
    assert (spec.names, spec.dimension, spec.fps) == (expected, 2, 10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda features: features.pop("action"), "no feature 'action'"),
        (lambda features: features["action"].update(dtype="string", shape=[1]), "string [1]"),
        (lambda features: features["action"].update(shape=[2, 3]), "declares 6 (action_0, "),
        (lambda features: features["action"].update(shape=[]), "float32 []"),
        (lambda features: features["action"].update(shape=[0, 2]), "float32 [0, 2]"),
        (lambda features: features["action"].update(shape=[7]), "declares 7 (action_0, "),
    ],
)
def test_actions_that_cannot_be_kept_stop_the_ingest_before_any_work(
    grey: Path, change: Any, message: str
) -> None:
    edit_info(grey, lambda info: change(info["features"]))
    assert len(listing(grey).entries) == 6
    with pytest.raises(ConfigError) as error:
        demonstrations(grey)
    assert message in str(error.value)
    assert "--with-actions" in str(error.value)


def test_an_episode_whose_rows_do_not_fit_is_named(grey: Path) -> None:
    schema = pq.ParquetFile(grey / DATA).schema_arrow
    place = schema.get_field_index("action")
    loose = schema.set(place, pa.field("action", pa.list_(pa.float32())))
    edit_table(grey, DATA, lambda rows: rows[8].update(action=[1.0, 2.0, 3.0]), loose)
    with pytest.raises(ActionError, match=r"episode 1 .*have 2, 3 dimensions in 'action', .*of 2"):
        track(grey, f"{TOP}/episode-000001")
    assert len(track(grey, f"{TOP}/episode-000000")) == 7
    edit_table(grey, DATA, lambda rows: rows[3].update(timestamp=0.0))
    with pytest.raises(ActionError, match=r"episode 0 .*timestamps do not increase"):
        track(grey, f"{TOP}/episode-000000")
    edit_table(grey, DATA, lambda rows: rows.pop(2))
    with pytest.raises(ActionError, match=r"episode 0 .*6 rows, where .*tells of 7"):
        track(grey, f"{TOP}/episode-000000")


def test_a_missing_file_of_actions_is_known_before_any_work(grey: Path) -> None:
    (grey / DATA).unlink()
    problems = {entry.id: entry.problem for entry in demonstrations(grey).entries}
    assert problems[f"{TOP}/episode-000000"] == "no_actions_file"
    assert problems[f"{TOP}/episode-000002"] == ""
    assert {entry.problem for entry in listing(grey).entries} == {""}


def test_any_file_system_of_fsspec_will_do(grey: Path) -> None:
    remote = Tree("memory://grey")
    for path in (path for path in grey.rglob("*") if path.is_file()):
        remote.write(path.relative_to(grey).as_posix(), path.read_bytes())
    found = LeRobot().demonstrations(remote)
    assert found == demonstrations(grey)
    ref = by_id(found)[f"{TOP}/episode-000002"].actions
    assert ref is not None
    assert found.actions is not None
    values = LeRobot().read_actions(remote, ref, found.actions).values
    np.testing.assert_array_equal(values, track(grey, f"{TOP}/episode-000002").values)
