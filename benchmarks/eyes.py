"""What eyes, image size, head and history cost: CPU time of an update, and of a look.

A cloned policy (as bc-50 of the benchmark) of each build makes updates on batches of 64 random
images, and acts on batches of 16; one thread, the builds in turn, medians of rounds.

    python benchmarks/eyes.py [--rounds 7]

Prints a Markdown table. About 3 s of CPU time a round; it measures CPU time, so that other work
matters little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.seen import SeenBatch
from sofdata.models.action.space import ActionSpace
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.types import Skill

BATCH, LOOK, ACTIONS, SIZE = 64, 16, 8, 4
SPACE = ActionSpace(
    mean=(0.0,) * SIZE,
    std=(1.0,) * SIZE,
    low=(-3.0,) * SIZE,
    high=(3.0,) * SIZE,
    values=((),) * SIZE,
    chunk=ACTIONS,
)
BUILDS: tuple[tuple[str, int, str, int], ...] = (
    ("grid", 64, "tokens", 0),
    ("grid", 64, "flat", 0),
    ("grid", 64, "both", 0),
    ("grid", 128, "flat", 0),
    ("points", 64, "tokens", 0),
    ("points", 64, "flat", 0),
    ("points", 96, "flat", 0),
    ("points", 128, "flat", 0),
    ("points", 64, "flat", 2),
)


def batch(px: int, history: int) -> SeenBatch:
    """Random images and actions."""
    images = torch.randint(256, (BATCH, 1 + history, 3, px, px), dtype=torch.uint8)
    return SeenBatch(
        flow=torch.zeros(BATCH, 4, 2, 32, 32),
        first=images[:, -1],
        last=images[:, -1],
        mask=torch.ones(BATCH, 4, dtype=torch.bool),
        text_ids=torch.zeros(BATCH, dtype=torch.int64),
        keys=tuple(f"random-{row:06d}" for row in range(BATCH)),
        actions=torch.randn(BATCH, ACTIONS, SIZE),
        action_mask=torch.ones(BATCH, ACTIONS, dtype=torch.bool),
        earlier=images[:, :-1],
        state=torch.zeros(BATCH, 0),
        weights=torch.ones(BATCH, ACTIONS),
        second=torch.zeros(BATCH, 0, 3, px, px, dtype=torch.uint8),
    )


def policy(eyes: str, px: int, head: str, history: int) -> ActionDecoder:
    """A policy with the sizes of the preset `standard`."""
    sizes: dict[str, Any] = {"width": 128, "channels": (16, 32, 64), "tokens": 4}
    config = SkillConfig.parse({**sizes, "eyes": eyes, "image_px": px})
    build = {"condition": "none", "encoder": "fresh", "task": "id", "shift_px": 2}
    decoder = DecoderConfig.parse({**build, "head": head, "history": history})
    return ActionDecoder(decoder, SkillVAE(config, FlowShape(4, 32, 2.0)), SPACE, ("task",))


def update_of(model: ActionDecoder, data: SeenBatch) -> Callable[[], None]:
    """What makes one update."""
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)

    def update() -> None:
        optimiser.zero_grad()
        model.loss(data, 0)[0].backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return update


def look_of(model: ActionDecoder, data: SeenBatch) -> Callable[[], None]:
    """What acts once for a few images."""
    images, texts = model.images(data)[:LOOK], ["task"] * LOOK
    skill = Skill(torch.zeros(LOOK, 0, 1), torch.zeros(LOOK, 0, dtype=torch.int64))

    def look() -> None:
        model.act(images, skill, texts)

    return look


def cpu_ms(act: Callable[[], None], times: int) -> float:
    """CPU ms that one of so many calls takes."""
    began = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - began) / times * 1e3


def main() -> None:
    """Measure all builds in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = {build: policy(*build) for build in BUILDS}
    data = {build: batch(build[1], build[3]) for build in BUILDS}
    updates = {build: update_of(models[build], data[build]) for build in BUILDS}
    looks = {build: look_of(models[build], data[build]) for build in BUILDS}
    found: dict[Any, list[tuple[float, float]]] = {build: [] for build in BUILDS}
    for _ in range(rounds + 1):
        for build in BUILDS:
            found[build].append((cpu_ms(updates[build], 2), cpu_ms(looks[build], 2)))
    print("| eyes | image_px | head | history | parameters | update, CPU ms | look, CPU ms |")
    print("|---|---|---|---|---|---|---|")
    for build in BUILDS:
        number = sum(weight.numel() for weight in models[build].parameters())
        update, look = map(statistics.median, zip(*found[build][1:], strict=True))
        cells = [*map(str, build), f"{number:,}", f"{update:.0f}", f"{look:.1f}"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
