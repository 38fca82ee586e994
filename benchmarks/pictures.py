"""The pictures of README: a skill window, and a rollout of a policy that acts by skills.

    make demo
    python benchmarks/pictures.py demo

Both come from what the demo made in Meta-World, nothing of them is a real recording: the window
with the most motion of all its videos, and the first test episode of pressing the handle by the arm
`sof`, whether it succeeded or not (the last line says). Takes a few seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sofdata.pictures.colour import flow_to_rgb, wheel_picture
from sofdata.pictures.sheet import flow_scale
from sofdata.report.inspect import read_row
from sofdata.storage.tree import Tree

TASK, ARM = "handle-press", "sof"
STRIP_SIDE, STRIP_GAP = 96, 2  # of the tiles of a rollout strip, px
SIDE, GAP, EDGE = 100, 4, 14  # of a tile, between tiles, around all of them, px
INK, GREY, RULE = (28, 30, 34), (100, 104, 112), (205, 208, 213)

Tile = NDArray[np.uint8]


class Card:
    """A white card, so that it reads the same on light and dark pages, with tiles and texts."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), "white")
        self._pen = ImageDraw.Draw(self._image)

    def tile(self, at: tuple[int, int], picture: Tile, side: int = SIDE, rule: bool = True) -> None:
        """A picture of `side` px, with a rule around it: still flow is as white as the card."""
        image = Image.fromarray(np.ascontiguousarray(picture))
        self._image.paste(image.resize((side, side), Image.Resampling.LANCZOS), at)
        if rule:
            x, y = at
            self._pen.rectangle((x, y, x + side - 1, y + side - 1), outline=RULE)

    def text(
        self,
        at: tuple[int, int],
        text: str,
        ink: tuple[int, int, int] = INK,
        anchor: str = "ls",
        size: int = 14,
    ) -> None:
        """A line; at: its base line, at its left (anchor "ls") or its middle ("ms")."""
        self._pen.text(at, text, fill=ink, font=ImageFont.load_default(size), anchor=anchor)

    def save(self, path: Path) -> None:
        """Write a PNG. Without a palette: 256 colours are too few for hues and frames together."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._image.save(path, optimize=True)
        print(f"{path}: {self._image.width} x {self._image.height}, {path.stat().st_size} bytes")


def fastest_window(dataset: Path) -> dict[str, Any]:
    """The row of the index with the most motion, among windows of full length."""
    rows = pq.read_table(dataset / "index.parquet").to_pylist()
    longest = max(row["steps"] for row in rows)
    return max((row for row in rows if row["steps"] == longest), key=lambda row: row["mean_px"])


def draw_window(dataset: Path, path: Path) -> None:
    """First frame, the flow of every step, last frame."""
    entry = fastest_window(dataset)
    row = read_row(Tree(str(dataset)), entry)
    scale = flow_scale(row.flow)
    tiles = [row.first, *(flow_to_rgb(flow, scale) for flow in row.flow), row.last]
    frames = (0, len(tiles) - 1)
    top = EDGE + 20
    foot = top + SIDE + 12
    card = Card(2 * EDGE + len(tiles) * (SIDE + GAP) - GAP, foot + 34 + EDGE)
    step_s = (entry["end_s"] - entry["start_s"]) / len(row.flow)
    for column, tile in enumerate(tiles):
        x = EDGE + column * (SIDE + GAP)
        card.tile((x, top), tile)
        name = {frames[0]: "first frame", frames[1]: "last frame"}.get(column, f"flow {column}")
        card.text((x + SIDE // 2, top - 7), name, anchor="ms")
    card.tile((EDGE, foot), wheel_picture(136), side=34, rule=False)
    text = (
        f"hue: direction; white: still; full colour: {scale:.1f} px a step of {step_s:.2f} s. "
        f"Label: {entry['text']}"
    )
    card.text((EDGE + 44, foot + 22), text, GREY)
    card.save(path)


def rollout_cell(bench: Path) -> dict[str, Any]:
    """The demo's cell of the arm."""
    cells = [json.loads(path.read_text()) for path in sorted((bench / "cells").glob("*.json"))]
    return next(cell for cell in cells if cell["cell"]["arm"] == ARM)


def tiles_of(strip: Tile) -> list[list[Tile]]:
    """The tiles of a strip, by row."""
    pitch = STRIP_SIDE + STRIP_GAP
    rows, columns = strip.shape[0] // pitch, strip.shape[1] // pitch
    return [
        [
            strip[y * pitch : y * pitch + STRIP_SIDE, x * pitch : x * pitch + STRIP_SIDE]
            for x in range(columns)
        ]
        for y in range(rows)
    ]


def draw_rollout(bench: Path, path: Path) -> None:
    """The frames before each chunk of actions, the flow that was planned, and what followed."""
    cell = rollout_cell(bench)
    name = next(name for name in sorted(cell["strips"]) if name.startswith(TASK))
    with Image.open(bench / "strips" / cell["hash"] / name) as image:
        rows = tiles_of(np.asarray(image.convert("RGB")))
    episodes = {f"{each['task']}-{each['seed']}.png": each for each in cell["episodes"]}
    _rows_on_card(rows, episodes[name], cell["config"]["evaluation"]["execute"]).save(path)


def _rows_on_card(rows: Sequence[list[Tile]], episode: dict[str, Any], execute: int) -> Card:
    names = (("seen", ""), ("planned", "the skill's flow"), ("followed", "measured flow"))
    left, top, last = EDGE + 112, EDGE + 20, len(rows[0]) - 1
    foot = top + len(rows) * (SIDE + GAP)
    card = Card(left + (last + 1) * (SIDE + GAP) - GAP + EDGE, foot + 18 + EDGE)
    for column in range(last + 1):
        step = min(column * execute, episode["steps"])
        card.text((left + column * (SIDE + GAP) + SIDE // 2, top - 7), f"step {step}", anchor="ms")
    for number, (tiles, (name, what)) in enumerate(zip(rows, names, strict=True)):
        y = top + number * (SIDE + GAP)
        card.text((EDGE, y + SIDE // 2), name, size=15)
        card.text((EDGE, y + SIDE // 2 + 18), what, GREY, size=13)
        for column, tile in enumerate(tiles):
            if number == 0 or column < last:  # nothing is planned at the end
                card.tile((left + column * (SIDE + GAP), y), tile)
    success = "success" if episode["success"] else "no success"
    text = (
        f"{episode['task']}: {success} after {episode['steps']} steps. Flow is summed over the "
        f"{execute} steps between frames, and coloured as in a window."
    )
    card.text((EDGE, foot + 18), text, GREY)
    return card


def main() -> None:
    """Draw both pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("demo", type=Path, help="the folder of 'make demo'")
    words.add_argument("--into", type=Path, default=Path("docs/pictures"), help="folder of both")
    asked = words.parse_args()
    draw_window(asked.demo / "videos-dataset", asked.into / "window.png")
    draw_rollout(asked.demo / "bench", asked.into / "rollout.png")


if __name__ == "__main__":
    main()
