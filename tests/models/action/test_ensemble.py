"""Overlapping chunks: the action of a step is the weighted mean of all looks that reach it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.models.action.ensemble import Ensemble


def chunk(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def test_a_lone_chunk_is_carried_out_as_it_is() -> None:
    ensemble = Ensemble(0.01)
    ensemble.add(0, chunk(1, 2, 3))
    assert [ensemble.action(step).tolist() for step in range(3)] == [[1], [2], [3]]


def test_weights_fall_by_age_as_in_act() -> None:
    ensemble = Ensemble(0.5)
    for step, values in enumerate(([1, 1, 10], [1, 20], [40])):
        ensemble.add(step, chunk(*values))
    weights = [1, math.exp(-0.5), math.exp(-1)]  # the oldest chunk first
    mean = (10 * weights[0] + 20 * weights[1] + 40 * weights[2]) / sum(weights)
    assert ensemble.action(2)[0] == pytest.approx(mean)
    assert ensemble.action(2).dtype == np.float32


def test_a_chunk_counts_no_longer_than_it_reaches() -> None:
    ensemble = Ensemble(0.0)
    ensemble.add(0, chunk(5, 5))
    ensemble.add(1, chunk(1, 1, 1))
    assert [float(ensemble.action(step)[0]) for step in (1, 2, 3)] == [3, 1, 1]
    ensemble.add(4, chunk(7))
    assert float(ensemble.action(4)[0]) == 7


@pytest.mark.parametrize("decay", [-10.0, 10.0])
def test_weights_stay_finite_for_many_chunks(decay: float) -> None:
    ensemble = Ensemble(decay)
    for step in range(200):
        ensemble.add(step, chunk(*[float(step)] * 200))
    assert float(ensemble.action(199)[0]) == pytest.approx(199 if decay < 0 else 0, abs=0.1)


@pytest.mark.parametrize(
    ("decay", "values", "elected"),
    [
        (0.0, (-1, -1, 1), -1),
        (0.0, (-1, 1), 1),  # a tie: the latest look decides
        (2.0, (-1, 1, 1), -1),  # the oldest outweighs both
        (-2.0, (-1, -1, 1), 1),
    ],
)
def test_a_gripper_of_two_values_is_voted_on(
    decay: float, values: tuple[float, ...], elected: float
) -> None:
    ensemble = Ensemble(decay)
    for step, value in enumerate(values):
        ensemble.add(step, np.array([[step, value]] * 3, np.float32))
    agreed = ensemble.action(len(values) - 1, votes=(1,))
    assert agreed[1] == elected
    assert 0 < agreed[0] < len(values) - 1
