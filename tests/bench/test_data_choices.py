"""The study of data choices: every choice is settings that fit, and it runs from end to end."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from sofdata.bench.study.frozen import chosen_hash
from tests.helpers import script

QUICK = [
    *("skill.optim.steps=3", "planner.optim.steps=3", "decoder.optim.steps=3", "videos=2"),
    *("evaluation.max_steps=4", "evaluation.episodes=1", "clone_updates=3", "skill.model.width=32"),
    *("planner.model.prior.width=32", "planner.model.dynamics.width=32", "decoder.model.width=32"),
    *("tasks=[push-left, push-right]", "step_frames=2", "ingest.windows.length=4"),
]


@pytest.fixture(scope="module")
def choices() -> ModuleType:
    return script("study/data")


@pytest.mark.parametrize("suite", ["metaworld", "scene"])
def test_every_choice_has_settings_of_its_own_and_windows_that_last_as_long(
    choices: ModuleType, suite: str
) -> None:
    configs = {name: choices.config_of(suite, name) for name in choices.CHOICES}
    assert len({chosen_hash(config) for config in configs.values()}) == len(configs)
    for config in configs.values():
        assert (config.arms, config.seeds) == (choices.ARMS, (0, 1, 2))
        frames = config.step_frames * config.ingest.windows.length
        base = configs["fine"]
        assert frames == base.step_frames * base.ingest.windows.length
        assert len(config.demos) == 1
    qualities = [configs[name].ingest.flow.quality for name in ("fine", "standard", "fast")]
    assert qualities == ["fine", "standard", "fast"]
    steps = [configs[name].step_frames for name in ("half the step", "fine", "twice the step")]
    assert steps == [1, 2, 4]


def test_an_odd_number_of_frames_has_no_half(choices: ModuleType) -> None:
    with pytest.raises(ValueError, match="an even number"):
        choices.config_of("metaworld", "half the step", changes=["step_frames=3"])


def test_it_runs_from_end_to_end_and_resumes(
    choices: ModuleType,
    collected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(choices.SUITES, "toy", "smoke")
    changes = [part for change in QUICK for part in ("--set", change)]
    asked = [str(collected), str(tmp_path), "toy", "fine", "twice the step", "camera removed"]
    asked += ["--arms", "sof", "--seeds", "0", *changes]
    choices.main(asked)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == asked[3:6]
    assert {line.count(" | ") for line in lines[2:]} == {len(choices.HEAD) - 1}
    assert lines[2].split(" | ")[5] == ""
    assert lines[3].split(" | ")[5].startswith(("+", "-"))
    assert "benchmarks/study/data.py COLLECTED OUT toy 'twice the step' --arms sof" in lines[3]
    cells = sorted(tmp_path.glob("cells/*.json"))
    times = [path.stat().st_mtime_ns for path in cells]
    assert len(cells) == 3
    choices.main(asked)
    assert capsys.readouterr().out.splitlines() == lines
    assert [path.stat().st_mtime_ns for path in cells] == times
