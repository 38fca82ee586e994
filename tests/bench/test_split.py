"""What an arm learns from and what it is measured on: whole episodes apart, and kept beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.data import BenchData
from sofdata.bench.study.split import SPLIT, agreed_split
from sofdata.bench.study.stages import Trainer
from sofdata.errors import ConfigError

# Two cameras of five episodes, of which the first shows both tasks.
EPISODES = [f"{camera}/episode-{number}" for camera in ("left", "right") for number in range(5)]
TWO_CAMERAS = BenchData(
    digest="",
    folders={"demos": "demos"},
    sources={"demos": {"push": tuple(EPISODES), "pull": ("left/episode-0", "right/episode-0")}},
    cpu_s={},
    files={"demos": {name: name.rpartition("-")[2] for name in EPISODES}},
)


def episodes(names: list[str]) -> set[str]:
    return {name.rpartition("-")[2] for name in names}


@pytest.mark.parametrize("seed", range(6))
def test_cameras_of_an_episode_are_one_demonstration_and_never_apart(seed: int) -> None:
    learned = TWO_CAMERAS.choose("demos", ["push"], 2, seed)
    kept = TWO_CAMERAS.held_out(["push"], 2, seed)
    assert (len(learned), len(kept)) == (4, 6)
    assert episodes(learned).isdisjoint(episodes(kept))


@pytest.mark.parametrize("seed", range(6))
def test_an_episode_of_two_tasks_is_not_held_out_from_one_of_them(seed: int) -> None:
    learned = TWO_CAMERAS.choose("demos", ["push", "pull"], 1, seed)
    kept = TWO_CAMERAS.held_out(["push", "pull"], 1, seed)
    assert "0" in episodes(learned)
    assert episodes(learned).isdisjoint(episodes(kept))
    assert len({*kept}) == len(kept)


def test_more_demonstrations_than_episodes_are_refused() -> None:
    with pytest.raises(ConfigError, match="6 demos of 'push' are wanted, and demos has 5"):
        TWO_CAMERAS.choose("demos", ["push"], 6, 0)


def test_a_trained_stage_says_what_it_learned_from(trainer: Trainer) -> None:
    budget = DataBudget(demos=1, videos=3, seed=0)
    stage = trainer.latent(ARMS["sof"], budget)
    stored = json.loads((trainer.out / "models" / stage.key / "skill" / SPLIT).read_text())
    wanted = trainer.data.choose("videos", trainer.texts, 3, 0)
    assert stored["train"] == {"videos": sorted(wanted)}
    assert {*stored["held_out"]} <= {*trainer.data.files["demos"]}


def test_a_resumed_stage_keeps_what_was_held_out_and_refuses_other_videos(tmp_path: Path) -> None:
    assert agreed_split(tmp_path, {"videos": ["b", "a"]}, ["d", "c"]) == ["c", "d"]
    assert agreed_split(tmp_path, {"videos": ["a", "b"]}, ["e"]) == ["c", "d"]
    with pytest.raises(ConfigError, match="other videos"):
        agreed_split(tmp_path, {"videos": ["a", "e"]}, ["c"])
    (tmp_path / SPLIT).write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        agreed_split(tmp_path, {"videos": ["a", "b"]}, ["c"])
