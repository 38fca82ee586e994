"""What lies where in a Zarr store: videos, their episodes, texts, actions and clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr.codecs

from sofdata.video.sequences import zarr as reader
from tests.zarrs import (
    PICTURE,
    actions,
    numbers,
    pictures,
    put,
    replay_buffer,
    rewrite,
    source,
    store,
)

Version = Literal[2, 3]


def test_episode_ends_that_go_back_are_named(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, -4))
    (video,) = reader.look(source(path), {})["videos"]
    assert video["problem"] == "bad_episodes"
    assert video["detail"] == "'meta/episode_ends' does not increase"


def test_an_array_that_ends_before_its_episodes_is_cut_off(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8))
    rewrite(path, shape=[15, *PICTURE])
    found = reader.look(source(path), {})["videos"]
    assert [video["problem"] for video in found] == ["", "cut_off"]


def test_an_empty_episode_has_no_frames_and_spare_rows_are_named(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 0, 8))
    put(zarr.open_group(path), "data/long", pictures(range(25)))
    found = reader.look(source(path), {})
    assert [video["problem"] for video in found["videos"]] == ["", "no_frames", ""] * 2
    assert found["left_out"] == {
        "has rows behind the last episode, which belong to none": ["data/long"]
    }


def test_groups_of_episodes_keep_what_is_theirs(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr", 3) as root:
        for number, rows in enumerate((10, 14)):
            demo = root.create_group(f"demo_{number}", attributes={"task": f"task {number}"})
            put(demo, "obs/front", pictures(range(rows)))
            put(demo, "obs/wrist", pictures(range(rows)))
            put(demo, "actions", actions(rows))
            put(demo, "timestamp", np.arange(rows) / 20)
    found = reader.look(f"{tmp_path}/a.zarr/", {})["videos"]
    assert [(each["array"], each["group"], each["text"]) for each in found] == [
        ("demo_0/obs/front", "demo_0", "task 0"),
        ("demo_0/obs/wrist", "demo_0", "task 0"),
        ("demo_1/obs/front", "demo_1", "task 1"),
        ("demo_1/obs/wrist", "demo_1", "task 1"),
    ]
    assert [each["actions"] for each in found[1:3]] == [
        [["demo_0/actions", 2]],
        [["demo_1/actions", 2]],
    ]
    assert found[3]["times"] == "demo_1/timestamp"
    assert found[3]["fps"] == 20


@pytest.mark.parametrize(
    ("array", "group"),
    [
        ("demo_3/obs/front", "demo_3"),
        ("session_1/Episode 12/cam/rgb", "session_1/Episode 12"),
        ("data/demo3/0/rgb", "data/demo3"),
        ("12/obs/0/rgb", "12"),
        ("kitchen/front", "kitchen"),
        ("front", ""),
    ],
)
def test_the_group_of_a_recording(tmp_path: Path, array: str, group: str) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, array, pictures(range(3)))
    (video,) = reader.look(f"{tmp_path}/a.zarr/", {})["videos"]
    assert video["group"] == group


def test_a_camera_may_have_a_clock_of_its_own(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), cameras=("cam0_rgb", "cam1_rgb"))
    put(zarr.open_group(path), "data/cam1_timestamp", np.arange(9) / 30)
    first, second = reader.look(source(path), {})["videos"]
    assert (first["times"], second["times"]) == ("", "data/cam1_timestamp")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", [None, str])
def test_texts_of_episodes_may_lie_in_an_array(
    tmp_path: Path, version: Literal[2, 3], dtype: Any
) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), version)
    texts = np.array(["open", "shut the box, slowly"])
    meta: Any = zarr.open_group(path)["meta"]
    meta.create_array("instruction", shape=(2,), dtype=dtype or texts.dtype)[:] = texts
    found = reader.look(source(path), {})
    assert [video["text"] for video in found["videos"]] == [*texts]
    assert not found["left_out"]


def test_texts_of_episodes_may_be_an_attribute(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8))
    zarr.open_group(path).attrs["task"] = ["open", "shut"]
    found = reader.look(source(path), {})
    assert [video["text"] for video in found["videos"]] == ["open", "shut"]


@pytest.mark.parametrize("damage", ["rubbish", "missing"])
def test_texts_that_cannot_be_read_are_told(tmp_path: Path, damage: str) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8))
    meta: Any = zarr.open_group(path)["meta"]
    meta.create_array("instruction", shape=(2,), dtype=str)[:] = np.array(["open", "shut"])
    if damage == "missing":
        (path / "meta/instruction/0").unlink()
    else:
        (path / "meta/instruction/0").write_bytes(b"rubbish" * 9)
    found = reader.look(source(path), {})
    assert [video["text"] for video in found["videos"]] == ["", ""]
    ((why, paths),) = found["left_out"].items()
    assert "its texts are not used" in why
    assert paths == ["meta/instruction"]


def test_the_same_pictures_a_step_later_are_left_out(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "demo_0/obs/img", pictures(range(4)))
        put(root, "demo_0/next_obs/img", pictures(range(1, 5)))
    found = reader.look(f"{tmp_path}/a.zarr/", {})
    assert [video["array"] for video in found["videos"]] == ["demo_0/obs/img"]
    (named,) = found["left_out"].values()
    assert named == ["demo_0/next_obs/img"]


def test_what_shows_no_colours_is_left_out_and_named(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "depth", np.ones((4, 64, 64), np.uint16))
        put(root, "wrist_depth", pictures(range(4)))
        put(root, "seg_mask", np.ones((4, 64, 64, 1), np.uint8))
        put(root, "points", np.ones((4, 64, 3), np.float32))
        put(root, "deep", pictures(range(4)).astype(np.uint16))
        put(root, "depths/left", pictures(range(4)))
        put(root, "poses", np.ones((4, 7), np.float32))
    found = reader.look(f"{tmp_path}/a.zarr/", {})
    assert found["videos"] == []
    named = sorted(path for paths in found["left_out"].values() for path in paths)
    assert named == ["deep", "depth", "depths/left", "points", "seg_mask", "wrist_depth"]


def test_consolidated_metadata_makes_no_difference(tmp_path: Path) -> None:
    for version in (2, 3):
        path = replay_buffer(tmp_path / f"{version}.zarr", (6,), version)
        before = reader.look(source(path), {})
        zarr.consolidate_metadata(str(path))
        assert reader.look(source(path), {}) == before
        assert numbers(path) == list(range(6))
