"""What makes a task without labels work: variants of `transfer`, on validation episodes.

    python benchmarks/study/transfer.py COLLECTED OUT                    all of them
    python benchmarks/study/transfer.py COLLECTED OUT "blind" "flow first"   some
    python benchmarks/study/transfer.py COLLECTED OUT --set KEY=VALUE ...    other settings, for all

Two folds of three Meta-World tasks, ten demonstrations of each other task, one training seed, 20
episodes a task. A variant is what its settings change; cells that exist are not made again, and
what learns from videos is trained once for all variants. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sofdata.bench.results.table import read_results
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.run import run

FOLDS = (
    ("window-open", "handle-press", "door-close"),
    ("drawer-open", "button-press-topdown", "faucet-open"),
)
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


def main() -> None:
    """Make the cells of the variants, and print success by task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, help="Meta-World's collection")
    parser.add_argument("out", type=Path, help="where cells are kept")
    parser.add_argument("names", nargs="*", help="variants; default: all, in order")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all")
    given = parser.parse_args()
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is named {sorted(unknown)}; there are {sorted(VARIANTS)}")
    tasks = [task for fold in FOLDS for task in fold]
    print(f"| variant | arm | {' | '.join(tasks)} | mean |")
    print("|---" * (len(tasks) + 3) + "|")
    for name in given.names or VARIANTS:
        config = settings(name, given.set)
        results = read_results(run(config, given.collected, given.out, "validation"))
        for arm in config.arms:
            mine = [each["success_by_task"] for each in results if each["cell"]["arm"] == arm]
            found = {task: rate for by_task in mine for task, rate in by_task.items()}
            rates = " | ".join(f"{found[task]:.2f}" for task in tasks)
            mean = sum(found.values()) / len(found)
            print(f"| {name} | `{arm}` | {rates} | {mean:.2f} |", flush=True)


if __name__ == "__main__":
    main()
