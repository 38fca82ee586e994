"""The study of planning: every variant's settings fit, and its command makes it again."""

from __future__ import annotations

from types import ModuleType

import pytest

from sofdata.bench.study.frozen import chosen_hash
from tests.helpers import script


@pytest.fixture(scope="module")
def planning() -> ModuleType:
    return script("study/planning")


@pytest.mark.parametrize("suite", ["metaworld", "scene", "scene-2"])
def test_every_variant_has_settings_of_its_own_that_fit(planning: ModuleType, suite: str) -> None:
    configs = {name: planning.config_of(suite, name, [0, 1]) for name in planning.VARIANTS}
    found = {(chosen_hash(config), config.arms) for config in configs.values()}
    assert len(found) == len(configs)
    for config in configs.values():
        assert config.demos == (planning.SUITES[suite][1],)
        assert config.seeds == (0, 1)
        assert len(config.arms) == 1


def test_variants_of_a_search_share_what_is_learned(planning: ModuleType) -> None:
    names = [name for name in planning.VARIANTS if name.startswith("search by value")]
    learned = [planning.config_of("scene", name, [0]).planner.model.learned() for name in names]
    assert len(names) > 2
    assert all(each == learned[0] for each in learned)


def test_changes_are_made_to_the_preset_and_variants_to_those(planning: ModuleType) -> None:
    changes = ["acting.samples=4", "evaluation.execute=5"]
    assert planning.config_of("scene", "draw", [0], changes).acting.samples == 4
    assert planning.config_of("scene", "draw 64", [0], changes).acting.samples == 64
    command = planning.command_of("scene", "draw 64", [0, 1], changes)
    assert command == (
        "benchmarks/study/planning.py COLLECTED OUT scene 'draw 64' --seeds 0 1 "
        "--set acting.samples=4 --set evaluation.execute=5"
    )


def test_contestants_are_timed_in_turns(planning: ModuleType) -> None:
    turns: list[str] = []
    contestants = [
        planning.Contestant(name, None, (), lambda name=name: turns.append(name))
        for name in ("a", "b")
    ]
    assert len(planning.ms_a_decision(contestants)) == 2
    assert turns == ["a", "b"] * (planning.TIMES + 1)


@pytest.mark.parametrize("name", ["draw", "search by value, equal time"])
def test_a_variant_can_be_timed_before_anything_is_trained(planning: ModuleType, name: str) -> None:
    each = planning.untrained(name, planning.config_of("metaworld", name, [0]))
    answered = each.answer()
    assert answered.actions.shape == (planning.IMAGES, 8, 4)
