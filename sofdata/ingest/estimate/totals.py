"""From what the sample took to what all videos will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sofdata.ingest.estimate.figures import (
    Estimated,
    Figure,
    Known,
    Phase,
    estimate,
    known,
)
from sofdata.ingest.estimate.guess import STEP_MS, Guess
from sofdata.ingest.estimate.sampling import Choice, Numbers, choose
from sofdata.ingest.estimate.spans import CPU, GOES_WITH, Taken, cpu_s

KNOWN = tuple(field.name for field in fields(Guess))


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """The first phase: the videos whose headers were read.

    chosen: which of all. known: of each field of `Guess`, [m] values and the total of all videos.
    cost: [m]; what each is taken to cost, for the choice of the second phase.
    """

    chosen: Choice
    known: dict[str, Known]
    cost: Numbers

    @property
    def weights(self) -> Numbers:
        """For how many videos each stands."""
        return 1 / self.chosen.chances

    def total(self, name: str) -> Figure:
        """The total of all videos, from headers alone."""
        found, phase = self.known[name], Phase(self.weights, self.chosen.chances)
        nothing = np.zeros(len(self.chosen))
        return Estimated(found.total, nothing, found.variance, 0.0).figure(phase)

    def choose(self, count: int, rng: np.random.Generator) -> Choice:
        """The second phase, of these; those that stand for more work are more likely."""
        return choose(self.weights * self.cost, count, rng)


def looked(chosen: Choice, guesses: Sequence[Guess | None], sizes: Numbers) -> Looked:
    """What headers say of all videos. guesses: [m]; None where nothing is known. sizes: [N].

    A video of which nothing is known is taken to be what one of its size is on average.
    """
    phase = Phase(1 / chosen.chances, chosen.chances)
    own, whole = sizes[chosen.places], float(sizes.sum())
    values = {name: _filled(name, guesses, own, phase.weights) for name in KNOWN}
    totals = {name: known(each, own, whole, phase) for name, each in values.items()}
    cost = values["decode"] + STEP_MS * values["steps"]
    return Looked(chosen, totals, cost if cost.sum() > 0 else own)


def _filled(
    name: str, guesses: Sequence[Guess | None], sizes: Numbers, weights: Numbers
) -> Numbers:
    is_known = np.array([each is not None for each in guesses], np.bool_)
    values = np.array([getattr(each, name) if each else 0.0 for each in guesses], np.float64)
    weighed = float((weights * sizes)[is_known].sum())
    rate = float((weights * values)[is_known].sum()) / weighed if weighed > 0 else 0.0
    return np.where(is_known, values, rate * sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """What all videos take and give.

    predicted_s: [m]; worker seconds of the clock of each video whose header was read.
    """

    seconds: Figure
    windows: Figure
    bytes: Figure
    cpu_s: Figure
    cpu_without_flow_s: Figure
    pairs: Figure
    in_flow_s: Figure
    wall_s: Figure
    predicted_s: Numbers


def totals(first: Looked, second: Choice, took: Sequence[Taken]) -> Totals:
    """The totals of all videos. second: which of the first phase were measured, as `took`."""
    phase = Phase(first.weights[second.places] / second.chances, second.chances)
    parts = {name: _part(name, first, second.places, phase, took) for name in GOES_WITH}

    def figure(*names: str) -> Figure:
        total: Estimated = parts[names[0]]
        for name in names[1:]:
            total = total + parts[name]
        least = sum(sum(each.values[name] for name in names) for each in took if each.whole)
        return total.figure(phase, least)

    predicted = _predicted_cpu_s(first, parts)
    clock = _wall(first, predicted, second.places, phase, took)
    return Totals(
        seconds=first.total("seconds"),
        windows=figure("windows"),
        bytes=figure("bytes"),
        cpu_s=figure(*CPU),
        cpu_without_flow_s=figure(*(name for name in CPU if name != "flow_s")),
        pairs=figure("pairs"),
        in_flow_s=figure("in_flow_s"),
        wall_s=clock.figure(phase),
        predicted_s=_predicted_wall_s(predicted, clock, first, second, took),
    )


def _part(
    name: str, first: Looked, places: NDArray[np.int64], phase: Phase, took: Sequence[Taken]
) -> Estimated:
    found = np.array([each.values[name] for each in took])
    within = np.array([each.variances[name] for each in took])
    return estimate(found, first.known[GOES_WITH[name]], places, phase, within)


def _predicted_cpu_s(first: Looked, parts: dict[str, Estimated]) -> Numbers:
    """CPU seconds [m] of each video of the first phase, by the ratios that the sample gave."""
    predicted = np.zeros(len(first.chosen))
    for name in CPU:
        goes_with = first.known[GOES_WITH[name]]
        if goes_with.total > 0:
            predicted += goes_with.values * (parts[name].value / goes_with.total)
    return predicted if predicted.sum() > 0 else np.ones(len(first.chosen))


def _wall(
    first: Looked,
    predicted: Numbers,
    places: NDArray[np.int64],
    phase: Phase,
    took: Sequence[Taken],
) -> Estimated:
    """Seconds of the clock that workers spend on all videos together."""
    cost = first.known["decode"]  # for the variance of the first phase: it goes with the same files
    total = float((first.weights * predicted).sum())
    relative = cost.variance / cost.total**2 if cost.total > 0 else 0.0
    walls = np.array([each.wall_s for each in took])
    within = np.array([_wall_variance(each) for each in took])
    return estimate(walls, Known(predicted, total, relative * total**2), places, phase, within)


def _wall_variance(took: Taken) -> float:
    whole_s = cpu_s(took.values)
    relative = sum(took.variances[name] for name in CPU) / whole_s**2 if whole_s else 0.0
    return relative * took.wall_s**2


def _predicted_wall_s(
    predicted: Numbers, clock: Estimated, first: Looked, second: Choice, took: Sequence[Taken]
) -> Numbers:
    total = float((first.weights * predicted).sum())
    walls = predicted * (clock.value / total)
    walls[second.places] = [each.wall_s for each in took]
    return walls
