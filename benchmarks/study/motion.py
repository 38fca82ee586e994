"""Actions read off motion: how far from the truth are actions that are named from what is seen?

    python benchmarks/study/motion.py COLLECTED OUT                    all variants, in order
    python benchmarks/study/motion.py COLLECTED OUT "flow+image" kl    those named
    python benchmarks/study/motion.py COLLECTED OUT --success NAME ... their success, too
    python benchmarks/study/motion.py --list

For each variant the skill model is trained on 50 videos a task, the action decoder of sof+clone on
one demonstration a task (training seed 0), and it names the actions of held-out demonstrations.
`error` is the mean absolute error of named actions, in standard deviations: of each window alone,
and as the mean over all windows that hold an action, and in brackets weighted as a clone weighs
them, where it does; `bias` the root mean square of signed errors by task and dimension. --success
measures sof+clone on validation episodes, or sof where decoders are trained on drawn skills.

Models are cached in OUT and shared between variants, so that running it again resumes where it
stopped. One process. Prints a row of Markdown for each, as in LOG.md. Variants that see no image
need no skill model, and so no videos.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import prepare_data
from sofdata.bench.study.run import run, texts_of
from sofdata.bench.study.stages import Namers, Trainer

ALWAYS = (
    "arms=[sof+clone]",
    "more_arms=[]",
    "curve=[]",
    "demos=[1]",
    "seeds=[0]",
    "evaluation.strips=0",
    "ingest.run.engine=inline",
    # As actions were named before any of this was chosen.
    "naming.condition=skill",
    "naming.context=0",
    "naming.overlap=false",
    "naming.told=null",
)
MOTION = ("naming.condition=motion", "decoder.model.shift_px=4")
BLIND = (*MOTION, "decoder.model.image_dropout=1", "arms=[bc]")
FINE = ("ingest.flow.size=128", "ingest.windows.size=64")
VARIANTS: dict[str, tuple[str, ...]] = {
    # Off the skill's flow, as frozen, and otherwise.
    "flow+image": (),
    "l1": ("decoder.model.loss=l1",),
    "kl": ("skill.model.bottleneck=kl",),
    "8 codes": ("skill.model.tokens=8",),
    "noise on codes": ("decoder.model.code_noise=0.2",),
    # Off the flow that was seen: in the window, and around it.
    "motion": MOTION,
    "motion, context 2": (*MOTION, "naming.context=2"),
    "motion, context 4": (*MOTION, "naming.context=4"),
    "motion, context 2, l1": (*MOTION, "naming.context=2", "decoder.model.loss=l1"),
    "motion, context 2, 300 updates": (*MOTION, "naming.context=2", "decoder.optim.steps=300"),
    # The same without images.
    "motion, no image": BLIND,
    "motion, no image, context 2": (*BLIND, "naming.context=2"),
    "motion, no image, context 4": (*BLIND, "naming.context=4"),
    "motion, no image, context 2, l1": (*BLIND, "naming.context=2", "decoder.model.loss=l1"),
    "motion, no image, context 2, not told the task": (
        *BLIND,
        "naming.context=2",
        "skill_task=false",
    ),
    "motion, no image, context 2, finer flow": (*BLIND, "naming.context=2", *FINE),
    # The hand's motion by a decoder that is not told the task, the gripper by one that is.
    "flow+image, blind": ("naming.told=[-1]",),
    "motion, context 2, blind": (*MOTION, "naming.context=2", "naming.told=[-1]"),
    "motion, context 4, blind": (*MOTION, "naming.context=4", "naming.told=[-1]"),
    # The skill model trained jointly with the labels.
    "joint": ("joint.weight=1",),
    "joint, weight 0.1": ("joint.weight=0.1",),
    "joint, kl": ("joint.weight=1", "skill.model.bottleneck=kl"),
    # Several decoders that name actions together, and a clone that goes by their agreement.
    "three members": ("naming.members=3",),
    "three members, trusted": ("naming.members=3", "naming.trust=5"),
    "motion, context 2, three members, trusted": (
        *MOTION,
        "naming.context=2",
        "naming.members=3",
        "naming.trust=5",
    ),
    # Decoders trained on skills as the prior draws them: named alike, it is sof that they change.
    "half drawn": ("drawn.share=0.5",),
    "all drawn": ("drawn.share=1",),
    # Finer flow, in the skill model as well.
    "finer flow": (*FINE, "skill.model.detail=64"),
    "motion, context 2, finer flow": (*MOTION, "naming.context=2", *FINE),
}
HEAD = (
    "| suite | variant | error, each window | mean over windows | x | y | z | gripper | bias "
    "| training CPU s | command |"
)


def settings(suite: str, name: str, changes: Sequence[str] = ()) -> BenchConfig:
    """A variant of the suite's frozen settings; `changes` are KEY=VALUE, made to all variants."""
    preset = {"metaworld": "standard", "scene": "scene"}[suite]
    return load_bench_config(preset, [*ALWAYS, *changes, *VARIANTS[name]])


