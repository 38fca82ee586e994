"""What makes a task without labels work: variants of `transfer`, on validation episodes.

    python benchmarks/study/transfer.py COLLECTED OUT                    all of them
    python benchmarks/study/transfer.py COLLECTED OUT "blind" "flow first"   some
    python benchmarks/study/transfer.py COLLECTED OUT --set KEY=VALUE ...    other settings, for all
    python benchmarks/study/transfer.py COLLECTED OUT blind --errors         how far actions are off

Two folds of three Meta-World tasks, ten demonstrations of each other task, one training seed, 20
episodes a task. A variant is what its settings change; cells that exist are not made again, and
what learns from videos is trained once for all variants. `--errors` tries nothing: it compares the
actions that `sof+clone` names in demonstrations of unlabelled tasks, which no training reads, with
those that were taken. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.results.table import read_results
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import prepare_data
from sofdata.bench.study.folds import folds_of
from sofdata.bench.study.run import run, texts_of
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells

FOLDS = (
    ("window-open", "handle-press", "door-close"),
    ("drawer-open", "button-press-topdown", "faucet-open"),
)
TASKS = [task for fold in FOLDS for task in fold]
FIXED = (
    f"folds={[list(fold) for fold in FOLDS]}".replace("'", '"'),
    "reference_arms=[]",
    "seeds=[0]",
    "evaluation.strips=0",
)
SKILLS = 'arms=[sof, "sof+clone"]'
VARIANTS: dict[str, tuple[str, ...]] = {
    "blind": ('arms=[bc, "lapa+clone", sof, "sof+clone"]',),
    "told an id": (SKILLS, "skill_task=true", "decoder.model.task=id"),
    "told words": (SKILLS, "skill_task=true"),
    "clone and bc by id": ('arms=[bc, "sof+clone"]', "decoder.model.task=id"),
    "flow alone": (SKILLS, "decoder.model.condition=flow"),
    "flow first": (SKILLS, "decoder.model.image_dropout=0.8"),
    "image always": (SKILLS, "decoder.model.image_dropout=0"),
    "codes in place of flow": (SKILLS, "decoder.model.condition=skill"),
    "named by skills": ('arms=["sof+clone"]', "naming.condition=skill", "naming.context=0"),
}


def settings(name: str, changes: Sequence[str] = ()) -> BenchConfig:
    """Those of a variant; `changes` are KEY=VALUE, made to all variants."""
    return load_bench_config("transfer", [*FIXED, *changes, *VARIANTS[name]])


def errors(config: BenchConfig, collected: Path, out: Path) -> dict[str, dict[str, float]]:
    """By unlabelled task, how far the actions that `sof+clone` names are off, as
    `naming_error` has it."""
    suite = find_suite(config.suite)
    tasks = tasks_of(suite, config.tasks)
    trainer = Trainer(config, prepare_data(config, suite.fps, collected, out), texts_of(tasks), out)
    arm, found = ARMS["sof+clone"], dict[str, dict[str, float]]()
    for cell in wanted_cells(config, "validation", folds_of(config, [each.name for each in tasks])):
        if cell.arm != arm.name:
            continue
        budget = cell.budget(tasks)
        latent = trainer.latent(arm, budget)
        namers = trainer.namers(arm, budget, latent, trainer.decoder(arm, budget, latent))
        for task in cell.tried(tasks):
            shown = trainer.data.choose("demos", (task.text,), cell.demos, cell.seed)
            found[task.name] = namers.error(trainer.windows.of("demos", shown), config)
    return found


def _print_success(name: str, config: BenchConfig, collected: Path, out: Path) -> None:
    results = read_results(run(config, collected, out, "validation"))
    for arm in config.arms:
        mine = [each["success_by_task"] for each in results if each["cell"]["arm"] == arm]
        found = {task: rate for by_task in mine for task, rate in by_task.items()}
        rates = " | ".join(f"{found[task]:.2f}" for task in TASKS)
        mean = sum(found.values()) / len(found)
        print(f"| {name} | `{arm}` | {rates} | {mean:.2f} |", flush=True)


def _print_errors(name: str, config: BenchConfig, collected: Path, out: Path) -> None:
    found = errors(config, collected, out)
    for dimension in [key for key in found[TASKS[0]] if key.startswith("error_")]:
        each = [found[task][dimension] for task in TASKS]
        numbers = " | ".join(f"{error:.2f}" for error in each)
        print(f"| {name} | {dimension} | {numbers} | {sum(each) / len(each):.2f} |", flush=True)


def main() -> None:
    """Make the cells of the variants, and print success by task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, help="Meta-World's collection")
    parser.add_argument("out", type=Path, help="where cells are kept")
    parser.add_argument("names", nargs="*", help="variants; default: all, in order")
    parser.add_argument("--errors", action="store_true", help="of named actions; nothing is tried")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all")
    given = parser.parse_args()
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is named {sorted(unknown)}; there are {sorted(VARIANTS)}")
    show, what = (_print_errors, "dimension") if given.errors else (_print_success, "arm")
    print(f"| variant | {what} | {' | '.join(TASKS)} | mean |")
    print("|---" * (len(TASKS) + 3) + "|")
    for name in given.names or VARIANTS:
        show(name, settings(name, given.set), given.collected, given.out)


if __name__ == "__main__":
    main()
