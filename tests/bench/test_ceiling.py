"""The study of the ceiling: every variant is settings that can be run, and a row tells of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import ModuleType

import pytest

from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.wanted import wanted_cells
from tests.helpers import script


@pytest.fixture(scope="module")
def ceiling() -> ModuleType:
    return script("study/ceiling")


def test_every_variant_is_settings_of_its_own_in_every_suite(ceiling: ModuleType) -> None:
    for suite, (preset, _) in ceiling.SUITES.items():
        made = []
        for name in ceiling.VARIANTS:
            chosen = ceiling.settings(suite, name)
            config = load_bench_config(preset, [f"{key}={chosen[key]}" for key in chosen])
            assert [cell.arm for cell in wanted_cells(config, "validation")] == ["bc-50"]
            made.append(config.model_dump_json())
        assert len(set(made)) == len(made)


def test_a_change_is_made_to_the_base_and_a_variant_has_the_last_word(ceiling: ModuleType) -> None:
    changes = ["evaluation.execute=2", "ingest.windows.tail=drop"]
    assert ceiling.settings("scene", "base", changes)["evaluation.execute"] == "2"
    assert ceiling.settings("scene", "8 carried out", changes)["evaluation.execute"] == "8"
    assert ceiling.settings("scene", "8 carried out", changes)["ingest.windows.tail"] == "drop"


def test_a_variant_is_measured_once_and_its_row_has_the_command(
    ceiling: ModuleType, collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ceiling.SUITES, "toy", ("smoke", "[push-left]"))
    few = ["arms=[bc]", "decoder.optim.steps=2", "evaluation.max_steps=4", "evaluation.episodes=1"]
    cell = ceiling.measure(collected, tmp_path, "toy", ceiling.settings("toy", "base", few))
    again = ceiling.measure(collected, tmp_path, "toy", ceiling.settings("toy", "base", few))
    assert again == cell
    assert not list((tmp_path / "data").glob("*/videos"))
    command = ceiling.command_of("toy", "8 carried out", few)
    assert shlex.split(command)[4:7] == ["toy", "8 carried out", "--set"]
    assert ceiling.row("toy", "base", cell, command).startswith(
        f"| toy | base | {cell['success']:.3f} | push-left "
    )
