"""The contact sheet shows each window and survives any text and any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sofdata.pictures.sheet import (
    SLOWEST_PX,
    SheetRow,
    contact_sheet,
    flow_scale,
    flow_steps,
)

ORANGE, GREEN = (230, 120, 10), (20, 160, 60)


def row(
    caption: str = "0.00-1.60 s", size: tuple[int, int] = (72, 128), steps: int = 12
) -> SheetRow:
    flow = np.zeros((steps, 36, 64, 2), np.float32)
    flow[..., 0] = 2.0
    first, last = (np.full((*size, 3), colour, np.uint8) for colour in (ORANGE, GREEN))
    return SheetRow("video-0001", caption, first, last, flow)


def draw(path: Path, rows: list[SheetRow], title: str = "") -> NDArray[np.uint8]:
    contact_sheet(rows, path, title)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def share(picture: NDArray[np.uint8], colour: tuple[int, ...]) -> float:
    return float((picture == colour).all(-1).mean())


def test_first_frame_flow_and_last_frame_are_shown_from_left_to_right(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", [row()])
    line = picture[220].tolist()
    places = [line.index(list(colour)) for colour in (ORANGE, (255, 0, 0), GREEN)]
    assert places == sorted(places)
    assert share(picture, (255, 0, 0)) > 2 * share(picture, ORANGE)  # four steps of flow


def test_each_window_adds_a_row(tmp_path: Path) -> None:
    heights = [len(draw(tmp_path / "a.png", [row()] * n)) for n in (1, 2, 5)]
    assert heights[2] - heights[1] == 3 * (heights[1] - heights[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 10_000,
        "日本語 العربية 🙂 \u200f\u0301",
        "tab\tnul\x00line\nbreak",
        "half \ud800 pair",
    ],
    ids=["none", "long", "scripts", "control", "surrogate"],
)
def test_any_text_is_drawn_without_widening_the_sheet(tmp_path: Path, text: str) -> None:
    plain = draw(tmp_path / "a.png", [row()])
    assert draw(tmp_path / "b.png", [row(text)], title=text).shape == plain.shape


@pytest.mark.parametrize("size", [(1, 1), (240, 427), (400, 30), (30, 900)])
def test_frames_of_any_size_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    assert share(draw(tmp_path / "a.png", [row(size=size), row()]), ORANGE) > 0.01


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 40])
def test_windows_of_any_length_fit(tmp_path: Path, steps: int) -> None:
    draw(tmp_path / "a.png", [row(steps=steps)])


def test_a_sheet_without_windows_is_still_a_picture(tmp_path: Path) -> None:
    assert draw(tmp_path / "a.png", []).shape[1] > 500


def test_shown_steps_are_spread_over_the_window() -> None:
    assert flow_steps(np.zeros((13, 1, 1, 2))) == [0, 4, 8, 12]
    assert flow_steps(np.zeros((2, 1, 1, 2))) == [0, 1]


def test_the_scale_is_the_99th_percentile_of_speed_and_never_zero() -> None:
    flow = np.zeros((1, 1, 101, 2))
    flow[0, 0, :, 1] = np.arange(101)
    assert flow_scale(flow) == 99
    assert flow_scale(np.full((1, 2, 2, 2), np.nan)) == SLOWEST_PX


def test_a_sheet_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        contact_sheet([row()], tmp_path / name, "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
