"""Can the gripper be seen in a task without labels, in the whole picture or near the hand?

    python benchmarks/study/gripper.py COLLECTED OUT

Motion does not show a gripper that is held open or shut (LOG.md, "Transfer, play, another look"), a
picture does. Each of Meta-World's ten tasks is left out in turn: small networks learn the gripper's
command from the pictures of ten demonstrations of each other task, and name it in those of the one
that is left out. `near` sees 16 x 16 of the 64 px around the hand, which is found by the colour of
a finger, for which a real robot would need a detector: so this is a bound. Prints a row of Markdown
for each task: what was commanded and what is named, on average; the share of pictures in which its
sign is right; and their correlation, where the command changes. OUT holds the ingested
demonstrations. Some 4 CPU minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, smooth_l1_loss

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.data import prepare_data
from sofdata.bench.study.run import texts_of
from sofdata.bench.study.stage_windows import StageWindows
from sofdata.types import ActionBatch

DEMOS, SIDE, SHIFT = 10, 16, 2  # SIDE, SHIFT in px of pictures of 64
FINGER, LEAST = 0.2, 2  # by how much green and blue are above red there, and in how many px
UPDATES = {"whole": 400, "near": 600}
BATCH, CHANGES = 64, 0.2  # a command changes where its standard deviation is above this


def near_hand(images: Tensor) -> tuple[Tensor, Tensor]:
    """Crops [M,3,SIDE,SIDE] around the finger of pictures [M,3,H,W] of 0 to 1, and whether one was
    seen, bool [M]; where none is, the crop is of a corner."""
    red, green, blue = images.unbind(1)
    finger = (green - red > FINGER) & (blue - red > FINGER)
    number = finger.sum((1, 2))
    height, width = images.shape[2:]
    share = finger.float() / number.clamp(min=1)[:, None, None]
    y = (share.sum(2) * torch.arange(height)).sum(1).int()
    x = (share.sum(1) * torch.arange(width)).sum(1).int()
    padded = pad(images, (SIDE // 2,) * 4, mode="replicate")
    crops = [
        picture[:, top : top + SIDE, left : left + SIDE]
        for picture, top, left in zip(padded, y.tolist(), x.tolist(), strict=True)
    ]
    return torch.stack(crops), number >= LEAST


def network(side: int) -> nn.Module:
    """One that names a number in pictures of this side."""
    layers: list[nn.Module] = []
    channels = 3
    while side > 4:
        layers += [nn.Conv2d(channels, 32, 3, 2, 1), nn.ReLU()]
        channels, side = 32, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * side**2, 1))


def fit(pictures: Tensor, commands: Tensor, updates: int) -> nn.Module:
    """A network from pictures [M,3,S,S] to commands [M]; both signs count alike."""
    torch.manual_seed(0)
    weights = torch.zeros(len(commands))
    for sign in (commands > 0, commands <= 0):
        weights[sign] = 1 / sign.sum().clamp(min=1)
    model = network(pictures.shape[2])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(updates):
        rows = torch.multinomial(weights, BATCH, replacement=True)
        moved = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
        seen = torch.roll(pictures[rows], moved, (2, 3)) - 0.5
        seen = seen * (1 + 0.2 * torch.randn(BATCH, 1, 1, 1)) + 0.1 * torch.randn(BATCH, 3, 1, 1)
        loss: Any = smooth_l1_loss(model(seen)[:, 0], commands[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def row(task: str, sees: str, named: Tensor, commands: Tensor) -> str:
    """A row of Markdown from named and true commands [M] of a task."""
    right = ((named > 0) == (commands > 0)).float().mean()
    related = torch.corrcoef(torch.stack([named, commands]))[0, 1]
    shown = f"{related:.2f}" if commands.std() > CHANGES else ""
    means = f"{commands.mean():.2f} | {named.mean():.2f}"
    return f"| {task} | {sees} | {means} | {right:.2f} | {shown} |"


def main(collected: str, out: str) -> None:
    """Print a row for each task and what is seen of it."""
    torch.set_num_threads(1)
    config = load_bench_config("transfer", ["ingest.run.engine=inline"])
    suite = find_suite(config.suite)
    tasks = tasks_of(suite, config.tasks)
    data = prepare_data(config, suite.fps, Path(collected), Path(out))
    windows = StageWindows(config, data, texts_of(tasks)).demonstrations(DataBudget(DEMOS, 0, 0))
    assert isinstance(windows.batch, ActionBatch)
    commands = windows.batch.actions[:, 0, -1]
    text = [windows.texts[index] for index in windows.batch.text_ids.tolist()]
    whole = windows.images(list(range(len(windows)))).float() / 255
    near, found = near_hand(whole)
    print(f"The hand was found in {found.float().mean():.3f} of {len(found)} pictures.\n")
    print("| left out | sees | command | named | sign right | correlation |")
    print("|---|---|---|---|---|---|")
    for task in tasks:
        mine = torch.tensor([each == task.text for each in text])
        for sees, pictures in (("whole", whole), ("near", near)):
            model = fit(pictures[~mine & found], commands[~mine & found], UPDATES[sees])
            with torch.no_grad():
                named = model(pictures[mine & found] - 0.5)[:, 0]
            print(row(task.name, sees, named, commands[mine & found]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
