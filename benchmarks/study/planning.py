"""Planning: what do a goal value, subgoals, guidance, flow matching and search add to drawing?

    python benchmarks/study/planning.py COLLECTED OUT SUITE                 all variants, in order
    python benchmarks/study/planning.py COLLECTED OUT SUITE draw "search"   those named
    python benchmarks/study/planning.py --list

Skill arms on validation episodes, at the suite's K: `metaworld` from one demonstration of each
task, `scene` from ten. SUITE `scene-2` is two of the scene's tasks. `--seeds 0 1 2` are the
training seeds; `--set KEY=VALUE` changes the preset for all variants, as to the settings that the
study of the ceiling has chosen:

    ... scene draw "search by value" --seeds 0 1 2 --set ingest.windows.tail=mask

A search must be compared with drawing at equal time: `ms a decision` is the CPU time in which the
policy answers one image, without the simulator: the median of `TIMES` rounds in which all variants
of the command take turns, on the same images in one batch. Decoding skills takes most of drawing's
time: so "search, equal time" and its like draw as many and decode a part of them; "draw 40" and
"draw 64" are for longer searches. Read success beside that column.

    python benchmarks/study/planning.py . . metaworld draw search "draw 40" --untrained

prints that column alone, of models with random weights, in a minute and without data: what a
search may do at the time of drawing.

Cells are cached in OUT, however they were asked for, so that running it again resumes where it
stopped; variants share what they learn. One process, one cell at a time. Prints rows of Markdown
when all are there, as in LOG.md, and one line to the error stream for each cell before.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.results.table import training_s
from sofdata.bench.study.acting import PriorActor, SearchActor
from sofdata.bench.study.actor import Actor
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import prepare_data
from sofdata.bench.study.run import run, texts_of
from sofdata.bench.study.stage_settings import decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.space import ActionSpace
from sofdata.models.planner.planner import Planner
from sofdata.models.skill.vae import FlowShape, SkillVAE

# By suite: the preset, its K, and tasks where not all of it are tried.
SUITES = {
    "metaworld": ("standard", 1, ""),
    "scene": ("scene", 10, ""),
    "scene-2": ("scene", 10, "[open, put-in-drawer]"),
}
ALWAYS = (
    "more_arms=[]",
    "curve=[]",
    "evaluation.strips=0",
    "ingest.run.engine=inline",
)
TIMES, IMAGES = 7, 10

MODEL = "planner.model"
VALUE = (f"{MODEL}.value.weight=1",)
SUBGOAL = (*VALUE, f"{MODEL}.subgoal.ahead=3", f"{MODEL}.prior.subgoal_dropout=0.1")
UNTOLD = (f"{MODEL}.prior.task_dropout=0.1",)
BY_VALUE = (*VALUE, f"{MODEL}.mpc.score=value")
ELITES = (f"{MODEL}.mpc.carries=elites", f"{MODEL}.mpc.elites=8")
QUICK = (
    *ELITES,
    f"{MODEL}.mpc.candidates=16",
    f"{MODEL}.mpc.iterations=1",
    f"{MODEL}.mpc.temperature=0.5",
)
ONE_AHEAD = (*QUICK, f"{MODEL}.mpc.horizon=1")
TWO_AHEAD = (*QUICK, f"{MODEL}.mpc.elites=4")
VARIANTS: dict[str, tuple[str, ...]] = {
    # What is compared with.
    "draw": ("arms=[sof]",),
    "clone": ("arms=[sof+clone]",),
    "search": ("arms=[sof+mpc]",),
    # Search at the time of drawing, at somewhat more, and as long as it wants.
    "search, equal time": ("arms=[sof+mpc]", *ONE_AHEAD),
    "search, two ahead": ("arms=[sof+mpc]", *TWO_AHEAD),
    "search by value, equal time": ("arms=[sof+mpc]", *BY_VALUE, *ONE_AHEAD),
    "search by value, two ahead": ("arms=[sof+mpc]", *BY_VALUE, *TWO_AHEAD),
    "search by value": ("arms=[sof+mpc]", *BY_VALUE),
    "search by value, elites": ("arms=[sof+mpc]", *BY_VALUE, *ELITES),
    "search by value, elites, prior counts more": (
        "arms=[sof+mpc]",
        *BY_VALUE,
        *ELITES,
        f"{MODEL}.mpc.prior_weight=0.5",
    ),
    "draw 40": ("arms=[sof]", "acting.samples=40"),
    "draw 64": ("arms=[sof]", "acting.samples=64"),
    # Subgoals, three skills ahead.
    "subgoals": ("arms=[sof]", *SUBGOAL),
    "subgoals, likeliest": (
        "arms=[sof]",
        *SUBGOAL,
        f"{MODEL}.subgoal.temperature=0",
    ),
    "subgoals, all windows alike": ("arms=[sof]", *SUBGOAL, f"{MODEL}.subgoal.advantage=0"),
    "subgoals, one ahead": ("arms=[sof]", *SUBGOAL, f"{MODEL}.subgoal.ahead=1"),
    "subgoals, guided": (
        "arms=[sof]",
        *SUBGOAL,
        f"{MODEL}.guidance.of=subgoal",
        f"{MODEL}.guidance.weight=2",
    ),
    # Guidance on the task.
    "task dropped": ("arms=[sof]", *UNTOLD),
    "guided 1.5": ("arms=[sof]", *UNTOLD, f"{MODEL}.guidance.weight=1.5"),
    "guided 3": ("arms=[sof]", *UNTOLD, f"{MODEL}.guidance.weight=3"),
    # All points at once.
    "flow matching": ("arms=[sof]", f"{MODEL}.prior.head=flow_matching"),
    "flow matching, kl": (
        "arms=[sof]",
        f"{MODEL}.prior.head=flow_matching",
        "skill.model.bottleneck=kl",
    ),
    "flow matching, guided 1.5": (
        "arms=[sof]",
        f"{MODEL}.prior.head=flow_matching",
        *UNTOLD,
        f"{MODEL}.guidance.weight=1.5",
    ),
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A variant with its settings, cells of each training seed, and what answers images."""

    name: str
    config: BenchConfig
    cells: tuple[dict[str, Any], ...]
    answer: Callable[[], object]