def overlapping(config: BenchConfig) -> BenchConfig:
    """The same settings with means over windows."""
    naming = config.naming.model_copy(update={"overlap": True})
    return config.model_copy(update={"naming": naming})


def measure(config: BenchConfig, collected: Path, out: Path) -> dict[str, Any]:
    """Errors by a variant's decoder, trained now unless it exists, and the CPU seconds it took."""
    suite = find_suite(config.suite)
    texts = texts_of(tasks_of(suite, config.tasks))
    trainer = Trainer(config, prepare_data(config, suite.fps, collected, out), texts, out)
    arm, budget = ARMS["sof+clone"], DataBudget(config.demos[0], config.videos, config.seeds[0])
    latent = None if config.decoder.model.image_dropout == 1 else trainer.latent(arm, budget)
    if config.drawn.share and latent is not None:
        drawn = ARMS["sof"]
        planner = trainer.planner(drawn, budget, latent)
        namers = Namers((trainer.decoder(drawn, budget, latent, planner),))
    else:
        own = trainer.decoder(arm, budget, latent)
        namers = trainer.namers(arm, budget, latent, own) if latent else Namers((own,))
    held_out = trainer.windows.held_out(budget)
    assert held_out is not None
    made = (latent, namers.teller, *namers.members)
    return {
        "each": namers.error(held_out, config),
        "mean": namers.error(held_out, overlapping(config)),
        "cpu_s": sum(each.cpu_s for each in made if each is not None),
    }


def row(suite: str, name: str, found: dict[str, Any], command: str) -> str:
    """A row of Markdown; dimensions are those of the mean over windows."""
    mean = found["mean"]
    trusted = f" ({mean['trusted']:.3f})" if "trusted" in mean else ""
    by_dimension = " | ".join(f"{mean.get(f'error_{place}', 0):.3f}" for place in range(4))
    return (
        f"| {suite} | {name} | {found['each']['error']:.3f} | {mean['error']:.3f}{trusted} "
        f"| {by_dimension} | {mean['bias']:.3f} | {found['cpu_s']:.0f} | `{command}` |"
    )


def command_of(suite: str, name: str, changes: Sequence[str], success: bool) -> str:
    """What makes the row again, with COLLECTED and OUT for the folders."""
    asked = ["benchmarks/study/motion.py", "COLLECTED", "OUT", name, "--suite", suite]
    asked += [part for change in changes for part in ("--set", change)]
    return shlex.join(asked + ["--success"] * success)


def succeed(config: BenchConfig, collected: Path, out: Path, name: str) -> str:
    """A row of the success of sof+clone, whose actions are means over windows, or of sof where its
    decoder is trained on drawn skills."""
    arm = "sof" if config.drawn.share else "sof+clone"
    chosen = overlapping(config).model_copy(update={"arms": (arm,)})
    (path,) = run(chosen, collected, out, "validation", workers=1)
    cell = json.loads(path.read_text())
    tasks = ", ".join(f"{task} {rate:.2f}" for task, rate in cell["success_by_task"].items())
    return f"| {config.suite} | {name} | {cell['success']:.3f} | {tasks} |"


def main() -> None:
    """Run variants and print their rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, nargs="?", help="the suite's collection")
    parser.add_argument("out", type=Path, nargs="?", help="where models and cells are kept")
    parser.add_argument("names", nargs="*", help="variants; default: all, in order")
    parser.add_argument("--suite", choices=("metaworld", "scene"), default="metaworld")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all")
    parser.add_argument("--success", action="store_true", help="measure success as well")
    parser.add_argument("--list", action="store_true", help="print the variants and end")
    given = parser.parse_args()
    if given.list or given.out is None:
        print("\n".join(f"{name}: {' '.join(changes)}" for name, changes in VARIANTS.items()))
        return
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is named {sorted(unknown)}; --list prints those there are")
    print(HEAD)
    print("|---" * (HEAD.count("|") - 1) + "|")
    for name in given.names or VARIANTS:
        config = settings(given.suite, name, given.set)
        command = command_of(given.suite, name, given.set, given.success)
        found = measure(config, given.collected, given.out)
        print(row(given.suite, name, found, command), flush=True)
        if given.success:
            print(succeed(config, given.collected, given.out, name), flush=True)


if __name__ == "__main__":
    main()
