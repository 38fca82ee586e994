"""LIBERO, where it is installed; it is no part of what the tests install."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from sofdata.bench.collect.collect import collect
from sofdata.bench.collect.config import CollectConfig
from sofdata.bench.envs.libero import state_of
from sofdata.bench.envs.registry import OPTIONAL, find_suite
from sofdata.bench.envs.seeds import EARLIER_TEST, FIRST, seeds_for
from sofdata.errors import ConfigError

installed = find_spec("libero") is not None
needs_libero = pytest.mark.skipif(not installed, reason="LIBERO is not installed")


@pytest.mark.skipif(installed, reason="LIBERO is installed")
def test_without_the_package_it_says_which_extra_brings_it() -> None:
    with pytest.raises(ConfigError, match=r"libero-goal' needs libero.*sofdata\[libero\]"):
        find_suite("libero-goal").check()


def test_purposes_share_no_initial_state() -> None:
    purposes = [purpose for purpose in FIRST if purpose != "play"]
    states = {purpose: {state_of(seed) for seed in seeds_for(purpose, 100)} for purpose in purposes}
    assert {purpose: len(found) for purpose, found in states.items()} == {
        "videos": 10,
        "demos": 10,
        "validation": 10,
        "test": 20,
    }
    assert set.union(*states.values()) == set(range(50))


def test_an_earlier_study_began_with_the_same_states() -> None:
    earlier = [state_of(EARLIER_TEST[0] + number) for number in range(20)]
    assert earlier == [state_of(seed) for seed in seeds_for("test", 20)]


def test_nothing_plays_there() -> None:
    with pytest.raises(ConfigError, match="no initial states for play"):
        state_of(FIRST["play"])


@needs_libero
def test_each_suite_has_its_ten_tasks_with_a_text() -> None:
    for name in OPTIONAL:
        tasks = find_suite(name).tasks
        assert len({task.text for task in tasks}) == len(tasks) == 10


@needs_libero
def test_an_episode_follows_from_its_seed_and_purposes_share_no_state() -> None:
    suite = find_suite("libero-goal")
    env = suite.make(suite.tasks[0], 64)
    seen = []
    for _ in range(2):
        env.reset(FIRST["test"] + 1)
        first = env.image()
        for _ in range(3):
            env.step(np.full(7, 0.5, np.float32))
        seen.append((env.layout(), first, env.image()))
        env.reset(FIRST["validation"])
    for one, two in zip(*seen, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(seen[0][1], seen[0][2])
    layouts: dict[str, set[bytes]] = {}
    for purpose in FIRST:
        number = 5 if purpose == "test" else 3
        layouts[purpose] = set()
        for seed in seeds_for(purpose, number):
            env.reset(seed)
            layouts[purpose].add(env.layout().tobytes())
    env.close()
    assert sum(map(len, layouts.values())) == len(set.union(*layouts.values())) == 14


@needs_libero
def test_it_cannot_be_collected_since_it_has_no_experts(tmp_path: object) -> None:
    from pathlib import Path

    config = CollectConfig(suite="libero-goal", videos=1, demos=0)
    with pytest.raises(ConfigError, match="ships no experts"):
        collect(config, Path(str(tmp_path)), workers=1)