def config_of(
    suite: str, name: str, seeds: Sequence[int], changes: Sequence[str] = ()
) -> BenchConfig:
    """The settings of a variant; `changes` are KEY=VALUE, made to the preset."""
    preset, demos, tasks = SUITES[suite]
    settings = [*ALWAYS, f"demos=[{demos}]", f"seeds={list(seeds)}"]
    settings += [f"tasks={tasks}"] if tasks else []
    return load_bench_config(preset, [*settings, *changes, *VARIANTS[name]])


def contestant(name: str, config: BenchConfig, collected: Path, out: Path) -> Contestant:
    """Make the cells of a variant, unless they exist, and its policy of the first seed."""
    paths = run(config, collected, out, "validation", workers=1)
    cells = tuple(json.loads(path.read_text()) for path in paths)
    for cell in cells:
        print(f"{name}, seed {cell['cell']['seed']}: {cell['success']:.3f}", file=sys.stderr)
    suite = find_suite(config.suite)
    data = prepare_data(config, suite.fps, collected, out)
    tasks = tasks_of(suite, config.tasks)
    trainer = Trainer(config, data, texts_of(tasks), out)
    first = wanted_cells(config, "validation")[0]
    arm, budget = ARMS[first.arm], first.budget(tasks)
    actor = actor_of(arm, budget, trainer, train_arm(arm, budget, trainer))
    return Contestant(name, config, cells, _answering(actor, trainer, budget))


