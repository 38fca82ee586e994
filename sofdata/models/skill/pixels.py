"""Encoders of the first frame and of a step of flow, and transformations of images and flow.

But for the one with key points, encoders embed patches linearly first: convolutions at full
resolution would take most of the time. Equation numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.models.common.init import init_weights
from sofdata.models.skill.eyes import FRAME, GRID_TOKENS, EyesConfig

GRID = 16  # cells along a side, at the finest
_SIDE = 4  # of the grid of an observation's tokens
TURNS = 8  # reflections and rotations of a square, see `turned`


def reduced(image: Tensor, px: int = FRAME) -> Tensor:
    """uint8 [B,3,H,W] of any size to float32 [B,3,px,px] in -1..1."""
    return resized(image.float(), px) / 127.5 - 1


def resized(image: Tensor, px: int) -> Tensor:
    """Means of areas: float32 [B,3,H,W] of any size to [B,3,px,px]."""
    if tuple(image.shape[-2:]) == (px, px):
        return image
    whole, rest = divmod(image.shape[-1], px)
    if whole and not rest and image.shape[-2] == image.shape[-1]:
        return nnf.avg_pool2d(image, whole)  # the same, four times as fast
    return nnf.interpolate(image, (px, px), mode="area")


def image_encoder(
    config: EyesConfig, channels: tuple[int, int, int]
) -> FrameEncoder | PointEncoder:
    """The image encoder that the settings ask for."""
    if config.eyes == "points":
        return PointEncoder(channels, config.image_px)
    return FrameEncoder(channels, config.image_px)


def observation_of(features: Tensor) -> Tensor:
    """Features of an image encoder to the tokens of an observation [B,P,C] (Eq. 1).

    Those of the grid are layer-normalised; key points are not, which would lose where they lie.
    """
    tokens = features.flatten(2).transpose(1, 2)  # [B, C, ...] -> [B, P, C]
    grid = nnf.layer_norm(tokens[:, :GRID_TOKENS], tokens.shape[-1:])
    if tokens.shape[1] == GRID_TOKENS:
        return grid
    return torch.cat([grid, tokens[:, GRID_TOKENS:]], 1)


def grid_of(features: Tensor) -> Tensor:
    """The 4 x 4 part of an image encoder's features, [B,C,4,4]."""
    return features.flatten(2)[..., :GRID_TOKENS].unflatten(2, (_SIDE, _SIDE))


