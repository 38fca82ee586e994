"""The latent action model learns what differs between two frames."""

import torch

from sofdata.bench.baselines.lapa import LapaEvaluation, LatentActions
from sofdata.bench.baselines.lapa_config import LapaConfig
from sofdata.models.skill.vae import FlowShape
from sofdata.types import Batch

MOVES = ((12, 0), (-12, 0), (0, 12), (0, -12))


def moving_squares(number: int, seed: int) -> tuple[Batch, torch.Tensor]:
    """A bright square that moves in one of four directions; and which."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.full((number, 3, 64, 64), 40, dtype=torch.uint8)
    last = first.clone()
    which = torch.randint(4, (number,), generator=generator)
    places = torch.randint(16, 36, (number, 2), generator=generator)
    for row in range(number):
        x, y = places[row].tolist()
        dx, dy = MOVES[int(which[row])]
        first[row, :, y : y + 12, x : x + 12] = 220
        last[row, :, y + dy : y + dy + 12, x + dx : x + dx + 12] = 220
    nothing = torch.zeros(number, 1, 2, 16, 16)
    mask = torch.ones(number, 1, dtype=torch.bool)
    ids = torch.zeros(number, dtype=torch.int64)
    keys = tuple(f"square-{seed}-{row:06d}" for row in range(number))
    return Batch(nothing, first, last, mask, ids, keys), which


def test_it_predicts_the_last_frame_and_its_codes_follow_the_motion() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = LapaConfig.parse(
        {"levels": (4, 4), "tokens": 2, "width": 32, "heads": 2, "channels": (16, 24, 32)}
    )
    model = LatentActions(config, FlowShape(1, 16, 1.0))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(160):
        batch, _ = moving_squares(32, step)
        loss, _ = model.loss(batch, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    held_out, which = moving_squares(128, 1000)
    evaluation = LapaEvaluation(model)
    evaluation.add(held_out)
    assert evaluation.result()["change_explained"] > 0.4
    names = [tuple(tokens) for tokens in model.skill_of(held_out).tokens.tolist()]
    most: dict[tuple[int, ...], list[int]] = {}
    for name, move in zip(names, which.tolist(), strict=True):
        most.setdefault(name, []).append(move)
    predictable = sum(max(map(moves.count, moves)) for moves in most.values())
    assert predictable / len(names) > 0.7
