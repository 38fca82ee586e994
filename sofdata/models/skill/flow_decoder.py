"""From vectors of steps back to flow: moving parts of the first frame, canvases on them, a camera.

The flow of a step is the sum of three terms. *Parts*, cut out of the first frame, are translated.
Each has a *canvas* that moves with it, on which changes other than translation are drawn: a closing
hand, an object that is picked up. A *smooth* flow is added for the motion of the camera.

Equation numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.models.common.init import init_weights
from sofdata.models.skill.pixels import moved, norm, spread

SMOOTH = 8  # cells along a side of the smooth part of the flow
CANVAS = 16  # px along a side of a canvas at a flow of 32 x 32
CUT = 16  # channels of the network that cuts parts out of the frame,
CUT_CELL = 2  # px of the frame that a cell of it holds,
CUT_REACH = (1, 2, 4)  # and the dilations of its convolutions
_FEW = -1.0  # logit of the masks at first: faint, as most of a frame does not move
_SHOWN = 2.0  # logit of h_tk at first: no part is hidden


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """size: side s of the decoded flow in px. width: W, of the vectors. stride: by how many halves
    of a side a normalised flow of 1 moves a point in a step. parts: how many are cut out."""

    size: int
    width: int
    stride: float
    parts: int


class FlowDecoder(nn.Module):
    """Vectors of steps and the first frame to normalised flow (Eq. 7 to 9).

    Flow is motion in px, so the place of a part at a step follows from how it has moved before, and
    its outline stays as sharp as in the first frame. A part may be hidden: a hand that has closed
    is another part from then on.
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
        masks = self.cut(steps.mean(1), image)  # Eq. 7: [B, parts, s, s]
        motions = self.motions(steps)  # [B, L, 2 * parts]: dx, dy of each part in turn
        before = motions.cumsum(1) - motions  # Eq. 8
        places = _picked(before, chosen) * self.stride  # [B, M, 2 * parts], in halves of a side
        motions, steps = _picked(motions, chosen), _picked(steps, chosen)
        shown = (self.shown(steps) + _SHOWN).sigmoid()[:, :, None]  # h_tk: [B, M, 1, parts]
        vectors = motions.unflatten(2, (self.parts, 2)).mT * shown  # [B, M, 2, parts]
        flow = vectors @ moved(masks, places).flatten(3)  # [B, M, 2, s * s]
        flow = flow.unflatten(3, (self.size, self.size))
        return flow + self._drawn(steps, masks, places) + self._smooth(steps)  # Eq. 9

    def _drawn(self, steps: Tensor, masks: Tensor, places: Tensor) -> Tensor:
        """The sum of all canvases, each centred on its part: [B,M,2,s,s]."""
        canvases = self.canvases(steps)  # [B, M, parts * 2 * c * c]
        canvases = canvases.unflatten(2, (self.parts, 2, CANVAS, CANVAS))
        if self.side != CANVAS:
            flat = canvases.flatten(0, 2)  # [B * M * parts, 2, c, c]
            flat = nnf.interpolate(flat, (self.side,) * 2, mode="bilinear")
            canvases = flat.unflatten(0, (*steps.shape[:2], self.parts))
        centres = middles(masks)[:, None] + places.unflatten(2, (self.parts, 2))  # [B, M, parts, 2]
        return spread(canvases, centres, self.size).sum(2)

    def _smooth(self, steps: Tensor) -> Tensor:
        """The flow of the camera: [B,M,2,s,s]."""
        smooth = self.smooth(steps).unflatten(2, (2, SMOOTH, SMOOTH)).flatten(0, 1)
        large = nnf.interpolate(smooth, (self.size, self.size), mode="bilinear")  # [B * M, 2, s, s]
        return large.unflatten(0, steps.shape[:2])


class Cut(nn.Module):
    """Cuts parts out of the first frame: [B,W] and [B,3,64,64] to masks [B,parts,s,s] in 0..1.

    It is conditioned on the window by a vector that scales and shifts every channel (FiLM: Perez et
    al., arXiv 1709.07871).
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
        init_weights(self.film.weight, self.film.bias, std=0)

    def forward(self, window: Tensor, image: Tensor) -> Tensor:
        x = self.patches(image)  # [B, CUT, 32, 32]
        # A scale and a shift for each convolution, [B, CUT, 1, 1] each.
        film = self.film(window)[..., None, None].chunk(2 * len(CUT_REACH), 1)
        for number, (conv, normed) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale, shift = film[2 * number : 2 * number + 2]
            x = x + nnf.silu(torch.addcmul(shift, normed(conv(x)), 1 + scale))
        masks: Tensor = (self.masks(x) + _FEW).sigmoid()
        if masks.shape[-1] == self.size:
            return masks
        return nnf.interpolate(masks, (self.size, self.size), mode="bilinear")


def middles(masks: Tensor) -> Tensor:
    """Centres of mass of masks [B,N,s,s]: (x, y) in halves of a side from the middle, [B,N,2]."""
    axis = (torch.arange(masks.shape[-1], device=masks.device) + 0.5) * 2 / masks.shape[-1] - 1
    heavy = masks.square()  # so that a faint background counts little
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
    init_weights(layer.weight, std=std)
    init_weights(layer.bias, std=0)
    return layer