class FrameEncoder(nn.Module):
    """The first frame as features [B,C,4,4] (Eq. 1)."""

    def __init__(self, channels: tuple[int, int, int], px: int = FRAME) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.px = px
        self.patches = nn.Conv2d(3, fine, px // GRID, stride=px // GRID)
        self.fine = unit(fine, fine, 1)
        self.middle = unit(fine, middle, 2)
        self.coarse = unit(middle, coarse, 2)
        self.last = nn.Conv2d(coarse, coarse, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """image: what `reduced` gives, or uint8 [B,3,H,W] of any size."""
        small = image if image.is_floating_point() else reduced(image, self.px)
        features: Tensor = self.last(self.coarse(self.middle(self.fine(self.patches(small)))))
        return features


class PointEncoder(nn.Module):
    """The first frame as features [B,C,19]: 4 x 4 averages, then key points (Eq. 25 to 27).

    Each channel has a key point: the mean place under the softmax of a map of cells of 4 px.
    """

    def __init__(self, channels: tuple[int, int, int], px: int = FRAME) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.px = px
        self.convolutions = nn.Sequential(
            unit(3, fine, 2), unit(fine, middle, 2), unit(middle, coarse, 1)
        )
        self.heat = nn.Conv2d(coarse, coarse, 1)
        init_weights(self.heat.weight, std=2 * coarse**-0.5)

    def forward(self, image: Tensor) -> Tensor:
        """image: what `reduced` gives at this encoder's px, or uint8 [B,3,H,W] of any size."""
        small = image if image.is_floating_point() else reduced(image, self.px)
        maps = self.convolutions(small)  # [B, C, px / 4, px / 4]
        averages = nnf.avg_pool2d(maps, maps.shape[-1] // _SIDE)  # [B, C, 4, 4]
        points = key_points(self.heat(maps), maps)  # [B, C, 3]
        return torch.cat([averages.flatten(2), points], 2)


def key_points(heat: Tensor, maps: Tensor) -> Tensor:
    """Where heat [B,C,s,s] has its mean after a softmax, and that of maps there: [B,C,3] (Eq. 27).

    The first two, x and y, are halves of a side from the middle.
    """
    share = heat.flatten(2).softmax(2)  # Eq. 25
    axis = (torch.arange(heat.shape[-1], device=heat.device) + 0.5) * 2 / heat.shape[-1] - 1
    square = share.unflatten(2, heat.shape[2:])
    x, y = (square.sum(2) * axis).sum(2), (square.sum(3) * axis).sum(2)  # Eq. 26: [B, C] each
    seen = (share * maps.flatten(2)).sum(2)
    return torch.stack([x, y, seen], -1)


class FlowEncoder(nn.Module):
    """A step of flow, normalised, to a vector: [N,2,s,s] to [N,W] (Eq. 2)."""

    def __init__(self, size: int, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        _, middle, coarse = channels
        self.patches = nn.Conv2d(2, middle, size // 8, stride=size // 8)
        self.conv = unit(middle, coarse, 2)
        # Group norm removes the magnitude of flow, so the flow itself is given too, at 16 x 16.
        self.out = nn.Linear(16 * coarse + 2 * GRID**2, width)

    def forward(self, flow: Tensor) -> Tensor:
        features = self.conv(nnf.silu(self.patches(flow)))  # [N,C,4,4]
        small = nnf.avg_pool2d(flow, flow.shape[-1] // GRID)  # [N,2,16,16]
        vectors: Tensor = self.out(torch.cat([features.flatten(1), small.flatten(1)], 1))
        return vectors


def moved(maps: Tensor, places: Tensor) -> Tensor:
    """Maps [B,C,h,w], translated to L places: [B,L,C,h,w], bilinear, zero beyond the border.

    places: [B,L,2G], (dx, dy) of each of G groups of channels, in halves of a side.
    """
    height, width = maps.shape[2:]
    groups = places.shape[2] // 2
    dx, dy = places.unflatten(2, (groups, 2)).transpose(1, 2).flatten(0, 1).unbind(-1)  # [B*G,L]
    rows, columns = _resampling(dy * (height / 2), height), _resampling(dx * (width / 2), width)
    x = maps.unflatten(1, (groups, -1)).flatten(0, 1).transpose(1, 2)  # [B*G,h,c,w]
    # A bilinear translation is separable: one matrix product over the rows, one over the columns.
    x = rows.flatten(1, 2) @ x.flatten(2)  # [B*G,L*h,c*w]
    x = x.view(-1, height * maps.shape[1] // groups, width) @ columns.flatten(0, 1).mT
    x = x.view(len(maps), groups, -1, height, maps.shape[1] // groups, width)  # [B,G,L,h,c,w]
    return x.permute(0, 2, 1, 4, 3, 5).flatten(2, 3)


def spread(canvases: Tensor, centres: Tensor, size: int) -> Tensor:
    """Place small canvases [...,C,c,c] around their centres on empty ones: [...,C,size,size].

    centres: [...,2], (x, y) in halves of a side from the middle. Bilinear; what lies outside is
    cut off.
    """
    side = canvases.shape[-1]
    inner = torch.arange(side, device=canvases.device, dtype=canvases.dtype) - (side - 1) / 2
    outer = torch.arange(size, device=canvases.device, dtype=canvases.dtype) - (size - 1) / 2
    gap = outer[:, None] - inner - centres[..., None, None] * (size / 2)  # [...,2,size,c]
    columns, rows = (1 - gap.abs()).relu().unbind(-3)
    flat = canvases.flatten(0, -4)  # [N,C,c,c]
    columns, rows = columns.reshape(-1, 1, size, side), rows.reshape(-1, 1, size, side)
    large = rows @ flat @ columns.mT  # [N,C,size,size]
    return large.view(*canvases.shape[:-2], size, size)


def _resampling(shift: Tensor, length: int) -> Tensor:
    """Matrices [...,length,length] that translate a line of values by shifts [...], in cells."""
    axis = torch.arange(length, device=shift.device, dtype=shift.dtype)
    gap = axis[:, None] - axis  # from each source cell to each target cell
    return (1 - (gap - shift[..., None, None]).abs()).relu()


def turned(flow: Tensor, image: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror windows left to right (bit 1), top to bottom (bit 2) and along the diagonal (bit 4).

    flow: [B,L,2,s,s]; image: [B,3,S,S]; turns: int64 [B]. The vectors are mirrored as well.
    """
    sign = flow.new_tensor([-1.0, 1.0])[:, None, None]
    for bit, axis, signs in ((1, -1, sign), (2, -2, -sign)):
        flag = (turns & bit) > 0
        flow = torch.where(flag[:, None, None, None, None], flow.flip(axis) * signs, flow)
        image = torch.where(flag[:, None, None, None], image.flip(axis), image)
    flag = (turns & 4) > 0
    flow = torch.where(flag[:, None, None, None, None], flow.transpose(-1, -2).flip(2), flow)
    return flow, torch.where(flag[:, None, None, None], image.transpose(-1, -2), image)


def norm(channels: int, affine: bool = True) -> nn.Module:
    """Group norm over groups of 8 channels."""
    return nn.GroupNorm(max(1, channels // 8), channels, affine=affine)


def unit(inner: int, outer: int, stride: int) -> nn.Module:
    """A convolution, normalised a sample, then SiLU."""
    conv = nn.Conv2d(inner, outer, 3, stride=stride, padding=1)
    return nn.Sequential(conv, norm(outer), nn.SiLU())
