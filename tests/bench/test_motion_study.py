"""The study of named actions: every variant is settings that can be run, and a row tells of it."""

from __future__ import annotations

import shlex
from types import ModuleType

import pytest

from tests.helpers import script


@pytest.fixture(scope="module")
def motion() -> ModuleType:
    return script("study/motion")


@pytest.mark.parametrize("suite", ["metaworld", "scene"])
def test_every_variant_is_settings_of_its_own(motion: ModuleType, suite: str) -> None:
    made = [motion.settings(suite, name).model_dump_json() for name in motion.VARIANTS]
    assert len(set(made)) == len(made)


def test_a_row_has_a_cell_for_each_heading_and_the_command_that_makes_it(
    motion: ModuleType,
) -> None:
    errors = {"error": 0.2, "error_0": 0.1, "error_1": 0.2, "error_2": 0.3, "bias": 0.05}
    command = motion.command_of("scene", "motion, context 2", ["naming.context=4"], True)
    row = motion.row("scene", "kl", {"each": errors, "mean": errors, "cpu_s": 100.4}, command)
    assert row.count("|") == motion.HEAD.count("|")
    assert "| 0.200 | 0.200 | 0.100 | 0.200 | 0.300 | 0.000 | 0.050 | 100 |" in row
    given = shlex.split(command)
    assert given[3:] == [
        "motion, context 2",
        "--suite",
        "scene",
        "--set",
        "naming.context=4",
        "--success",
    ]


def test_means_over_windows_are_a_setting_of_the_same_decoder(motion: ModuleType) -> None:
    config = motion.settings("metaworld", "motion, context 2")
    assert motion.overlapping(config).naming.overlap
    assert not config.naming.overlap
    assert config.naming.context == 2
