"""Charts as geometry."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sofdata.report.charts import MeasuredPoint, lines, points

TONES = {"a": 0, "b": 1, "c": 2}


def at(value: float, place: float) -> MeasuredPoint:
    return MeasuredPoint(place, value, value - 0.1, value + 0.1)


def test_success_stands_where_its_axis_says() -> None:
    chart = lines("t", "x", {"a": [at(0.25, 1), at(0.75, 10)]}, TONES)
    y = {tick.text: tick.place for tick in chart.y_ticks}
    first, last = chart.series[0].marks
    assert first.y == pytest.approx(y["0.25"])
    assert last.y == pytest.approx(y["0.75"])
    assert first.y_low > first.y > first.y_high  # down is less
    assert chart.left < first.x < last.x < chart.right


def test_a_logarithmic_axis_keeps_ratios() -> None:
    chart = points("t", "x", {"a": [at(0.5, 1)], "b": [at(0.5, 10)], "c": [at(0.5, 100)]}, TONES)
    x = [series.marks[0].x for series in chart.series]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1])
    ticks = {tick.text: tick.place for tick in chart.x_ticks}
    assert ticks["10"] == pytest.approx(x[1])


def test_names_of_series_are_never_written_over_each_other() -> None:
    same = {name: [at(0.02, 1)] for name in TONES}
    chart = lines("t", "x", same, TONES)
    places = sorted(series.label_y for series in chart.series)
    assert all(low + 11 < high for low, high in pairwise(places))
    assert places[-1] <= chart.bottom
