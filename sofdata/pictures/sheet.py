"""The contact sheet: a PNG with a row for each window, its first frame, its flow, its last frame.

Flow is coloured on the scale of its own window, whose top is written beside it, so that slow
windows can be read as well as fast ones. Needs Pillow alone, and its built-in font.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.pictures.colour import flow_to_rgb, wheel_picture
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw as Pen

CELL_HEIGHT = 132
FLOW_CELLS = 4
SLOWEST_PX = 0.05  # the least scale: below it, the flow of a still window is noise, not motion
_CELL_WIDTHS = (60, 240)  # px; wider and narrower pictures are fitted between these
_EDGE, _GAP, _HEAD, _LINES = 24, 6, 96, 46
_LABEL, _LABEL_INK = (48, 50, 56), (255, 255, 255)
_INK, _GREY, _RULE = (28, 30, 34), (110, 114, 122), (222, 224, 228)


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """One window on the sheet.

    name: of its video, and its number. caption: whatever else to say, cut to one line.
    first, last: uint8 [H,W,3]; its first and last frame.
    flow: float [L,h,w,2]; (dx, dy) in px a step.
    """

    name: str
    caption: str
    first: NDArray[np.uint8]
    last: NDArray[np.uint8]
    flow: NDArray[np.floating]


def contact_sheet(rows: Sequence[SheetRow], path: str | Path, title: str = "") -> None:
    """Draw the rows below each other and write them to `path` as a PNG.

    A sheet of 100 windows is some 18,000 px high; more are better spread over several sheets.
    """
    from PIL import Image, ImageDraw

    widths = [_cell_width(row) for row in rows]
    width = 2 * _EDGE + max([700, *(_row_width(cell) for cell in widths)])
    pitch = _LINES + CELL_HEIGHT + 22
    height = _HEAD + max(1, len(rows)) * pitch + _EDGE
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    _header(sheet, pen, title, len(rows))
    for number, (row, cell) in enumerate(zip(rows, widths, strict=True)):
        _row(sheet, pen, row, cell, _HEAD + number * pitch)
    sheet.save(path, format="PNG")


def _cell_width(row: SheetRow) -> int:
    """Width of a row's pictures, which keeps the first frame's shape."""
    height, width = row.first.shape[:2]
    low, high = _CELL_WIDTHS
    return int(min(high, max(low, round(CELL_HEIGHT * width / max(1, height)))))


def _row_width(cell: int) -> int:
    return (FLOW_CELLS + 2) * (cell + _GAP) + 100


def _header(sheet: Picture, pen: Pen, title: str, rows: int) -> None:
    from PIL import Image

    room = sheet.width - 2 * _EDGE - 300
    fitted_text(pen, (_EDGE, 20), title or "Windows", size=22, ink=_INK, room=room)
    count = f"{rows} window{'' if rows == 1 else 's'}: first frame, flow of a few steps, last frame"
    fitted_text(pen, (_EDGE, 52), count, size=13, ink=_GREY, room=room)
    size = 64
    left = sheet.width - _EDGE - size
    big = Image.fromarray(wheel_picture(4 * size))
    sheet.paste(big.resize((size, size), Image.Resampling.LANCZOS), (left, 16))
    for line, text in enumerate(
        (
            "hue: direction of motion",
            "white: still; full colour: as fast",
            "as the row's scale, or faster",
        )
    ):
        fitted_text(pen, (left - 216, 22 + 17 * line), text, size=13, ink=_GREY, room=220)


def _row(sheet: Picture, pen: Pen, row: SheetRow, cell: int, top: int) -> None:
    from PIL import Image

    pen.line((_EDGE, top, sheet.width - _EDGE, top), fill=_RULE)
    room = sheet.width - 2 * _EDGE
    fitted_text(pen, (_EDGE, top + 6), row.name, size=15, ink=_INK, room=room)
    fitted_text(pen, (_EDGE, top + 25), row.caption, size=13, ink=_GREY, room=room)
    steps, scale = flow_steps(row.flow), flow_scale(row.flow)
    flows = [flow_to_rgb(row.flow[step], scale) for step in steps]
    y = top + _LINES
    labels = ["first frame", *(f"step {step + 1}" for step in steps), "last frame"]
    pictures = zip((row.first, *flows, row.last), labels, strict=True)
    for column, (picture, label) in enumerate(pictures):
        image = Image.fromarray(np.ascontiguousarray(picture))
        x = _EDGE + column * (cell + _GAP)
        sheet.paste(image.resize((cell, CELL_HEIGHT), Image.Resampling.BILINEAR), (x, y))
        pen.rectangle((x, y, x + cell - 1, y + CELL_HEIGHT - 1), outline=_RULE)
        _label(pen, (x, y + CELL_HEIGHT), label, cell)
    x = _EDGE + (len(flows) + 2) * (cell + _GAP) + 4
    for line, text in enumerate((f"{scale:.3g}", "px/step", "full colour")):
        fitted_text(
            pen,
            (x, y + 4 + 17 * line),
            text,
            size=15 if line == 0 else 12,
            ink=_INK if line == 0 else _GREY,
            room=86,
        )
    text = f"{len(row.flow)} steps"
    fitted_text(pen, (x, y + CELL_HEIGHT - 18), text, size=12, ink=_GREY, room=96)


def _label(pen: Pen, foot: tuple[int, int], text: str, room: int) -> None:
    """What a picture shows, on a dark field at its foot, whose left end is given."""
    left, bottom = foot
    wide = min(room, pen.textlength(text, _font(11)) + 8)
    pen.rectangle((left + 1, bottom - 16, left + wide, bottom - 2), fill=_LABEL)
    fitted_text(pen, (left + 4, bottom - 16), text, size=11, ink=_LABEL_INK, room=room - 8)


def flow_steps(flow: NDArray[np.floating]) -> list[int]:
    """The steps of a window that the sheet shows, spread evenly from the first to the last."""
    spread = np.linspace(0, len(flow) - 1, min(FLOW_CELLS, len(flow)))
    return [round(step) for step in spread.tolist()]


def flow_scale(flow: NDArray[np.floating]) -> float:
    """The window's 99th percentile of speed in px a step, but at least `SLOWEST_PX`."""
    speed = np.hypot(flow[..., 0], flow[..., 1])
    speed = speed[np.isfinite(speed)]
    return max(SLOWEST_PX, float(np.percentile(speed, 99))) if speed.size else SLOWEST_PX


# Text


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def fitted_text(
    pen: Pen, at: tuple[int, int], text: str, *, size: int, ink: tuple[int, int, int], room: int
) -> None:
    """Write one line in at most `room` px, with an ellipsis where it is cut."""
    font = _font(size)
    line = printable(text[:1000])
    if pen.textlength(line, font) > room:
        fits = [pen.textlength(line[:n] + "...", font) <= room for n in range(len(line))]
        line = line[: max(0, sum(fits) - 1)].rstrip() + "..."
    pen.text(at, line, fill=ink, font=font)