def _answering(actor: Actor, trainer: Trainer, budget: DataBudget) -> Callable[[], object]:
    windows = trainer.windows.demonstrations(budget)
    rows = [len(windows) * place // IMAGES for place in range(IMAGES)]
    batch = windows.rows(rows)
    texts = [windows.texts[index] for index in batch.text_ids.tolist()]
    return lambda: actor.act(batch.first, texts, 0)


def untrained(name: str, config: BenchConfig) -> Contestant:
    """A variant with random weights: what it answers means nothing, but takes as long."""
    torch.manual_seed(0)
    windows, texts = config.ingest.windows, ("one", "two")
    skill = SkillVAE(config.skill.model, FlowShape(windows.length, windows.size, 1.0))
    planner = Planner(config.planner.model, skill, texts).eval().requires_grad_(False)
    arm, chunk = ARMS[config.arms[0]], windows.length * config.step_frames
    space = ActionSpace.parse(
        {
            "mean": (0.0,) * 4,
            "std": (1.0,) * 4,
            "low": (-1.0,) * 4,
            "high": (1.0,) * 4,
            "values": ((),) * 4,
            "chunk": chunk,
        }
    )
    decoder = ActionDecoder(decoder_stage(arm, config).model, skill, space, texts)
    decoder.eval().requires_grad_(False)
    px = config.skill.model.image_px
    images = torch.randint(0, 256, (IMAGES, 3, px, px), dtype=torch.uint8)
    asked = [texts[place % 2] for place in range(IMAGES)]
    actor: Actor = PriorActor(planner, decoder, config.acting)
    if arm.goals:
        goals = dict.fromkeys(texts, planner.observe(images[:3]))
        actor = SearchActor(planner, decoder, config.planner.model.mpc, goals, config.acting)
    return Contestant(name, config, (), lambda: actor.act(images, asked, 0))


def time_untrained(given: argparse.Namespace) -> None:
    """Time variants beside each other; of those named, or of all that have a prior."""
    configs = {
        name: config_of(given.suite, name, given.seeds, given.set)
        for name in given.names or VARIANTS
    }
    chosen = [
        untrained(name, config) for name, config in configs.items() if ARMS[config.arms[0]].prior
    ]
    print("| suite | variant | ms a decision |\n|---|---|---|")
    for each, ms in zip(chosen, ms_a_decision(chosen), strict=True):
        print(f"| {given.suite} | {each.name} | {ms:.0f} |", flush=True)


def ms_a_decision(contestants: Sequence[Contestant]) -> list[float]:
    """CPU ms in which each answers an image: medians over rounds in which they take turns."""
    torch.set_num_threads(1)
    found: list[list[float]] = [[] for _ in contestants]
    for turn in range(TIMES + 1):
        for own, each in zip(found, contestants, strict=True):
            began = time.process_time()
            each.answer()
            if turn:  # the first round is to warm up
                own.append(1000 * (time.process_time() - began) / IMAGES)
    return [statistics.median(own) for own in found]


def row(suite: str, each: Contestant, ms: float, command: str) -> str:
    """A row of Markdown: the mean over training seeds."""
    cells, arm = each.cells, each.cells[0]["cell"]["arm"]
    rates = [cell["success"] for cell in cells]
    by_task = {
        task: math.fsum(cell["success_by_task"][task] for cell in cells) / len(cells)
        for task in cells[0]["success_by_task"]
    }
    tasks = ", ".join(f"{task} {rate:.2f}" for task, rate in by_task.items())
    error = math.fsum(cell["chunk_error"] for cell in cells) / len(cells)
    seeds = ", ".join(f"{rate:.3f}" for rate in rates)
    spent = math.fsum(training_s(cell) for cell in cells) / len(cells)
    return (
        f"| {suite} | {each.name} | {arm} | {math.fsum(rates) / len(rates):.3f} | {seeds} "
        f"| {tasks} | {error:.3f} | {ms:.0f} | {spent:.0f} | `{command}` |"
    )


def command_of(suite: str, name: str, seeds: Sequence[int], changes: Sequence[str]) -> str:
    """What makes the row again, with COLLECTED and OUT for the folders."""
    asked = ["benchmarks/study/planning.py", "COLLECTED", "OUT", suite, name]
    asked += ["--seeds", *map(str, seeds)] if list(seeds) != [0] else []
    asked += [part for change in changes for part in ("--set", change)]
    return shlex.join(asked)


HEAD = (
    "suite",
    "variant",
    "arm",
    "success",
    "by seed",
    "by task",
    "chunk error",
    "ms a decision",
    "training CPU s",
    "command",
)


def measure(given: argparse.Namespace) -> None:
    """Run the variants, then time them beside each other, and print their rows."""
    contestants = [
        contestant(
            name,
            config_of(given.suite, name, given.seeds, given.set),
            given.collected,
            given.out,
        )
        for name in given.names or VARIANTS
    ]
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for each, ms in zip(contestants, ms_a_decision(contestants), strict=True):
        command = command_of(given.suite, each.name, given.seeds, given.set)
        print(row(given.suite, each, ms, command), flush=True)


def listed(variants: Mapping[str, Sequence[str]]) -> str:
    """The variants and what they set."""
    return "\n".join(f"{name}: {' '.join(changes)}" for name, changes in variants.items())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, nargs="?", help="the suite's collection")
    parser.add_argument("out", type=Path, nargs="?", help="where cells are kept")
    parser.add_argument("suite", choices=SUITES, nargs="?")
    parser.add_argument("names", nargs="*", help="variants; default: all, in order")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="training seeds")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all")
    parser.add_argument("--untrained", action="store_true", help="time random weights alone")
    parser.add_argument("--list", action="store_true", help="print the variants and end")
    given = parser.parse_args()
    if given.list or given.suite is None:
        print(listed(VARIANTS))
        return
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is named {sorted(unknown)}; --list prints those there are")
    (time_untrained if given.untrained else measure)(given)


if __name__ == "__main__":
    main()
