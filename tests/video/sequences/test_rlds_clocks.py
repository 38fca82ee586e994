"""Which numbers of the steps of an episode are taken for times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sofdata.video.sequences.rlds import clocks
from sofdata.video.sequences.rlds.steps import Numbers, Part

AT = np.arange(20)
NS = 1_700_000_000_000_000_000


def floats(values: Any) -> Numbers:
    return np.array(values, np.float32)


def usual(stated: Numbers, unit_s: float = 1.0) -> float | None:
    return clocks.usual_s(stated, unit_s, [Part(0, len(stated), True)])


@pytest.mark.parametrize(
    ("stated", "unit_s"),
    [
        (floats(AT / 10), 1.0),
        (floats(5000 + AT / 10), 1.0),
        (NS + AT * 100_000_000, 1e-9),
        (NS // 1000 + AT * 100_000, 1e-6),
        (floats(AT * 100.0), 1e-3),
        (floats([*AT[:19] / 10, 500.0]), 1.0),  # a pause
        (np.array([*(NS + AT * 100_000_000), 0, NS + 10**10]), 1e-9),  # one was not set
    ],
)
def test_the_usual_step_of_a_clock(stated: Numbers, unit_s: float) -> None:
    assert usual(stated, unit_s) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize(
    "stated",
    [
        np.zeros(20, np.float32),  # never filled
        floats(AT * 100.0),  # ms, most likely
        floats(AT / 1e5),  # a share of the episode
        floats([*AT[:-1] / 10, np.nan]),
        floats([0, *(1e6 + AT / 10)]),  # the first was not set
        floats(1e6 + AT / 20),  # of 32 bits, a sixteenth apart
        floats([100, *(AT / 10)]),  # all go back behind the first
        floats([1.0]),
    ],
)
def test_what_is_no_clock(stated: Numbers) -> None:
    assert usual(stated) is None


def test_parts_have_clocks_of_their_own() -> None:
    stated = floats([*AT / 10, *AT / 10])
    parts = [Part(0, 20, True), Part(20, 40, True)]
    assert clocks.usual_s(stated, 1.0, parts) == pytest.approx(0.1)
    assert clocks.usual_s(stated, 1.0, [Part(0, 40, True)]) is None  # half of them go back


@pytest.mark.parametrize(
    ("name", "stated", "unit_s"),
    [
        ("steps/timestamp_ms", AT, 1e-3),
        ("steps/timestamp", floats(AT), 1.0),
        ("steps/timestamp", NS + AT, 1e-9),
        ("steps/timestamp", NS // 10**9 + AT, 1.0),
        ("steps/timestamp", AT, None),
    ],
)
def test_the_unit_by_the_name_or_the_size(name: str, stated: Numbers, unit_s: float | None) -> None:
    assert clocks.unit_of(name, stated) == unit_s


def test_times_that_are_after_all_before() -> None:
    found = clocks.in_order(np.array([0.0, 1, 1, 0.5, 2]))
    assert found.tolist() == [True, True, False, False, True]
