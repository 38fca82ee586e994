"""A picture of the skills that a planner proposes for two tasks at the same first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.pictures.colour import flow_to_rgb
from sofdata.pictures.sheet import flow_scale, flow_steps
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SAMPLES = 4  # skills a task
_CELL, _GAP, _LINE, _EDGE = 72, 4, 20, 12  # px
_COLUMNS = 4  # steps of flow a skill
_BLOCK = _COLUMNS * (_CELL + _GAP)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a planner proposes for a task: flow float32 [S,L,h,w,2] of S skills, S being SAMPLES."""

    task: str
    flow: NDArray[np.float32]


def draw_samples(
    first: NDArray[np.uint8], true: NDArray[np.float32], samples: Sequence[Samples]
) -> NDArray[np.uint8]:
    """uint8 [H,W,3]: above the first frame and its true flow, below a block of samples a task.

    first: uint8 [H,W,3]. true: flow float32 [L,h,w,2]. samples: for two tasks.

    Each row of a block is a skill, decoded to flow. One scale of colour for all, the fastest true
    or sampled flow's.
    """
    scale = max(flow_scale(flow) for flow in (true, *(block.flow for block in samples)))
    height = 2 * _EDGE + 2 * _LINE + (1 + SAMPLES) * (_CELL + _GAP)
    canvas = np.full((height, 3 * _EDGE + 2 * _BLOCK, 3), 255, np.uint8)
    top = _EDGE + _LINE
    _paste(canvas, _EDGE, top, first)
    _row(canvas, _EDGE + _CELL + _GAP, top, true, scale)
    below = top + _CELL + _GAP + _LINE
    lines = [(_EDGE, _EDGE, "A held-out first frame and its true flow")]
    for block, drawn in enumerate(samples):
        left = _EDGE + block * (_BLOCK + _EDGE)
        lines.append((left, below - _LINE, f"Prior: {drawn.task}"))
        for number, flow in enumerate(drawn.flow):
            _row(canvas, left, below + number * (_CELL + _GAP), flow, scale)
    return _write(canvas, lines)


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
