"""What every suite promises, checked on the simulators themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.bench.collect.episodes import perform, play
from sofdata.bench.envs.base import Env, Suite, Variant, second_image_of
from sofdata.bench.envs.pushing import PushingSuite
from sofdata.bench.envs.registry import (
    SUITES,
    collected_tasks,
    find_suite,
    second_camera,
    tasks_of,
    varied,
)
from sofdata.bench.envs.seeds import seeds_for
from sofdata.bench.study.config import load_bench_config
from sofdata.errors import ConfigError
from tests.helpers import can_draw

SIZE = 64
# One of each suite; the others differ in their scene and expert only.
TASK = {"metaworld": "drawer-open", "scene": "open", "pushing": "push-left"}


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> Suite:
    found = find_suite(request.param)
    if found.name == "scene" and sys.version_info >= (3, 13):
        pytest.skip("ogbench needs labmaze, which has no wheel for Python 3.13")
    if found.name != "pushing":
        can_draw()
    found.check()
    return found


@pytest.fixture(scope="module")
def env(suite: Suite) -> Iterator[Env]:
    made = suite.make(tasks_of(suite, [TASK[suite.name]])[0], SIZE)
    yield made
    made.close()


def played(suite: Suite, env: Env, seed: int, steps: int = 6) -> tuple[NDArray[Any], ...]:
    """Layout, first and last picture of an episode of fixed actions."""
    env.reset(seed)
    layout, first = env.layout(), env.image()
    rng = np.random.default_rng(0)
    for _ in range(steps):
        env.step(rng.uniform(-1, 1, len(suite.action_names)).astype(np.float32))
    return layout, first, env.image()


def test_a_picture_is_a_square_of_bytes_and_shows_what_an_action_does(
    suite: Suite, env: Env
) -> None:
    _, first, last = played(suite, env, 1)
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert first.std() > 10
    assert not np.array_equal(first, last)


def test_an_episode_follows_from_its_seed_whatever_came_before(suite: Suite, env: Env) -> None:
    once = played(suite, env, 5)
    played(suite, env, 6, steps=20)
    again = played(suite, env, 5)
    other = suite.make(env.task, SIZE)
    fresh = played(suite, other, 5)
    other.close()
    for one, two, three in zip(once, again, fresh, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_a_second_camera_shows_the_same_from_elsewhere_and_leaves_the_first_as_it_is(
    suite: Suite, env: Env
) -> None:
    assert re.fullmatch(r"[\w-]+", second_camera(suite))
    _, _, first = played(suite, env, 5)
    second = second_image_of(env)
    assert second.shape == first.shape
    assert second.dtype == np.uint8
    assert second.std() > 10
    assert np.abs(second.astype(int) - first).mean() > 10
    assert np.array_equal(env.image(), first)
    assert np.array_equal(second_image_of(env), second)
    played(suite, env, 6)
    assert not np.array_equal(second_image_of(env), second)
    played(suite, env, 5)
    assert np.array_equal(second_image_of(env), second)


def test_another_seed_is_another_layout(suite: Suite, env: Env) -> None:
    layouts = [played(suite, env, seed, steps=0)[0] for seed in range(8)]
    assert len({layout.tobytes() for layout in layouts}) == 8


def test_the_expert_succeeds_well_within_its_steps_and_never_twice_alike(
    suite: Suite, env: Env
) -> None:
    made = [perform(suite, env, env.task, seed, hold_steps=3) for seed in (11, 12)]
    assert all(one.success for one in made)
    assert all(len(one.actions) - 3 < env.task.max_steps * 0.8 for one in made)
    assert all(one.actions.shape[1] == len(suite.action_names) for one in made)
    assert not np.array_equal(made[0].actions[:5], made[1].actions[:5])


def test_no_layout_of_a_collection_comes_again_in_evaluation(suite: Suite) -> None:
    """Places of things and goals, in every task, by their values and not by their hashes.

    Some tasks vary in one number alone, of a range of 0.13 m, where two come near by chance.
    """
    for task in suite.tasks:
        env = suite.make(task, 16)
        layouts = {}
        for purpose in ("videos", "demos", "validation", "test"):
            rows = []
            for seed in seeds_for(purpose, 5):
                env.reset(seed)
                rows.append(env.layout())
            layouts[purpose] = np.stack(rows)
        env.close()
        collected = np.concatenate([layouts["videos"], layouts["demos"]])
        for purpose in ("validation", "test"):
            apart = np.abs(collected[:, None] - layouts[purpose][None]).max(-1)
            assert apart.min() > 1e-7, f"{task.name}: {purpose}"
        assert np.abs(layouts["validation"][:, None] - layouts["test"][None]).max(-1).min() > 1e-7


def test_a_name_that_is_no_suite_or_task_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="metaworld, pushing, scene, libero-spatial"):
        find_suite("robosuite")
    with pytest.raises(ConfigError, match=r"no task fly; it has push-left"):
        tasks_of(find_suite("pushing"), ["carry", "fly"])


class Nameless(PushingSuite):
    name = "pushing"


class Tasks:
    name = "tasks"


class Ours(PushingSuite):
    name = "ours"


def test_a_suite_of_ones_own_is_found_by_its_module_and_class() -> None:
    suite = find_suite(f"{__name__}:Ours")
    assert suite.name == "ours"
    assert tasks_of(suite, ["carry"])[0].name == "carry"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no_such_module:Suite", "No module named 'no_such_module'"),
        (f"{__name__}:Missing", "has no attribute 'Missing'"),
        (f"{__name__}:Tasks", "has no fps, action_names, state_names, tasks, make, expert, check"),
        (f"{__name__}:Nameless", "a name of its own is needed"),
    ],
)
def test_a_class_that_is_no_suite_is_refused_with_what_is_wrong(place: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_suite(place)


def test_the_first_picture_shows_this_episode_and_not_the_last_one(suite: Suite, env: Env) -> None:
    """Nothing jumps between the first two pictures, wherever things were in the last episode."""
    for seed in range(3):
        _, first, _ = played(suite, env, seed, steps=0)
        env.reset(seed)
        env.step(np.zeros(len(suite.action_names), np.float32))
        changed = np.abs(env.image().astype(int) - first.astype(int)).max(-1) > 48
        assert changed.mean() < 0.015


def test_settings_that_name_no_tasks_mean_those_that_they_meant_before_others_were_added() -> None:
    suite = find_suite("metaworld")
    assert [task.name for task in tasks_of(suite, ())] == [
        *("drawer-open", "door-open", "button-press-topdown", "window-open", "faucet-open"),
        *("handle-press", "door-close", "pick-place"),
    ]
    collected = {task.name for task in collected_tasks(suite, ())}
    for preset in ("standard", "transfer", "play", "look", "demo"):
        assert collected >= set(load_bench_config(preset).tasks)
    assert len(collected) == 10
    assert [task.name for task in collected_tasks(suite, ["lever-pull"])] == ["lever-pull"]
    assert len(suite.tasks) >= 20
    assert tasks_of(suite, ["lever-pull"])[0].text == "pull the lever up"
    assert len({task.text for task in suite.tasks}) == len(suite.tasks)
    for name in ("scene", "pushing"):
        assert tasks_of(find_suite(name), ()) == find_suite(name).tasks


def test_play_follows_from_its_seed_and_moves_and_grips_in_every_way(
    suite: Suite, env: Env
) -> None:
    once = play(suite, env, env.task, 6_000_003, 48)
    again = play(suite, env, env.task, 6_000_003, 48)
    other = play(suite, env, env.task, 6_000_004, 48)
    assert np.array_equal(once.actions, again.actions)
    assert np.array_equal(once.frames, again.frames)
    assert not np.array_equal(once.actions, other.actions)
    assert len(once.actions) == 48
    grips = [one.actions[:, -1] for one in (once, other)]
    assert {-1, 1} <= set(np.sign(np.concatenate(grips)).astype(int))
    moved = once.actions[:, :2].std(0) / np.abs(once.actions[:, :2]).max(0)
    assert (moved > 0.1).all()


def test_another_look_differs_everywhere_and_only_in_pictures(suite: Suite, env: Env) -> None:
    looking = varied(suite, Variant(look="other"))
    made = looking.make(env.task, SIZE)
    layout, first, last = played(suite, env, 5)
    other_layout, other_first, other_last = played(looking, made, 5)
    assert np.array_equal(layout, other_layout)
    assert np.array_equal(env.state(), made.state())
    for one, other in ((first, other_first), (last, other_last)):
        assert np.abs(one.astype(int) - other).mean() > 15
    again = played(looking, made, 5)
    assert np.array_equal(again[1], other_first)
    assert np.array_equal(again[2], other_last)
    made.close()
    assert np.array_equal(played(suite, env, 5)[1], first)  # the suite itself looks as before


def test_an_expert_that_does_not_retreat_rises_straight_up(suite: Suite, env: Env) -> None:
    if suite.name != "scene":
        pytest.skip("its experts never retreat")
    turned = {}
    for retreat in ("random", "none"):
        other = varied(suite, Variant(retreat=retreat))
        made = perform(other, env, env.task, 11, hold_steps=0)
        assert made.success
        rising = (made.actions[:, 2] > 0.8) & (made.actions[:, 4] < 0)
        turned[retreat] = np.abs(made.actions[rising][:, 3]).mean()
    assert turned["none"] < 0.5 * turned["random"]
