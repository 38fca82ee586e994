"""What a preset costs a training seed: its stages counted, each once, times what such took before.

    python benchmarks/study/cost.py transfer            by the CPU seconds in benchmarks/results
    python benchmarks/study/cost.py scene-transfer OUT  by those of cells in OUT
    python benchmarks/study/cost.py standard --set 'arms=[bc, bc-50]' --set 'more_arms=[]'

CPU seconds an update of each kind of stage, and an episode of each arm, are means over measured
cells of the preset's suite; what was never measured there is named and left out. Where
`decoder.optim.epochs` bounds updates, a demonstration has `--windows` windows. Prints Markdown.
Collecting and ingesting are not in it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.results.table import read_results, result_files
from sofdata.bench.study.arms import ARMS, Arm
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.folds import folds_of
from sofdata.bench.study.stage_settings import clone_stage, decoder_stage, finetune_stage
from sofdata.bench.study.wanted import Cell, wanted_cells

ROOT = Path(__file__).parents[2]
Stage = tuple[str, str, int]  # kind, what tells it apart, updates
KINDS = {"flow": "skill", "frames": "lapa", "tracks": "tracks"}
WINDOWS = 36  # of a demonstration of Meta-World, in the mean


def stages_of(cell: Cell, config: BenchConfig, each: int = WINDOWS) -> Iterator[Stage]:
    """The stages that a cell needs; equal ones are trained once. each: windows a demonstration."""
    arm = ARMS[cell.arm]
    labels = f"{cell.demos}/{cell.labels_name}"
    below = f"{arm.latent}/{cell.videos or labels}"
    if arm.latent:
        kind = KINDS[arm.latent]
        yield kind, below, getattr(config, kind).optim.steps
        if arm.prior:
            yield "planner", below, config.planner.optim.steps
    stage = decoder_stage(arm, config)
    of = f"{below if arm.latent else ''}/{labels}/{arm.shuffled}/{stage.model.model_dump_json()}"
    tasks = len(tasks_of(find_suite(config.suite), config.tasks)) - len(cell.held_out)
    batches = math.ceil(tasks * cell.demos * each / stage.data.batch_size)
    optim = stage.optim.bounded(batches) if cell.demos else stage.optim  # play has many windows
    yield "decoder", of, optim.steps
    if arm.clones:
        beside = config.naming.members - (config.naming.told is None)
        for place in range(beside):  # the further decoders that name actions
            yield "decoder", f"{of}/{place}", optim.steps
        yield "clone", of, clone_stage(config).optim.steps
        if config.finetune_updates:
            yield "finetune", of, finetune_stage(config).optim.bounded(batches).steps


def measured(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """CPU seconds an update by kind of stage, of decoders without skills as "decoder of bc", and an
    episode by arm as "episode of ARM"."""
    found = defaultdict[str, list[float]](list)
    for result in results:
        name = result["cell"]["arm"]
        for kind, updates in result["updates"].items():
            found[_named(kind, ARMS.get(name))].append(result["cpu_s"][kind] / updates)
        episodes = len(result["episodes"]) + len(result.get("labelled", {}).get("episodes", []))
        found[f"episode of {name}"].append(result["cpu_s"]["evaluation"] / episodes)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _named(kind: str, arm: Arm | None) -> str:
    kind = kind.partition(" ")[0]  # of several decoders that name actions, each is one
    return "decoder of bc" if kind == "decoder" and arm and not arm.skills else kind


def rows_of(
    config: BenchConfig, each_s: dict[str, float], each: int = WINDOWS
) -> Iterator[tuple[str, int, float]]:
    """What is done, how often, and CPU seconds of all of it (nan where it was never measured)."""
    tasks = tasks_of(find_suite(config.suite), config.tasks)
    cells = wanted_cells(config, "test", folds_of(config, [task.name for task in tasks]))
    cells = [cell for cell in cells if cell.seed == config.seeds[0]]
    stages = {stage: ARMS[cell.arm] for cell in cells for stage in stages_of(cell, config, each)}
    counted = defaultdict[str, list[int]](list)
    for (kind, _, updates), arm in stages.items():
        counted[_named(kind, arm)].append(updates)
    for cell in cells:
        tried = [*cell.tried(tasks), *(cell.labelled(tasks) if config.try_labelled else ())]
        counted[f"episode of {cell.arm}"].append(len(tried) * config.evaluation.episodes)
    for name, amounts in sorted(counted.items()):
        yield name, len(amounts), sum(amounts) * each_s.get(name, float("nan"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the preset, by cells in the places that are given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("places", nargs="*", default=[str(ROOT / "benchmarks" / "results")])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of a demonstration")
    given = parser.parse_args(arguments)
    config = load_bench_config(given.preset, given.set)
    found = read_results(result_files(given.places))
    each_s = measured([one for one in found if one["cell"]["suite"] == config.suite])
    rows = list(rows_of(config, each_s, given.windows))
    head = " ".join([given.preset, *given.set])
    print(f"| {head}, one training seed | number | CPU min |\n|---|---|---|")
    for name, number, spent_s in rows:
        print(f"| {name.replace('episode of', 'trying')} | {number} | {spent_s / 60:.1f} |")
    known_s = np.nansum([spent_s for *_, spent_s in rows])
    print(f"| **sum** | | **{known_s / 60:.0f}**, {known_s / 120:.0f} min on two cores |")
    if missing := [name for name, _, spent_s in rows if np.isnan(spent_s)]:
        print(f"\nNever measured in this suite: {json.dumps(missing)}")


if __name__ == "__main__":
    main()
