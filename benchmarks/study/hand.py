"""How well could actions be named, if the motion of the hand were known exactly?

    python benchmarks/study/hand.py COLLECTED

A bound for `motion.py`: in place of flow, three small networks are given how the simulator says
that hand and gripper moved in the control steps before and after an action (`observation.state` of
the demonstrations), and learn from one demonstration a task, as the study's decoder does. What
they miss on held-out demonstrations no finer flow could add: the experts' noise, pushing against
what does not give way, and what eight trajectories do not show. Prints a row of Markdown for each
choice of input; some 3 CPU s each. Errors are mean absolute ones, in standard deviations of the
training actions.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sofdata.bench.study.data import BenchData

CAMERA = "observation.images.front"
NETWORKS, WIDTH, UPDATES, BATCH = 3, 128, 600, 128
NOISE = 0.1  # added to inputs in training, in their standard deviations
TRIALS = [
    # steps before and after an action, whether the hand's place and the task are given
    (0, 1, False, False),
    (0, 4, False, False),
    (4, 8, False, False),
    (4, 8, False, True),
    (4, 8, True, False),
    (4, 8, True, True),
]


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """task: its number. actions [T,A] and states [T,S], row t of both at frame t."""

    task: int
    actions: NDArray[np.float32]
    states: NDArray[np.float32]


def episodes(collected: Path, seed: int = 0) -> tuple[list[Episode], list[Episode]]:
    """What the study with this training seed learns from at K = 1, and what it holds out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((collected / "demos" / "data").glob("*/*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    number = table["episode_index"].to_numpy()
    task = table["task_index"].to_numpy()
    actions = np.stack(table["action"].to_pylist()).astype(np.float32)
    states = np.stack(table["observation.state"].to_pylist()).astype(np.float32)
    made = {
        f"{CAMERA}/episode-{each:06d}": Episode(
            int(task[number == each][0]), actions[number == each], states[number == each]
        )
        for each in np.unique(number).tolist()
    }
    sources: dict[str, tuple[str, ...]] = {}
    for name, episode in made.items():
        kind = str(episode.task)
        sources[kind] = (*sources.get(kind, ()), name)
    data = BenchData("", {}, {"demos": sources}, {})
    learned = data.choose("demos", tuple(sources), 1, seed)
    held_out = data.held_out(tuple(sources), 1, seed)
    return [made[name] for name in learned], [made[name] for name in held_out]


def inputs(episode: Episode, trial: tuple[int, int, bool, bool], tasks: int) -> Tensor:
    """[T,D]: how the state changes in each step around an action, and what else is given."""
    before, after, placed, told = trial
    last = len(episode.states) - 1
    at = np.arange(len(episode.states))
    state = [episode.states[np.clip(at + step, 0, last)] for step in range(-before, after + 1)]
    parts = [100 * (b - a) for a, b in itertools.pairwise(state)]
    if placed:
        parts.append(5 * episode.states)
    if told:
        parts.append(np.tile(np.eye(tasks, dtype=np.float32)[episode.task], (len(at), 1)))
    return torch.from_numpy(np.concatenate(parts, 1))


def fit(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    """A network from x to y, by the mean absolute error."""
    torch.manual_seed(seed)
    layers = [nn.Linear(x.shape[1], WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU()]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, y.shape[1]))
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.1)
    for _ in range(UPDATES):
        rows = torch.randint(len(x), (BATCH,))
        noisy = x[rows] + NOISE * torch.randn(BATCH, x.shape[1])
        loss = (network(noisy) - y[rows]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@torch.no_grad()
def errors(networks: list[nn.Module], x: Tensor, y: Tensor) -> Tensor:
    """Absolute errors [T,A] of the networks' mean."""
    answers: Tensor = torch.stack([network(x) for network in networks]).mean(0)
    return (answers - y).abs()


def main(collected: str) -> None:
    """Print a row for each trial."""
    torch.set_num_threads(1)
    learned, held_out = episodes(Path(collected))
    actions = torch.from_numpy(np.concatenate([each.actions for each in learned]))
    mean, std = actions.mean(0), actions.std(0)
    print("| steps before, after | place | task | error | by dimension | CPU s |")
    print("|---|---|---|---|---|---|")
    for trial in TRIALS:
        began = time.process_time()
        x = torch.cat([inputs(each, trial, len(learned)) for each in learned])
        middle, scale = x.mean(0), x.std(0) + 1e-3
        y = (actions - mean) / std
        networks = [fit((x - middle) / scale, y, seed) for seed in range(NETWORKS)]
        found = []
        for each in held_out:
            given = (inputs(each, trial, len(learned)) - middle) / scale
            true = (torch.from_numpy(each.actions) - mean) / std
            found.append(errors(networks, given, true)[: len(true) - trial[1]])
        gaps = torch.cat(found)
        places = ", ".join(f"{value:.3f}" for value in gaps.mean(0).tolist())
        print(
            f"| {trial[0]}, {trial[1]} | {'yes' if trial[2] else 'no'} | "
            f"{'yes' if trial[3] else 'no'} | {gaps.mean():.3f} | {places} "
            f"| {time.process_time() - began:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
