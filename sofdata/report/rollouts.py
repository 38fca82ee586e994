"""Rollouts for the benchmark's page: of each task one drawn episode of each arm compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.results.table import Results
from sofdata.bench.study.arms import ARMS
from sofdata.pictures.colour import without_white
from sofdata.report.page import picture

PLANNED = ("seen", "planned", "happened")  # the rows of a strip of `sofdata.bench.study.strips`
COMPARED = ("sof", "sof+mpc", "sof+clone", "atm", "bc")  # as far as there are any


@dataclass(frozen=True, slots=True)
class Strip:
    """One drawn episode. rows: what each row of pictures shows, and these as a data URI."""

    arm: str
    task: str
    seed: int
    success: bool
    steps: int
    rows: tuple[tuple[str, str], ...]


def rollouts(
    results: Results, folders: Sequence[Path]
) -> tuple[tuple[str, tuple[Strip, ...]], ...]:
    """For each task, one drawn episode of each arm that is compared: the first that was drawn, of
    the first training seed, at the fewest demonstrations; whether it succeeded or not."""
    by_task: dict[str, list[Strip]] = {task: [] for task in results[0]["success_by_task"]}
    for arm in COMPARED:
        cells = [result for result in results if result["cell"]["arm"] == arm]
        cells.sort(key=lambda r: (r["cell"]["demos"], r["cell"]["seed"], -r["cell"]["videos"]))
        if cells:
            for strip in _drawn(cells[0], folders):
                by_task[strip.task].append(strip)
    return tuple((task, tuple(strips)) for task, strips in by_task.items() if strips)


def _drawn(result: dict[str, Any], folders: Sequence[Path]) -> list[Strip]:
    from PIL import Image

    episodes = {f"{each['task']}-{each['seed']}.png": each for each in result["episodes"]}
    found: dict[str, Strip] = {}
    hashes = result.get("strip_hashes", {})  # a transfer is of several cells
    for name in sorted(result["strips"]):
        each = episodes[name]
        drawn_by = hashes.get(name, result["hash"])
        paths = [folder / "strips" / drawn_by / name for folder in folders]
        path = next((path for path in paths if path.exists()), None)
        if path is None or each["task"] in found:
            continue
        with Image.open(path) as image:
            drawn = np.asarray(image.convert("RGB"))
        arm = result["cell"]["arm"]
        found[each["task"]] = Strip(
            arm,
            each["task"],
            each["seed"],
            each["success"],
            each["steps"],
            _rows(drawn, planned=ARMS[arm].prior),
        )
    return list(found.values())


def _rows(drawn: NDArray[np.uint8], planned: bool) -> tuple[tuple[str, str], ...]:
    """A strip apart: its frames, and where it has them the rows of flow, which lie on nothing, so
    that what is still takes the colour of the page."""
    if not planned or len(drawn) % len(PLANNED):
        return (("seen", picture(drawn)),)
    seen, *flows = np.split(drawn, len(PLANNED))
    pictures = [picture(seen), *(picture(without_white(flow), lossless=True) for flow in flows)]
    return tuple(zip(PLANNED, pictures, strict=True))
