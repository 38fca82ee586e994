"""Between pictures and vectors: the frame's features, a step of flow to a vector, and back.

All work on a grid of 16 x 16 cells, which a linear map makes of patches: convolutions at full
resolution would take most of the time and add little.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

GRID = 16  # cells along a side, at the finest
FRAME = 64  # px; the first frame is reduced to this
SMOOTH = 8  # cells along a side of the smooth part of the flow
TURNS = 8  # ways in which `turned` can lay a picture

Pyramid = tuple[Tensor, Tensor, Tensor]


def reduced(image: Tensor) -> Tensor:
    """uint8 [B,3,H,W] of any size to float32 [B,3,64,64] in -1..1."""
    return nnf.interpolate(image.float() / 127.5 - 1, (FRAME, FRAME), mode="area")


class FrameEncoder(nn.Module):
    """The first frame as a pyramid of features: [B,C,16,16], [B,C,8,8] and [B,C,4,4]."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.patches = nn.Conv2d(3, fine, FRAME // GRID, stride=FRAME // GRID)
        self.fine = _unit(fine, fine, 1)
        self.middle = _unit(fine, middle, 2)
        self.coarse = _unit(middle, coarse, 2)
        self.last = nn.Conv2d(coarse, coarse, 3, padding=1)

    def forward(self, image: Tensor) -> Pyramid:
        """image: what `reduced` gives, or uint8 [B,3,H,W] of any size."""
        small = image if image.is_floating_point() else reduced(image)
        fine: Tensor = self.fine(self.patches(small))
        middle: Tensor = self.middle(fine)
        coarse: Tensor = self.last(self.coarse(middle))
        return fine, middle, coarse


