"""Which settings `sofdata bench run` takes where none are named, and how it goes on from there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import BenchData
from sofdata.cli.app import app
from tests.bench.conftest import TINY


class Asked(Exception):
    """The settings that a run was asked for."""

    def __init__(self, config: BenchConfig) -> None:
        super().__init__()
        self.config = config


def asked(config: BenchConfig, *_: object, **__: object) -> None:
    raise Asked(config)


def settings_of(data: Path, *words: str) -> BenchConfig:
    """The settings by which a command would run."""
    done = CliRunner().invoke(app, ["bench", "run", "--data", str(data), *words])
    assert isinstance(done.exception, Asked), done.output
    return done.exception.config


@pytest.mark.parametrize(
    ("suite", "words", "preset"),
    [
        ("scene", (), "scene"),
        ("scene", ("--folds", "auto"), "scene-transfer"),
        ("metaworld", (), "standard"),
        ("metaworld", ("--held-out", "door-close"), "transfer"),
        ("pushing", (), "standard"),
        ("pushing", ("--suite", "scene"), "scene"),
        ("metaworld", ("--set", "suite=pushing"), "standard"),
        ("scene", ("--preset", "play"), "play"),
        (None, (), "standard"),
    ],
)
def test_settings_are_those_of_the_collections_suite(
    suite: str | None,
    words: tuple[str, ...],
    preset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sofdata.bench.study.run.run", asked)
    if suite:
        (tmp_path / "collect.json").write_text(json.dumps({"suite": suite, "fps": 30}))
    found = settings_of(tmp_path, *words)
    own = load_bench_config(preset, [])
    wanted = (
        "pushing" if "suite=pushing" in words or (suite, words) == ("pushing", ()) else own.suite
    )
    assert found.suite == wanted
    assert found.tasks == (own.tasks if wanted == own.suite else ())
    assert found.decoder == own.decoder
    assert found.skill_task == own.skill_task


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        (["suite=pushing"], 0),
        (["suite=pushing", "tasks=[push-left]"], 1),
        (["suite=metaworld"], 10),
        ([], 10),
    ],
)
def test_tasks_of_another_suite_are_left_out_and_those_that_are_named_stay(
    given: list[str], tasks: int
) -> None:
    assert len(load_bench_config("standard", given).tasks) == tasks


def test_the_page_names_the_arms_of_each_preset() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text()
    table = page.partition("| preset | tasks | arms | K |")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) == 6
    for name, tasks, arms, *_ in rows:
        config = load_bench_config(name.strip("|` "), [])
        number = {"ten": 10, "five": 5}[tasks.split()[0]]
        assert len(tasks_of(find_suite(config.suite), config.tasks)) == number
        assert re.findall(r"`([^`]+)`", arms) == list(config.arms)
        assert (config.videos, config.seeds) == (50, (0, 1, 2))


def test_a_run_on_validation_episodes_names_the_command_that_freezes_it(
    collected: Path, out: Path, data: BenchData, tmp_path: Path
) -> None:
    assert data.folders  # ingested once for all tests
    (tmp_path / "data").symlink_to(out / "data")
    words = ["bench", "run", "--data", str(collected), "--out", str(tmp_path), "--preset", "smoke"]
    more = ("arms=[bc]", "exploratory=false", "evaluation.episodes=1")
    words += [word for each in (*TINY, *more) for word in ("--set", each)]
    words += ["--workers", "1"]
    done = CliRunner().invoke(app, [*words, "--validation"])
    assert done.exit_code == 0, done.output
    (told,) = re.findall(r"ask for: sofdata (.*)", done.output)
    frozen = CliRunner().invoke(app, shlex.split(told))
    assert frozen.exit_code == 0, frozen.output
    assert (tmp_path / "frozen.json").exists()
    assert CliRunner().invoke(app, words).exit_code == 0
