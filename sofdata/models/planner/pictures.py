"""What a planner proposes for two tasks and the same first frame, drawn beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.pictures.colour import flow_to_rgb
from sofdata.pictures.sheet import flow_scale, flow_steps
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from sofdata.models.planner.planner import Planner

_SAMPLES, _CELL, _GAP, _LINE, _EDGE = 4, 72, 4, 20, 12  # the last four in px
_COLUMNS = 4  # steps of flow a skill
_BLOCK = _COLUMNS * (_CELL + _GAP)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A window and a task that is not its own.

    first: uint8 [3,H,W]. flow: float32 [L,2,h,w], what truly happened. texts: its own task, and
    another.
    """

    first: Tensor
    flow: Tensor
    texts: tuple[str, str]


@torch.no_grad()
def draw_samples(planner: Planner, pair: Pair, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [H,W,3]: above the first frame and its true flow, below a block of samples a task.

    Each row of a block is a skill drawn from the prior and decoded to flow. One scale of colour for
    all, the fastest true or sampled flow's.
    """
    flows = [_samples(planner, pair.first, text, seed) for text in pair.texts]
    true = _array(pair.flow)
    scale = max(flow_scale(flow) for flow in (true, *flows))
    height = 2 * _EDGE + 2 * _LINE + (1 + _SAMPLES) * (_CELL + _GAP)
    canvas = np.full((height, 3 * _EDGE + 2 * _BLOCK, 3), 255, np.uint8)
    top = _EDGE + _LINE
    _paste(canvas, _EDGE, top, pair.first.permute(1, 2, 0).cpu().numpy())
    _row(canvas, _EDGE + _CELL + _GAP, top, true, scale)
    below = top + _CELL + _GAP + _LINE
    for block, flow in enumerate(flows):
        for sample in range(_SAMPLES):
            left = _EDGE + block * (_BLOCK + _EDGE)
            _row(canvas, left, below + sample * (_CELL + _GAP), flow[sample], scale)
    lines = [
        (_EDGE, _EDGE, "A held-out first frame and its true flow"),
        (_EDGE, below - _LINE, f"Prior: {pair.texts[0]}"),
        (2 * _EDGE + _BLOCK, below - _LINE, f"Prior: {pair.texts[1]}"),
    ]
    return _write(canvas, lines)


def _samples(planner: Planner, first: Tensor, text: str, seed: int) -> NDArray[np.float32]:
    """Flow [S,L,h,w,2] of skills drawn for a task."""
    generator = torch.Generator(first.device).manual_seed(seed)
    observation = planner.observe(first[None])
    codes, _, _ = planner.propose(observation, planner.tasks([text]), _SAMPLES, 1.0, generator)
    return _array(planner.skill.decode(codes[0], first.expand(_SAMPLES, -1, -1, -1)))


def _array(flow: Tensor) -> NDArray[np.float32]:
    """[..., 2, h, w] to an array [..., h, w, 2]."""
    return np.asarray(flow.movedim(-3, -1).float().cpu().numpy(), np.float32)


def _row(
    canvas: NDArray[np.uint8], left: int, top: int, flow: NDArray[np.float32], scale: float
) -> None:
    """Steps of a skill's flow [L,h,w,2], spread evenly."""
    for column, step in enumerate(flow_steps(flow)[:_COLUMNS]):
        _paste(canvas, left + column * (_CELL + _GAP), top, flow_to_rgb(flow[step], scale))


def _paste(canvas: NDArray[np.uint8], left: int, top: int, image: NDArray[np.uint8]) -> None:
    from PIL import Image

    cell = Image.fromarray(image).resize((_CELL, _CELL), Image.Resampling.BILINEAR)
    canvas[top : top + _CELL, left : left + _CELL] = np.asarray(cell)


def _write(canvas: NDArray[np.uint8], lines: list[tuple[int, int, str]]) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    picture: Picture = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for left, top, text in lines:
        line = printable(text[:_BLOCK])
        ending = ""
        while pen.textlength(line + ending, font) > _BLOCK:
            line, ending = line[:-1], "..."
        pen.text((left, top), line + ending, fill=(28, 30, 34), font=font)
    return np.asarray(picture)
