"""The log of a training: `metrics.jsonl`, TensorBoard events, and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"


class TrainLog:
    """Writes lines of JSON {"step", "kind", ...}; kind is train, held_out or skipped.

    A run that resumes at step `step` first removes what an earlier one has written about later
    steps, so that no step is recorded twice.
    """

    def __init__(self, folder: Path, step: int, writes: bool) -> None:
        self._folder = folder
        self._board: SummaryWriter | None = None
        if not writes:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        lines = [line for line in read_metrics(folder) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / METRICS).write_text(text)
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=step + 1 if step else None
        )

    def trained(self, step: int, metrics: Mapping[str, float], samples_per_s: float) -> None:
        """Means over the steps since the last line."""
        self._line(step, "train", {**metrics, "samples_per_s": round(samples_per_s, 1)})

    def held_out(
        self, step: int, metrics: Mapping[str, float], pictures: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        """A measurement on held-out windows, and pictures of it."""
        from PIL import Image

        self._line(step, "held_out", metrics)
        for name, picture in pictures.items() if self._board else ():
            path = self._folder / "pictures" / f"{name}-{step:06d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path)
            assert self._board is not None
            self._board.add_image(name, picture, step, dataformats="HWC")

    def skipped(self, step: int, keys: list[str]) -> None:
        """A step whose values were not finite, and the samples that may be why."""
        self._line(step, "skipped", {"keys": keys})

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _line(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        if self._board is None:
            return
        with (self._folder / METRICS).open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{kind}/{name}", value, step)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training's `metrics.jsonl`; an incomplete last one is left out."""
    try:
        lines = (folder / METRICS).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]
