"""Statistics against answers that are known without them."""

import numpy as np
import pytest

from sofdata.bench.results.stats import paired_difference, success_interval
from sofdata.errors import ContractError


def test_interval_of_a_certain_outcome_is_a_point() -> None:
    found = success_interval(np.ones((3, 2, 5)))
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_interval_of_one_seed_and_task_is_that_of_the_binomial() -> None:
    outcomes = np.zeros((1, 1, 100))
    outcomes[..., :30] = 1
    found = success_interval(outcomes)
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 100)
    assert found.mean == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - spread, abs=0.015)
    assert found.high == pytest.approx(0.3 + spread, abs=0.015)


def test_seeds_that_differ_widen_the_interval_more_than_episodes_alone() -> None:
    rng = np.random.default_rng(1)
    same = (rng.random((3, 8, 20)) < 0.5).astype(float)
    differing = (rng.random((3, 8, 20)) < np.array([0.1, 0.5, 0.9])[:, None, None]).astype(float)
    narrow, wide = success_interval(same), success_interval(differing)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_tasks_that_differ_widen_it_too() -> None:
    outcomes = np.zeros((3, 8, 20))
    outcomes[:, ::2] = 1  # half of the tasks always, the others never
    found = success_interval(outcomes)
    spread = 1.96 * np.sqrt(0.25 / 8)
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.15)


def test_pairing_removes_what_both_arms_share() -> None:
    rng = np.random.default_rng(2)
    theirs = (rng.random((3, 8, 20)) < rng.random((1, 8, 1))).astype(float)
    ours = theirs.copy()
    ours[:, :, 0] = 1 - ours[:, :, 0] * 0  # the first episode of each task succeeds besides
    found = paired_difference(ours, theirs)
    alone = success_interval(ours)
    assert found.mean == pytest.approx(ours.mean() - theirs.mean())
    assert found.high - found.low < 0.5 * (alone.high - alone.low)


def test_a_difference_of_an_arm_to_itself_is_nothing() -> None:
    outcomes = (np.random.default_rng(3).random((2, 3, 4)) < 0.5).astype(float)
    found = paired_difference(outcomes, outcomes)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_large_difference_excludes_zero() -> None:
    assert paired_difference(np.ones((3, 4, 5)), np.zeros((3, 4, 5))).low > 0


def test_intervals_cover_the_true_rate_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for number in range(200):
        found = success_interval((rng.random((5, 6, 20)) < 0.4).astype(float), 400, number)
        covered += found.low <= 0.4 <= found.high
    assert covered >= 185  # wider than needed, since here neither seeds nor tasks differ


def test_outcomes_of_other_episodes_are_refused() -> None:
    with pytest.raises(ContractError, match="not of the same episodes"):
        paired_difference(np.ones((1, 2, 3)), np.ones((1, 2, 4)))
    with pytest.raises(ContractError, match="seeds, tasks, episodes"):
        success_interval(np.ones((2, 3)))
