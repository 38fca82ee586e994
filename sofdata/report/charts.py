"""Charts as plain geometry, for templates to draw as SVG: intervals by row, lines, and points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 112, 12, 36  # margins; names of series stand at the right
_LABEL_GAP = 12.0


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """A value with its interval. at: where it stands on the horizontal axis."""

    at: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PlottedValue:
    """A drawn value: x and y of it, and y of its interval's ends; what a pointer shows."""

    x: float
    y: float
    y_low: float
    y_high: float
    title: str


@dataclass(frozen=True, slots=True)
class Series:
    """A named line or set of points. tone: which colour. label_y: where its name stands."""

    name: str
    tone: int
    marks: tuple[PlottedValue, ...]
    path: str
    label_y: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what stands there."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that a template needs; sizes are those of the SVG's view box."""

    title: str
    across: str
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM
    left: float = LEFT


def lines(
    title: str,
    across: str,
    data: Mapping[str, Sequence[MeasuredPoint]],
    tones: Mapping[str, int],
) -> Chart:
    """Success (0 to 1) over a few numbers, equally spaced, since 1, 3, 10 are steps of one kind."""
    places = sorted({point.at for points in data.values() for point in points})
    step = (WIDTH - LEFT - RIGHT) / max(len(places), 1)
    x = {place: LEFT + (number + 0.5) * step for number, place in enumerate(places)}
    ticks = tuple(Tick(x[place], f"{place:g}") for place in places)
    return _chart(title, across, data, tones, x=x, ticks=ticks, joined=True)


def points(
    title: str,
    across: str,
    data: Mapping[str, Sequence[MeasuredPoint]],
    tones: Mapping[str, int],
) -> Chart:
    """Success (0 to 1) over a positive quantity, on a logarithmic axis."""
    found = [max(point.at, 1e-3) for each in data.values() for point in each]
    low, high = math.log10(min(found)), math.log10(max(found))
    low, high = low - 0.08, max(high + 0.08, low + 0.3)

    def place(value: float) -> float:
        share = (math.log10(max(value, 1e-3)) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    nice = [m * 10.0**e for e in range(math.floor(low) - 1, math.ceil(high) + 1) for m in (1, 2, 5)]
    ticks = tuple(Tick(place(v), f"{v:g}") for v in nice if low <= math.log10(v) <= high)
    x = {point.at: place(point.at) for each in data.values() for point in each}
    return _chart(title, across, data, tones, x=x, ticks=ticks, joined=False)


def _chart(
    title: str,
    across: str,
    data: Mapping[str, Sequence[MeasuredPoint]],
    tones: Mapping[str, int],
    *,
    x: Mapping[float, float],
    ticks: tuple[Tick, ...],
    joined: bool,
) -> Chart:
    shift = _shifts(data) if joined else dict.fromkeys(data, 0.0)
    series = []
    for name, values in data.items():
        ordered = sorted(values, key=lambda point: point.at)
        marks = tuple(
            PlottedValue(
                x[point.at] + shift[name],
                _y(point.value),
                _y(point.low),
                _y(point.high),
                f"{name}, {point.at:.3g}: {point.value:.2f} [{point.low:.2f}, {point.high:.2f}]",
            )
            for point in ordered
        )
        path = " ".join(f"{'L' if n else 'M'}{m.x:.1f},{m.y:.1f}" for n, m in enumerate(marks))
        series.append(Series(name, tones[name], marks, path if joined else "", marks[-1].y))
    y_ticks = tuple(Tick(_y(share), f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    return Chart(title, across, _apart(series), ticks, y_ticks)


def _shifts(data: Mapping[str, Sequence[MeasuredPoint]]) -> dict[str, float]:
    """A little to the side for each series, so that intervals do not hide each other."""
    return {name: (number - (len(data) - 1) / 2) * 5 for number, name in enumerate(data)}


def _apart(series: list[Series]) -> tuple[Series, ...]:
    """Names of series moved so that none is written over another."""
    room = HEIGHT - BOTTOM
    last = -math.inf
    moved = {}
    for each in sorted(series, key=lambda one: one.label_y):
        last = max(each.label_y, last + _LABEL_GAP)
        moved[each.name] = last
    over = max(0.0, last - room)
    return tuple(
        Series(one.name, one.tone, one.marks, one.path, moved[one.name] - over) for one in series
    )


def _y(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)
