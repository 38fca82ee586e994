"""Where the codes of a skill model stand on a map: by how what moves in their windows moves.

The map is drawn from some windows of each code, which have to be read from the shards; skills
without a codebook are laid out by their two largest principal components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.pictures.sheet import SLOWEST_PX
from sofdata.view.pictures import main_motion
from sofdata.view.skills import Skills

MOST_READ = 800  # windows, for a map
MOST_DOTS = 1200
EXAMPLES = 6  # windows that a code's picture is the mean of

Flow = Callable[[int], NDArray[np.float32]]  # of a row of the index: [L,h,w,2]


@dataclass(frozen=True, slots=True)
class Dot:
    """A code, or a window, on the map: from -1 to 1 across and down.

    motion_px: (dx, dy) in px a step. uses: windows of the code, 1 for a window.
    """

    number: int
    across: float
    down: float
    uses: int
    motion_px: tuple[float, float]


def code_map(skills: Skills, flow: Flow) -> list[Dot]:
    """The codes that are used most, largest first, so that small dots are drawn over large ones.

    Distance from the middle grows with the square root of the speed; the direction is that of the
    motion. Reads up to `MOST_READ` windows.
    """
    order = np.argsort(-skills.uses, kind="stable")
    shown = [int(code) for code in order[:MOST_DOTS] if skills.uses[code]]
    motions = _motions(_some_rows(skills, shown), flow)
    by_code: dict[int, list[NDArray[np.float64]]] = {code: [] for code in shown}
    for row, motion in motions.items():
        for code in {*skills.values[row].tolist()} & by_code.keys():
            by_code[code].append(motion)
    found = {code: np.mean(those, 0) for code, those in by_code.items() if those}
    fastest = max([SLOWEST_PX, *(float(np.hypot(*each)) for each in found.values())])
    return [_dot(code, motion, int(skills.uses[code]), fastest) for code, motion in found.items()]


def window_map(skills: Skills, flow: Flow) -> list[Dot]:
    """Some windows, spread evenly over the dataset, by the principal components of their skills."""
    rows = spread(np.arange(len(skills.values)), MOST_READ // 2)
    values = skills.values[rows].astype(np.float64)
    values -= values.mean(0)
    _, _, axes = np.linalg.svd(values, full_matrices=False)
    places = values @ axes[:2].T
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    places /= np.maximum(np.abs(places).max(0), 1e-9)
    motions = _motions(rows.tolist(), flow)
    return [
        Dot(row, float(across), float(down), 1, _pair(motions[row]))
        for row, (across, down) in zip(rows.tolist(), places, strict=True)
        if row in motions
    ]


def _dot(code: int, motion: NDArray[np.float64], uses: int, fastest: float) -> Dot:
    speed = float(np.hypot(*motion))
    far = float(np.sqrt(speed / fastest))
    across, down = (motion / speed * far) if speed else (0.0, 0.0)
    return Dot(code, float(across), float(down), uses, _pair(motion))


def _pair(motion: NDArray[np.float64]) -> tuple[float, float]:
    return float(motion[0]), float(motion[1])


def _some_rows(skills: Skills, shown: Sequence[int]) -> list[int]:
    """Windows spread over the dataset, and one of each code that none of them has."""
    rows: list[int] = spread(np.arange(len(skills.values)), MOST_READ // 2).tolist()
    there = {*skills.values[rows].ravel().tolist()}
    codes, places = np.unique(skills.values, return_index=True)
    first = dict(zip(codes.tolist(), (places // skills.values.shape[1]).tolist(), strict=True))
    for code in shown:
        if code not in there and len(rows) < MOST_READ:
            rows.append(first[code])
            there.update(skills.values[rows[-1]].tolist())
    return rows


def _motions(rows: Sequence[int], flow: Flow) -> dict[int, NDArray[np.float64]]:
    found = {}
    for row in rows:
        try:
            found[row] = main_motion(flow(row))
        except InputError:  # a damaged sample costs itself; its own page says what is wrong
            continue
    return found


def spread(rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """At most so many rows, spread evenly over those that there are."""
    if len(rows) <= number:
        return rows
    places = np.linspace(0, len(rows) - 1, number).round().astype(np.int64)
    return np.asarray(rows[np.unique(places)], np.int64)
