"""What no film can have for times, whatever the format."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.video.sequences import paces

AT = np.arange(20.0)
DATE_S = 1.7e9


@pytest.mark.parametrize(
    "times_s",
    [
        AT / 10,
        DATE_S + AT / 10,
        np.array([0.0]),
        np.zeros(0),
        np.array([0, 0.1, np.nan, 0.3]),
        np.repeat(AT / 10, 3),  # a clock slower than the pictures
        np.array([*(DATE_S + AT / 10), 0, DATE_S + 3]),  # one was not set, after others
        np.array([0, 0.1, 86_400.0]),
    ],
)
def test_what_a_film_can_have_is_not_in_doubt(times_s: np.ndarray) -> None:
    assert paces.doubt([times_s]) == ""


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        (np.zeros(20), "do not increase"),
        (-AT, "lie behind earlier ones, 19 of 20"),
        (np.array([0, *(DATE_S + AT)]), "go on by 19675.9 days"),
        (np.array([0, 0.1, 86_401.0]), "go on by 1.0 days"),
        (np.array([100, *(AT / 10)]), "lie behind earlier ones, 20 of 21"),
    ],
)
def test_what_no_film_can_have_is_said(times_s: np.ndarray, said: str) -> None:
    assert said in paces.doubt([times_s])


def test_floats_must_be_finer_than_their_steps() -> None:
    assert paces.finest_s(np.array([1e6, np.nan], np.float32), 1.0) == 0.0625
    assert paces.finest_s(np.array([1e6], np.float32), 1e-3) == pytest.approx(6.25e-5)
    assert paces.finest_s(np.array([10**18]), 1e-9) == 0
    assert paces.finest_s(np.array([np.nan]), 1.0) == 0
    assert paces.doubt([AT / 10], 0.009) == ""
    assert "differ by 0.011 s or more, where they are 0.1 s apart" in paces.doubt([AT / 10], 0.011)


def test_recordings_have_clocks_of_their_own() -> None:
    days = [AT / 10, 1e7 + AT / 10, AT / 10]
    assert paces.doubt(days) == ""
    assert paces.usual_s(days) == pytest.approx(0.1)
    assert "days" in paces.doubt([np.concatenate(days)])
    assert paces.usual_s([]) == 0
