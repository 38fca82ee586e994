"""An arm of one's own: registered, run, and compared, as docs/benchmark.md shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sofdata.bench.results.table import read_results, table
from sofdata.bench.study.acting import ClonedActor
from sofdata.bench.study.actor import Acted, Actor
from sofdata.bench.study.arms import ARMS, Arm, register_arm
from sofdata.bench.study.data import BenchData
from sofdata.bench.study.run import run
from sofdata.errors import ConfigError
from sofdata.report.benchmark import write_benchmark
from tests.bench.conftest import tiny

NOVIDEO = Arm(
    "lapa-novideo",
    "latent actions learned from the K demonstrations alone",
    latent="frames",
    videos=False,
    skills=True,
)


@dataclass(frozen=True)
class SlowedActor:
    """Executes half of every action of another policy."""

    policy: Actor

    def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
        """See `Actor`."""
        return Acted(self.policy.act(images, texts, seed).actions / 2)


def slowed(models: Mapping[str, Any]) -> Actor:
    """The policy of the arm below."""
    return SlowedActor(ClonedActor(models["decoder"]))


SLOWED = Arm("bc-slowed", "behaviour cloning, every action halved", actor=slowed)


@pytest.fixture(autouse=True)
def arms() -> Iterator[None]:
    """Arms that a test registers are gone after it."""
    before = dict(ARMS)
    yield
    ARMS.clear()
    ARMS.update(before)


def test_own_arms_are_trained_run_and_shown_beside_others(
    collected: Path, out: Path, data: BenchData, tmp_path: Path
) -> None:
    register_arm(NOVIDEO)
    register_arm(SLOWED)
    config = tiny("arms=[bc, lapa-novideo, bc-slowed]", "demos=[2]", "evaluation.episodes=1")
    (tmp_path / "data").symlink_to(out / "data")
    paths = run(config, collected, tmp_path, "test", workers=2)  # processes know the arms, too
    bc, novideo, slow = read_results(paths)
    assert set(novideo["cpu_s"]) >= {"lapa", "planner", "decoder"}
    assert novideo["cell"]["videos"] == 0
    assert slow["chunk_error"] != bc["chunk_error"]
    assert slow["metrics"] == bc["metrics"]  # the same decoder, trained once
    assert run(config, collected, tmp_path, "test", workers=1) == paths
    del ARMS["lapa-novideo"], ARMS["bc-slowed"]  # where they are not registered
    shown = table(read_results(paths))
    assert [line.split(" | ")[1] for line in shown.splitlines()[2:]] == [
        "bc",
        "bc-slowed",
        "lapa-novideo",
    ]
    page, _ = write_benchmark([str(tmp_path)], tmp_path)
    assert "lapa-novideo" in Path(page).read_text()


def test_the_documentation_shows_these_arms() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text()
    shown: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, shown)
    assert shown["NOVIDEO"] == NOVIDEO
    assert replace(shown["SLOWED"], actor=slowed) == SLOWED
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)

    class Constant:
        def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
            return Acted(torch.ones(len(images), 4, 3))

    slower = shown["SlowedActor"](Constant())
    assert torch.equal(slower.act(images, ["", ""], 0).actions, torch.full((2, 4, 3), 0.5))


def test_an_arm_may_be_registered_again_but_no_other_under_its_name() -> None:
    register_arm(NOVIDEO)
    register_arm(NOVIDEO)
    with pytest.raises(ConfigError, match="there is an arm 'lapa-novideo' already"):
        register_arm(Arm("lapa-novideo", "another"))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"skills": True}, "skills need a latent model"),
        ({"latent": "flow", "shuffled": True}, "shuffled, goals and clones need skills"),
        (
            {"latent": "flow", "skills": True, "clones": True, "videos": False},
            "clones learn from videos",
        ),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=f"arm 'mine': {problem}"):
        Arm("mine", "nothing", **flags)


def test_settings_with_an_arm_that_is_not_registered_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no arm has this name; there are bc, .*'lapa-novideo'"):
        tiny("arms=[lapa-novideo]")


def test_settings_name_an_arm_by_its_place() -> None:
    assert tiny("arms=[bc, tests.bench.test_own_arm:NOVIDEO]").arms == ("bc", "lapa-novideo")
    assert ARMS["lapa-novideo"] == NOVIDEO


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("no_such_module:ARM", "cannot be imported .*no_such_module"),
        ("tests.bench.test_own_arm:OTHER", "cannot be imported .*OTHER"),
        ("tests.bench.test_own_arm:slowed", "this is no Arm, but of type function"),
    ],
)
def test_a_place_without_an_arm_is_refused(place: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        tiny(f"arms=[{place}]")
