"""Demonstrations in which the flow alone determines the actions."""

from __future__ import annotations

import torch
from torch import Tensor

from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.types import ActionBatch

STEPS, SIZE, ACTIONS = 4, 32, 6


def skill_model(seed: int = 0, **settings: object) -> SkillVAE:
    """A small untrained skill model; "kl" by default, since its codes differ from the start."""
    torch.manual_seed(seed)
    chosen: dict[str, object] = {
        "bottleneck": "kl",
        "tokens": 3,
        "width": 32,
        "channels": (8, 16, 16),
    }
    config = SkillConfig.parse(chosen | settings)
    return SkillVAE(config, FlowShape(steps=STEPS, size=SIZE, p99_px=2.0))


def batch_of(
    velocity: Tensor, actions: Tensor, lengths: list[int] | None = None, seed: int = 0
) -> ActionBatch:
    """Windows [B] in which all moves by velocity [B,2] px a step, and the picture is noise.

    actions: [B,N,A]. lengths: the number of real actions of each window.
    """
    size = len(velocity)
    noise = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (2, size, 3, 32, 32), generator=noise, dtype=torch.uint8)
    places = torch.arange(actions.shape[1])
    mask = places < torch.tensor(lengths or [len(places)] * size)[:, None]
    return ActionBatch(
        flow=velocity[:, None, :, None, None].expand(-1, STEPS, -1, SIZE, SIZE).contiguous(),
        first=images[0],
        last=images[1],
        mask=torch.ones(size, STEPS, dtype=torch.bool),
        text_ids=torch.zeros(size, dtype=torch.int64),
        keys=tuple(f"video{seed}x{row}-{0:06d}" for row in range(size)),
        actions=actions * mask[..., None],
        action_mask=mask,
    )


def pushes(size: int, seed: int = 0) -> ActionBatch:
    """Windows that move at v px a step to the right; v, uniform in -2 to 2, gives the actions.

    They are 1 + 0.1 v along a ramp, 50 v, and the gripper: 0.2 is open, 0.8 closed, to the right.
    """
    random = torch.Generator().manual_seed(seed)
    v = 4 * torch.rand(size, 1, generator=random) - 2
    ramp = torch.linspace(0.5, 1.5, ACTIONS)
    along = v.expand(-1, ACTIONS)
    gripper = torch.where(along > 0, 0.8, 0.2)
    actions = torch.stack([1 + 0.1 * v * ramp, 50 * along, gripper], dim=2)
    return batch_of(torch.cat([v, 0 * v], dim=1), actions, seed=seed)
