"""The actions of RLDS episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.errors import ActionError, ConfigError
from sofdata.storage.tree import Tree
from tests import rlds_files as made
from tests.corpora.sequences.rlds.listings import demonstrated
from tests.sequences import encoded


def test_a_flag_that_is_always_set_costs_one_action(tmp_path: Path) -> None:
    record = made.episode(range(6)) | {"steps/is_last": np.ones(6, int)}
    made.write_dataset(tmp_path, {"train": [[record]]})
    listing = demonstrated(tmp_path)
    entry = listing.entries[0]
    assert entry.actions is not None
    assert listing.actions is not None
    track = Rlds().read_actions(Tree(str(tmp_path)), entry.actions, listing.actions)
    assert track.values[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_parts_are_joined_in_order(tmp_path: Path) -> None:
    features = made.steps_of(
        observation=made.dictionary(image=made.image()),
        action=made.dictionary(
            open_gripper=made.tensor(dtype="bool"),
            note=made.text(),
            terminate=made.tensor(2, dtype="int32"),
            world_vector=made.tensor(3),
        ),
        action_dict=made.dictionary(other=made.tensor(7)),
    )
    record = {
        **made.flags(5),
        "steps/observation/image": [encoded(n) for n in range(5)],
        "steps/action/open_gripper": np.array([0, 1, 0, 1, 0]),
        "steps/action/terminate": np.arange(10),
        "steps/action/world_vector": np.arange(15.0),
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    listing = demonstrated(tmp_path)
    assert listing.actions is not None
    assert listing.actions.names == (
        "open_gripper",
        *("terminate_0", "terminate_1"),
        *("world_vector_0", "world_vector_1", "world_vector_2"),
    )
    (entry,) = listing.entries
    assert entry.actions is not None
    assert entry.actions.rows == 4
    track = Rlds().read_actions(Tree(str(tmp_path)), entry.actions, listing.actions)
    assert track.values[1].tolist() == [1, 2, 3, 3, 4, 5]
    assert track.times_s.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    notes = " ".join(listing.notes)
    assert "action/note" in notes
    assert "action_dict/other" in notes


def test_those_that_differ_are_rejects(tmp_path: Path) -> None:
    made.write_dataset(tmp_path / "a", {"train": [[made.episode(range(5))]]}, name="a")
    features = made.steps_of(image=made.image(), action=made.tensor(7))
    record = {**made.flags(3), "steps/image": [encoded(1)] * 3, "steps/action": np.zeros(21)}
    made.write_dataset(tmp_path / "b", {"train": [[record]]}, features, name="b")
    problems = {e.labels["dataset"]: (e.problem, e.detail) for e in demonstrated(tmp_path).entries}
    assert problems["a"][0] == ""
    assert problems["b"][0] == "other_actions"
    assert "7" in problems["b"][1]


def test_two_rates_are_rejects(tmp_path: Path) -> None:
    features = made.steps_of(
        image=made.image(), action=made.tensor(1), timestamp_ms=made.tensor(dtype="int64")
    )
    records = [
        {
            **made.flags(5),
            "steps/image": [encoded(n) for n in range(5)],
            "steps/action": np.arange(5.0),
            "steps/timestamp_ms": np.arange(5) * step_ms + 1000,
        }
        for step_ms in (100, 101, 50)
    ]
    made.write_dataset(tmp_path, {"train": [records]}, features)
    listing = demonstrated(tmp_path, fps=None)
    assert [entry.problem for entry in listing.entries] == ["", "", "other_actions"]
    assert listing.actions is not None
    assert listing.actions.fps == 10


def test_a_source_without_any_says_so(tmp_path: Path) -> None:
    record = {**made.flags(3), "steps/image": [encoded(1)] * 3}
    made.write_dataset(tmp_path, {"train": [[record]]}, made.steps_of(image=made.image()))
    with pytest.raises(ConfigError, match="leave out --with-actions"):
        demonstrated(tmp_path)


def test_a_source_without_state_says_so(tmp_path: Path) -> None:
    features = made.steps_of(image=made.image(), action=made.tensor(1))
    record = {**made.flags(3), "steps/image": [encoded(1)] * 3, "steps/action": np.zeros(3)}
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    with pytest.raises(ConfigError, match="with_state"):
        demonstrated(tmp_path, with_state=True)


def test_the_state_of_droid_is_in_parts(tmp_path: Path) -> None:
    features = made.steps_of(
        observation=made.dictionary(
            wrist_image_left=made.image(),
            cartesian_position=made.tensor(6, dtype="float64"),
            gripper_position=made.tensor(1, dtype="float64"),
        ),
        action=made.tensor(7, dtype="float64"),
    )
    record = {
        **made.flags(3),
        "steps/observation/wrist_image_left": [encoded(1)] * 3,
        "steps/observation/cartesian_position": np.zeros(18),
        "steps/observation/gripper_position": np.ones(3),
        "steps/action": np.zeros(21),
    }
    made.write_dataset(tmp_path, {"train": [[record]]}, features)
    listing = demonstrated(tmp_path, with_state=True)
    assert listing.actions is not None
    assert listing.actions.names[7] == "observation.state.cartesian_position_0"
    assert listing.actions.names[-1] == "observation.state.gripper_position"


def test_actions_that_cannot_be_believed_are_an_error(source: Path) -> None:
    listing = demonstrated(source)
    entry = listing.entries[0]
    assert entry.actions is not None
    assert listing.actions is not None
    path = source / entry.actions.uri
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ActionError, match="checksum"):
        Rlds().read_actions(Tree(str(source)), entry.actions, listing.actions)
