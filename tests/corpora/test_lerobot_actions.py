"""LeRobot actions in several columns: joined, named by their parts, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ActionError, ConfigError
from tests.corpora.test_lerobot import demonstrations, listing, track
from tests.helpers import ingest
from tests.lerobots import TOP, add_columns, edit_info, jumping_episodes, write_grey, write_v2


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return write_grey(tmp_path / "grey")


def names(root: Path) -> tuple[str, ...]:
    spec = demonstrations(root).actions
    assert spec is not None
    return spec.names


def split_actions(root: Path, **parts: dict[str, Any]) -> None:
    """Put columns in place of `action`, as given by their feature and `values` of each row."""
    features = {}
    for name, about in parts.items():
        add_columns(root, {name.replace("__", "."): about.pop("values")})
        features[name.replace("__", ".")] = about
    edit_info(root, lambda info: info["features"].pop("action"))
    edit_info(root, lambda info: info["features"].update(features))


def test_parts_of_actions_are_joined_in_the_order_of_their_features(grey: Path) -> None:
    split_actions(
        grey,
        actions__joint__position={
            "dtype": "float32",
            "shape": [2],
            "names": {"motors": ["left", "right"]},
            "values": lambda t: [t, t + 0.5],
        },
        actions__end__orientation={
            "dtype": "float64",
            "shape": [2, 2],
            "names": None,
            "values": lambda t: [[t, 1.0], [2.0, -t]],
        },
        action__gripper={
            "dtype": "int64",
            "shape": [1],
            "names": ["gripper"],
            "values": lambda t: t % 2,
        },
        action__mode={"dtype": "string", "shape": [1], "values": lambda t: "go"},
    )
    ends = tuple(f"end.orientation_{number}" for number in range(4))
    assert names(grey) == ("joint.position.left", "joint.position.right", *ends, "gripper")
    found = track(grey, f"{TOP}/episode-000001")
    t = np.arange(12)
    expected = np.stack([t, t + 0.5, t, t * 0 + 1, t * 0 + 2, -t, t % 2], axis=1)
    np.testing.assert_array_equal(found.values, expected.astype(np.float32))
    np.testing.assert_allclose(found.times_s, 0.7 + t / 10, atol=1e-6)
    notes = " ".join(demonstrations(grey).notes)
    assert "joined from actions.joint.position, actions.end.orientation, action.gripper" in notes
    assert "left out of the actions: action.mode" in notes
    assert listing(grey).notes == ()


def test_parts_of_one_name_are_told_apart(grey: Path) -> None:
    arm = {"dtype": "float32", "shape": [1], "names": None}
    split_actions(
        grey,
        action__arm={**arm, "values": lambda t: t},
        actions__arm={**arm, "values": lambda t: -t},
    )
    assert names(grey) == ("action.arm", "actions.arm")


def test_the_whole_vector_is_taken_where_its_parts_are_there_too(grey: Path) -> None:
    arm = {"dtype": "float32", "shape": [1], "names": None}
    add_columns(grey, {"action.arm": lambda t: t})
    edit_info(grey, lambda info: info["features"].update({"action.arm": arm}))
    assert names(grey) == ("a", "b")
    assert len(track(grey, f"{TOP}/episode-000000").values[0]) == 2
    notes = demonstrations(grey).notes
    assert notes == ("action holds the actions; left out: action.arm",)


def test_joined_actions_ride_with_their_windows(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "s", jumping_episodes(2), fps=20, action="action.jump")
    edit_info(
        root,
        lambda info: info["features"].update(
            {"action.step": {"dtype": "float32", "shape": [1], "names": None}}
        ),
    )
    add_columns(root, {"action.step": lambda t: t})
    ingest(root, tmp_path / "d", "with_actions=true")
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["status"] for row in videos} == {"done"}
    assert names(root) == ("jump.dx", "jump.dy", "step")


def test_parts_that_do_not_fit_are_named(grey: Path) -> None:
    arm = {"dtype": "float32", "shape": [2], "names": None}
    split_actions(
        grey,
        action__arm={**arm, "values": lambda t: [1.0, 2.0] if t else [1.0]},
        action__hand={**arm, "values": lambda t: [1.0, 2.0] if t else [1.0, 2.0, 3.0]},
    )
    with pytest.raises(ActionError, match=r"have 1, 2 dimensions in 'action\.arm', .* of 2"):
        track(grey, f"{TOP}/episode-000000")
    edit_info(grey, lambda info: info["features"]["action.hand"].update(shape=[1]))
    add_columns(grey, {"action.hand": lambda t: [1.0, 2.0]}, pa.list_(pa.float32(), 2))
    with pytest.raises(ConfigError, match=r"'action\.hand' in .* is 2 of float, .*declares 1:"):
        demonstrations(grey)


def test_a_part_that_a_file_lacks_is_named(grey: Path) -> None:
    arm = {"dtype": "float32", "shape": [1], "names": None}
    split_actions(grey, action__arm={**arm, "values": lambda t: t})
    edit_info(grey, lambda info: info["features"].update({"action.hand": arm}))
    with pytest.raises(ConfigError, match=r"data/.*lacks the column 'action\.hand'"):
        demonstrations(grey)