class FlowEncoder(nn.Module):
    """A step of flow, normalised, to a vector: [N,2,s,s] to [N,W]."""

    def __init__(self, size: int, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.patches = nn.Conv2d(2, fine, size // GRID, stride=size // GRID)
        self.convs = nn.Sequential(nn.SiLU(), _unit(fine, middle, 2), _unit(middle, coarse, 2))
        # Group norm hides how fast things move; the reduced flow beside it tells.
        self.out = nn.Linear(16 * coarse + 2 * SMOOTH**2, width)

    def forward(self, flow: Tensor) -> Tensor:
        features = self.convs(self.patches(flow))  # [N,C,4,4]
        small = nnf.adaptive_avg_pool2d(flow, SMOOTH)
        vectors: Tensor = self.out(torch.cat([features.flatten(1), small.flatten(1)], 1))
        return vectors


class FlowDecoder(nn.Module):
    """Vectors of steps and the features of the first frame to normalised flow.

    Grows a 4 x 4 grid to 16 x 16. At each size the frame's features are added, moved along with
    what the steps before have moved, and the step's vector scales and shifts every channel (FiLM:
    Perez et al., arXiv 1709.07871). What comes out are `masks` soft outlines; the step's vector
    says how each of them moves, and a smooth flow is added for the camera.

    movers: groups of the frame's channels that move on their own; 0 leaves the frame in its place.
    """

    def __init__(
        self, size: int, channels: tuple[int, int, int], width: int, masks: int, movers: int
    ) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.patch, self.masks = size // GRID, masks
        self.seed = nn.Linear(width, 16 * coarse)
        self.levels = nn.ModuleList(
            [
                _Level(coarse, coarse, coarse, width, movers=0, grows=False),
                _Level(coarse, middle, middle, width, movers),
                _Level(middle, fine, fine, width, movers, out=masks * self.patch**2),
            ]
        )
        self.motions = nn.Linear(width, 2 * masks)
        self.moves = nn.Linear(width, 2 * movers) if movers else None
        self.smooth = nn.Linear(width, 2 * SMOOTH**2)
        for layer, std in ((self.motions, 0.002), (self.moves, 0.002), (self.smooth, 0.005)):
            if layer is not None:
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    def forward(self, steps: Tensor, frame: Pyramid) -> Tensor:
        """steps: [B,L,W]; frame: what `FrameEncoder` gives. Returns [B,L,2,s,s]."""
        vectors = steps.flatten(0, 1)
        places = None
        if self.moves is not None:
            moves = self.moves(steps)
            places = moves.cumsum(1) - moves  # where things are before each step
        x = self.seed(vectors).unflatten(1, (-1, 4, 4))
        for level, skip in zip(self.levels, reversed(frame), strict=True):
            x = level(x, vectors, skip, places, steps.shape[1])
        motions = self.motions(vectors).unflatten(1, (2, self.masks))
        flow = nnf.pixel_shuffle(
            (motions @ x.unflatten(1, (self.masks, -1)).flatten(2)).view(
                len(x), 2 * self.patch**2, GRID, GRID
            ),
            self.patch,
        )
        smooth = self.smooth(vectors).unflatten(1, (2, SMOOTH, SMOOTH))
        flow = flow + nnf.interpolate(smooth, flow.shape[-2:], mode="bilinear")
        return flow.unflatten(0, steps.shape[:2])


class _Level(nn.Module):
    """One size of the decoder: grow the grid twofold, add the frame, let the step modulate it."""

    def __init__(
        self,
        inner: int,
        outer: int,
        skip: int,
        width: int,
        movers: int,
        grows: bool = True,
        out: int = 0,
    ) -> None:
        super().__init__()
        self.grow = nn.Identity() if not grows else _grow(inner, outer)
        self.skip = nn.Conv2d(skip, outer, 1)
        self.film = nn.Linear(width, 2 * outer)
        self.norm = _norm(outer, affine=False)
        self.conv = nn.Conv2d(outer, out or outer, 3, padding=1)
        self.movers, self.is_last = movers, bool(out)

    def forward(self, x: Tensor, vectors: Tensor, skip: Tensor, places: Any, steps: int) -> Tensor:
        """x: [B*L,C,h,w]; vectors: [B*L,W]; skip: [B,C,h,w]; places: [B,L,2 movers] or None."""
        x = self.grow(x)
        picture = self.skip(skip)
        follows = self.movers and places is not None
        picture = moved(picture, places) if follows else picture[:, None]
        x = (x.unflatten(0, (-1, steps)) + picture).flatten(0, 1)
        scale, shift = self.film(vectors)[..., None, None].chunk(2, 1)
        change: Tensor = self.conv(nnf.silu(torch.addcmul(shift, self.norm(x), 1 + scale)))
        return change if self.is_last else x + change


def moved(maps: Tensor, places: Tensor) -> Tensor:
    """Maps [B,C,h,w], moved to L places: [B,L,C,h,w], bilinear, zero where nothing comes from.

    places: [B,L,2G], (dx, dy) of each of G groups of channels, in halves of a side.
    """
    height, width = maps.shape[2:]
    groups = places.shape[2] // 2
    dx, dy = places.unflatten(2, (groups, 2)).transpose(1, 2).unbind(-1)  # [B,G,L]
    rows, columns = _resampling(dy * (height / 2), height), _resampling(dx * (width / 2), width)
    x = maps.unflatten(1, (groups, -1))[:, :, None]  # [B,G,1,c,h,w]
    x = rows[:, :, :, None] @ x @ columns[:, :, :, None].transpose(-1, -2)
    return x.transpose(1, 2).flatten(2, 3)


def _resampling(shift: Tensor, length: int) -> Tensor:
    """Matrices [...,length,length] that move a line of values by shifts [...], in cells."""
    axis = torch.arange(length, device=shift.device, dtype=shift.dtype)
    gap = axis[:, None] - axis  # from each source cell to each target cell
    return (1 - (gap - shift[..., None, None]).abs()).relu()


def turned(flow: Tensor, image: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror windows left to right (bit 1), top to bottom (bit 2) and along the diagonal (bit 4).

    flow: [B,L,2,s,s]; image: [B,3,S,S]; turns: int64 [B]. Vectors turn along with their places.
    """
    sign = flow.new_tensor([-1.0, 1.0])[:, None, None]
    for bit, axis, signs in ((1, -1, sign), (2, -2, -sign)):
        flag = (turns & bit) > 0
        flow = torch.where(flag[:, None, None, None, None], flow.flip(axis) * signs, flow)
        image = torch.where(flag[:, None, None, None], image.flip(axis), image)
    flag = (turns & 4) > 0
    flow = torch.where(flag[:, None, None, None, None], flow.transpose(-1, -2).flip(2), flow)
    return flow, torch.where(flag[:, None, None, None], image.transpose(-1, -2), image)


def _grow(inner: int, outer: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inner, 4 * outer, 1), nn.PixelShuffle(2))


def _norm(channels: int, affine: bool = True) -> nn.Module:
    return nn.GroupNorm(max(1, channels // 8), channels, affine=affine)


def _unit(inner: int, outer: int, stride: int) -> nn.Module:
    """A convolution, normalised a sample, then SiLU."""
    conv = nn.Conv2d(inner, outer, 3, stride=stride, padding=1)
    return nn.Sequential(conv, _norm(outer), nn.SiLU())
