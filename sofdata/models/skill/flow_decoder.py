"""From vectors back to flow: parts of the first frame that are carried along, and what they do.

The flow of a step is the sum of three things. *Parts*, cut out of the first frame, move as a whole.
Each has a *canvas* that it carries along, on which the step draws what is more than moving: a hand
that closes, a thing it takes along. A *smooth* flow is added for the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.models.skill.pixels import moved, norm, spread

SMOOTH = 8  # cells along a side of the smooth part of the flow
CANVAS = 16  # px along a side of a canvas at a flow of 32 x 32
CUT = 16  # channels of the network that cuts parts out of the frame,
CUT_CELL = 2  # px of the frame that a cell of it holds,
CUT_REACH = (1, 2, 4)  # and how many cells apart its convolutions look
_FEW = -1.0  # parts begin as faint ones: most of a frame rests,
_SHOWN = 2.0  # and as shown ones


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """size: side in px of the flow that is made. width: of the vectors. stride: by how many
    halves of a side a flow of 1 moves things in a step. parts: that are cut out."""

    size: int
    width: int
    stride: float
    parts: int


class FlowDecoder(nn.Module):
    """Vectors of steps and the first frame to normalised flow.

    A flow of so many px moves a thing by as many: so where a part is at a step follows from how it
    moved before, and its outline stays as sharp as the first frame shows it. A part may be hidden:
    a hand that has closed is another part from then on.
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        width = shape.width
        self.size, self.parts, self.stride = shape.size, shape.parts, shape.stride
        self.side = CANVAS * shape.size // 32
        self.cut = Cut(shape)
        self.motions = _small(width, 2 * self.parts, std=0.02)
        self.shown = _small(width, self.parts, std=0.02)
        self.canvases = _small(width, 2 * self.parts * CANVAS**2, std=0.002)
        self.smooth = _small(width, 2 * SMOOTH**2, std=0.005)

    def forward(self, steps: Tensor, image: Tensor, chosen: Tensor | None = None) -> Tensor:
        """steps: [B,L,W]; image: float32 [B,3,64,64] in -1..1.

        chosen: int64 [B,M], the steps to decode, None for all. Returns [B,M,2,s,s].
        """
        masks = self.cut(steps.mean(1), image)  # [B,parts,s,s]
        motions = self.motions(steps)  # [B,L,2*parts]: dx, dy of each part in turn
        places = _picked(motions.cumsum(1) - motions, chosen) * self.stride
        motions, steps = _picked(motions, chosen), _picked(steps, chosen)
        shown = (self.shown(steps) + _SHOWN).sigmoid()[:, :, None]
        vectors = motions.unflatten(2, (self.parts, 2)).mT * shown  # [B,M,2,parts]
        flow = (vectors @ moved(masks, places).flatten(3)).unflatten(3, (self.size, self.size))
        return flow + self._drawn(steps, masks, places) + self._smooth(steps)

    def _drawn(self, steps: Tensor, masks: Tensor, places: Tensor) -> Tensor:
        """What is on the canvases, each around the middle of its part."""
        canvases = self.canvases(steps).unflatten(2, (self.parts, 2, CANVAS, CANVAS))
        if self.side != CANVAS:
            canvases = nnf.interpolate(canvases.flatten(0, 2), (self.side,) * 2, mode="bilinear")
            canvases = canvases.unflatten(0, (*steps.shape[:2], self.parts))
        centres = middles(masks)[:, None] + places.unflatten(2, (self.parts, 2))
        return spread(canvases, centres, self.size).sum(2)

    def _smooth(self, steps: Tensor) -> Tensor:
        smooth = self.smooth(steps).unflatten(2, (2, SMOOTH, SMOOTH))
        large = nnf.interpolate(smooth.flatten(0, 1), (self.size, self.size), mode="bilinear")
        return large.unflatten(0, steps.shape[:2])


class Cut(nn.Module):
    """Cuts parts out of the first frame: [B,W] and [B,3,64,64] to masks [B,parts,s,s] in 0..1.

    Which parts are of interest is told by a vector that scales and shifts every channel (FiLM:
    Perez et al., arXiv 1709.07871).
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.size = shape.size
        self.patches = nn.Conv2d(3, CUT, CUT_CELL, stride=CUT_CELL)
        self.convs = nn.ModuleList(
            nn.Conv2d(CUT, CUT, 3, padding=reach, dilation=reach) for reach in CUT_REACH
        )
        self.norms = nn.ModuleList(norm(CUT, affine=False) for _ in CUT_REACH)
        self.film = nn.Linear(shape.width, 2 * CUT * len(CUT_REACH))
        self.masks = nn.Conv2d(CUT, shape.parts, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, window: Tensor, image: Tensor) -> Tensor:
        x = self.patches(image)
        told = self.film(window)[..., None, None].chunk(2 * len(CUT_REACH), 1)
        for number, (conv, normed) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale, shift = told[2 * number : 2 * number + 2]
            x = x + nnf.silu(torch.addcmul(shift, normed(conv(x)), 1 + scale))
        masks: Tensor = (self.masks(x) + _FEW).sigmoid()
        if masks.shape[-1] == self.size:
            return masks
        return nnf.interpolate(masks, (self.size, self.size), mode="bilinear")


def middles(masks: Tensor) -> Tensor:
    """Centres of mass of masks [B,N,s,s]: (x, y) in halves of a side from the middle, [B,N,2]."""
    axis = (torch.arange(masks.shape[-1], device=masks.device) + 0.5) * 2 / masks.shape[-1] - 1
    heavy = masks.square()  # so that what is faint everywhere pulls little
    columns, rows = heavy.sum(2) @ axis, heavy.sum(3) @ axis
    return torch.stack([columns, rows], -1) / (heavy.sum((2, 3)) + 1e-3)[..., None]


def _picked(values: Tensor, chosen: Tensor | None) -> Tensor:
    """Of values [B,L,N] those of the chosen steps: [B,M,N]."""
    if chosen is None:
        return values
    return values.gather(1, chosen[:, :, None].expand(-1, -1, values.shape[2]))


def _small(inner: int, outer: int, std: float) -> nn.Linear:
    """A linear map that begins with little effect."""
    layer = nn.Linear(inner, outer)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer
