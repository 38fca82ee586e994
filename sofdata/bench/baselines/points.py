"""Points that optical flow carries along: tracks without a tracker.

Coordinates are (x, y) in halves of a side from the image's middle, so that -1 and 1 are its edges.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def grid_points(side: int) -> Tensor:
    """The centres of side x side equal cells, row by row: float32 [side * side, 2]."""
    centres = (2 * torch.arange(side) + 1) / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def carried(flow: Tensor, points: Tensor, mask: Tensor) -> Tensor:
    """How far points have moved after each step: float32 [B,P,L,2], in halves of a side.

    flow: float32 [B,L,2,h,w], (dx, dy) in px a step, each step's at the places before it.
    points: float32 [B,P,2], where they are before the first step. mask: bool [B,L]; a step that is
    not real moves nothing. Between pixels flow is interpolated linearly, beyond the edge it is that
    of the edge. Errors of flow add up, and a point that something covers moves on with what covers
    it, where a tracker would know that it is hidden.
    """
    height, width = flow.shape[-2:]
    halves = flow.new_tensor([2 / width, 2 / height])
    at, moved = points, []
    for step in range(flow.shape[1]):
        sampled = functional.grid_sample(
            flow[:, step], at[:, :, None], padding_mode="border", align_corners=False
        )  # [B, 2, P, 1]
        change = sampled[..., 0].transpose(1, 2) * halves  # [B, P, 2]
        at = at + change * mask[:, step, None, None]
        moved.append(at - points)
    return torch.stack(moved, 2)
