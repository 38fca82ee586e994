"""How well an action decoder does on held-out demonstrations, and how well it would trivially."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.common.swaps import other_windows
from sofdata.types import Batch, Skill

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOWS, _DIMENSIONS = 4, 8  # at most, on a picture


class ActionEvaluation:
    """Sums of errors over held-out batches; every action of every window counts the same.

    action_error: mean absolute error over regressed dimensions, in standard deviations of the
        training demonstrations; action_error_0 and so on: of one dimension, in its own units.
    action_error_mean_action: of always answering the training demonstrations' mean.
    action_error_wrong_skill: of this decoder given the skill of another window, of another
        video where the batch has one. No better than this means that it ignores the skill.
    gripper_accuracy, ..._wrong_skill: share of actions with the right one of the gripper's two
        values; ..._majority: of always answering the one more frequent in the training
        demonstrations.
    """

    def __init__(self, decoder: ActionDecoder) -> None:
        self._decoder = decoder
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._errors = torch.zeros(decoder.space.size, dtype=torch.float64)
        self._curves: list[dict[str, NDArray[np.float32]]] = []

    def add(self, batch: Batch) -> None:
        """Count a batch. Raises `ConfigError` as `ActionDecoder.loss` does."""
        demonstrations = self._decoder.space.check(batch)
        answers = {"": self._decoder.finish(self._decoder.named(batch)).values}
        if self._decoder.config.condition != "none" and len(batch.keys) > 1:
            answers["_wrong_skill"] = self._wrong(batch)
        number = min(self._decoder.space.chunk, demonstrations.actions.shape[1])
        mask = demonstrations.action_mask[:, :number]
        true = demonstrations.actions[:, :number]
        answers = {name: values[:, :number] for name, values in answers.items()}
        self._keep_curves(batch.keys, {"true": true} | answers, mask)
        answers["_mean_action"] = self._decoder.denormalise(torch.zeros_like(true))
        for name, values in answers.items():
            self._count(name, values[mask], true[mask])

    def _wrong(self, batch: Batch) -> Tensor:
        """Actions [B,N,A] of the skills, or of the motion, of other windows."""
        decoder = self._decoder
        wrong = torch.tensor(other_windows(batch.keys), device=batch.flow.device)
        if decoder.config.condition == "motion":
            return decoder.finish(decoder.named(replace(batch, flow=batch.flow[wrong]))).values
        skill = decoder.skill_of(batch)
        swapped = Skill(skill.codes[wrong], skill.tokens[wrong])
        given = decoder.texts_of(batch), decoder.state_of(batch), decoder.second_of(batch)
        return decoder.act(decoder.images(batch), swapped, *given).values

    def _count(self, name: str, values: Tensor, true: Tensor) -> None:
        """Add the errors of M answers and truths, [M,A] each."""
        decoder = self._decoder
        regressed = decoder.get_buffer("_regressed")
        errors = (decoder.normalise(values) - decoder.normalise(true)).abs().double()
        self._sums[f"error{name}"] += float(errors[:, regressed].sum())
        self._sums[f"count{name}"] += len(true)
        if name == "":
            self._errors += (values - true).abs().double().sum(dim=0).cpu()
        if decoder.switch is not None:
            # The mean is nearer to the more frequent value, which the mean action thus answers.
            middle = decoder.get_buffer("_pair").mean()
            right = (values[:, decoder.switch] > middle) == (true[:, decoder.switch] > middle)
            self._sums[f"right{name}"] += int(right.sum())

    def _keep_curves(self, keys: tuple[str, ...], curves: dict[str, Tensor], mask: Tensor) -> None:
        """Remember a few windows of the first batch, spread over it."""
        if self._curves:
            return
        for row in np.unique(np.linspace(0, len(keys) - 1, _WINDOWS).round().astype(int)).tolist():
            real = mask[row]
            self._curves.append({n: v[row][real].cpu().numpy() for n, v in curves.items()})

    def result(self) -> dict[str, float]:
        """The metrics, by the names above; empty before any action was counted."""
        if not self._sums["count"]:
            return {}
        decoder = self._decoder
        regressed = decoder.get_buffer("_regressed").nonzero().flatten().tolist()
        metrics: dict[str, float] = {}
        for name in ("", "_mean_action", "_wrong_skill"):
            count = self._sums[f"count{name}"]
            if count and regressed:
                metrics[f"action_error{name}"] = self._sums[f"error{name}"] / count / len(regressed)
            if count and decoder.switch is not None:
                label = "_majority" if name == "_mean_action" else name
                metrics[f"gripper_accuracy{label}"] = self._sums[f"right{name}"] / count
        for dimension in regressed:
            error = float(self._errors[dimension]) / self._sums["count"]
            metrics[f"action_error_{dimension}"] = error
        return metrics

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """True and decoded actions of a few windows: RGB, a row a dimension, a column a window."""
        return {"actions": _draw(self._curves)} if self._curves else {}


def _draw(windows: list[dict[str, NDArray[np.float32]]]) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = min(_DIMENSIONS, windows[0]["true"].shape[1])
    figure = Figure(figsize=(3 * len(windows), 1.6 * rows + 0.6), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(rows, len(windows), squeeze=False, sharex=True, sharey="row")
    for column, curves in enumerate(windows):
        for dimension in range(rows):
            _curve(grid[dimension, column], curves, dimension)
        grid[-1, column].set_xlabel("action", fontsize=8)
    for dimension in range(rows):
        grid[dimension, 0].set_ylabel(f"dimension {dimension}", fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return np.asarray(rgba)[..., :3].copy()


def _curve(axes: Axes, curves: dict[str, NDArray[np.float32]], dimension: int) -> None:
    styles = {
        "true": ("true", "black", "-"),
        "": ("decoded", "tab:blue", "-"),
        "_wrong_skill": ("with another window's skill", "tab:orange", ":"),
    }
    for name, (label, colour, line) in styles.items():
        if name in curves:
            values = curves[name][:, dimension]
            axes.plot(values, color=colour, linestyle=line, marker=".", label=label)
    axes.tick_params(labelsize=7)
