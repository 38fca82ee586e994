"""From vectors back to flow: outlines drawn anew, and parts of the first frame carried along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.models.pixels import GRID, Pyramid, moved, norm, unit

SMOOTH = 8  # cells along a side of the smooth part of the flow
CUT = 16  # channels of the network that cuts parts out of the frame, and
CUT_CELL = 2  # px of the frame that a cell of it holds
_FEW = -1.0  # cutouts begin as faint ones: most of a frame rests


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """size: side in px of the flow that is made. width: of the vectors. stride: by how many
    halves of a side a flow of 1 moves things in a step. The rest as in `SkillConfig`."""

    size: int
    width: int
    stride: float
    channels: tuple[int, int, int]
    masks: int
    movers: int
    cutouts: int


class FlowDecoder(nn.Module):
    """Vectors of steps and the first frame to normalised flow: the sum of three parts.

    - `outlines` soft masks, drawn anew for each step, and how each of them moves;
    - cutouts: parts of the first frame, carried along by their own motion (`Cutouts`);
    - a smooth flow for the camera.
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.outlines = Outlines(shape)
        self.cutouts = Cutouts(shape) if shape.cutouts else None
        self.smooth = _small(shape.width, 2 * SMOOTH**2, std=0.005)

    def forward(
        self, steps: Tensor, frame: Pyramid, image: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """steps: [B,L,W]; frame: what `FrameEncoder` gives of image, float32 [B,3,64,64].

        chosen: int64 [B,M], the steps to decode, None for all. Returns [B,M,2,s,s].
        """
        flow = self.outlines(steps, frame, chosen)
        if self.cutouts is not None:
            flow = flow + self.cutouts(steps, image, chosen)
        smooth = self.smooth(_picked(steps, chosen).flatten(0, 1)).unflatten(1, (2, SMOOTH, SMOOTH))
        smooth = nnf.interpolate(smooth, flow.shape[-2:], mode="bilinear")
        total: Tensor = flow + smooth.view_as(flow)
        return total


class Outlines(nn.Module):
    """Masks that a small network draws for each step, times the motion of each.

    Grows a 4 x 4 grid to 16 x 16. At each size the frame's features are added, moved along with
    what the steps before have moved, and the step's vector scales and shifts every channel (FiLM:
    Perez et al., arXiv 1709.07871).
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        fine, middle, coarse = shape.channels
        width, movers = shape.width, shape.movers
        self.patch, self.masks = shape.size // GRID, shape.masks
        self.seed = nn.Linear(width, 16 * coarse)
        self.levels = nn.ModuleList(
            [
                _Level(coarse, coarse, coarse, width, movers=0, grows=False),
                _Level(coarse, middle, middle, width, movers),
                _Level(middle, fine, fine, width, movers, out=self.masks * self.patch**2),
            ]
        )
        self.motions = _small(width, 2 * self.masks, std=0.002)
        self.moves = _small(width, 2 * movers, std=0.002) if movers else None

    def forward(self, steps: Tensor, frame: Pyramid, chosen: Tensor | None) -> Tensor:
        """As `FlowDecoder`."""
        places = None
        if self.moves is not None:
            places = _picked(_before(self.moves(steps)), chosen)
        steps = _picked(steps, chosen)
        vectors = steps.flatten(0, 1)
        x = self.seed(vectors).unflatten(1, (-1, 4, 4))
        for level, skip in zip(self.levels, reversed(frame), strict=True):
            x = level(x, vectors, skip, places, steps.shape[1])
        motions = self.motions(vectors).unflatten(1, (2, self.masks))
        flow = motions @ x.unflatten(1, (self.masks, -1)).flatten(2)  # [B*M,2,patch^2*16*16]
        flow = flow.view(len(x), 2 * self.patch**2, GRID, GRID)
        return nnf.pixel_shuffle(flow, self.patch).unflatten(0, steps.shape[:2])


class Cutouts(nn.Module):
    """Parts of the first frame that move as a whole, each where its own motion has brought it.

    A flow of so many px moves a thing by as many: so where a part is at a step follows from how it
    moved before, and its outline stays as sharp as the first frame shows it.
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.parts, self.stride = shape.cutouts, shape.stride
        self.size = shape.size
        self.patches = nn.Conv2d(3, CUT, CUT_CELL, stride=CUT_CELL)
        self.near = unit(CUT, CUT, 1)
        self.far = nn.Conv2d(CUT, CUT, 3, padding=2, dilation=2)
        self.far_norm = norm(CUT, affine=False)
        self.film = nn.Linear(shape.width, 2 * CUT)
        self.masks = nn.Conv2d(CUT, self.parts, 3, padding=1)
        self.motions = _small(shape.width, 2 * self.parts, std=0.02)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, steps: Tensor, image: Tensor, chosen: Tensor | None) -> Tensor:
        """As `FlowDecoder`."""
        motions = self.motions(steps)  # [B,L,2*parts]: dx, dy of each part in turn
        places = _picked(_before(motions) * self.stride, chosen)
        masks = moved(self.cut(steps.mean(1), image), places)  # [B,M,parts,s,s]
        vectors = _picked(motions, chosen).unflatten(2, (self.parts, 2)).mT  # [B,M,2,parts]
        return (vectors @ masks.flatten(3)).unflatten(3, masks.shape[-2:])

    def cut(self, window: Tensor, image: Tensor) -> Tensor:
        """Masks [B,parts,s,s] in 0..1; window: [B,W], which parts are of interest."""
        x = self.far_norm(self.far(self.near(nnf.silu(self.patches(image)))))
        scale, shift = self.film(window)[..., None, None].chunk(2, 1)
        x = self.masks(nnf.silu(torch.addcmul(shift, x, 1 + scale)))
        masks = (x + _FEW).sigmoid()
        if masks.shape[-1] == self.size:
            return masks
        return nnf.interpolate(masks, (self.size, self.size), mode="bilinear")


class _Level(nn.Module):
    """One size of the outlines: grow the grid twofold, add the frame, let the step modulate it."""

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
        self.norm = norm(outer, affine=False)
        self.conv = nn.Conv2d(outer, out or outer, 3, padding=1)
        self.movers, self.is_last = movers, bool(out)

    def forward(
        self, x: Tensor, vectors: Tensor, skip: Tensor, places: Tensor | None, steps: int
    ) -> Tensor:
        """x: [B*M,C,h,w]; vectors: [B*M,W]; skip: [B,C,h,w]; places: [B,M,2 movers] or None."""
        x = self.grow(x)
        picture = self.skip(skip)
        still = places is None or not self.movers
        picture = picture[:, None] if still else moved(picture, cast(Tensor, places))
        x = (x.unflatten(0, (-1, steps)) + picture).flatten(0, 1)
        scale, shift = self.film(vectors)[..., None, None].chunk(2, 1)
        change: Tensor = self.conv(nnf.silu(torch.addcmul(shift, self.norm(x), 1 + scale)))
        return change if self.is_last else x + change


def _before(motions: Tensor) -> Tensor:
    """How far things have moved before each step: [B,L,N]."""
    return motions.cumsum(1) - motions


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


def _grow(inner: int, outer: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inner, 4 * outer, 1), nn.PixelShuffle(2))
