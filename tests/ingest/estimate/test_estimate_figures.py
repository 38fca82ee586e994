"""Sampling, ratio estimators and the schedule on populations whose totals are known."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.ingest.estimate.figures import Figure, Known, Phase, estimate, known, student
from sofdata.ingest.estimate.sampling import Numbers, choose
from sofdata.ingest.estimate.schedule import makespan_s

SIZES = np.random.default_rng(7).lognormal(0, 1.5, 400)


def sampled(costs: Numbers, sizes: Numbers, count: int, seed: int) -> Figure:
    """The total of costs by a sample of one phase, all sizes being known."""
    chosen = choose(sizes, count, np.random.default_rng(seed))
    phase = Phase(1 / chosen.chances, chosen.chances)
    of_all = Known(sizes, float(sizes.sum()), 0.0)
    found = costs[chosen.places]
    return estimate(found, of_all, chosen.places, phase, np.zeros(count)).figure(phase)


def test_the_same_seed_chooses_the_same_and_another_one_others() -> None:
    one, same, other = (choose(SIZES, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.places.tolist() == same.places.tolist() != other.places.tolist()
    assert len(set(one.places.tolist())) == 20


def test_all_are_chosen_for_certain_where_there_are_no_more() -> None:
    chosen = choose(SIZES[:5], 20, np.random.default_rng(0))
    assert chosen.places.tolist() == [0, 1, 2, 3, 4]
    assert chosen.chances.tolist() == [1.0] * 5


def test_each_is_chosen_as_often_as_its_chance_says_and_a_giant_always() -> None:
    sizes = np.array([1.0, 2.0, 3.0, 4.0, 0.0, 500.0])
    counts, chances = np.zeros(6), np.zeros(6)
    for seed in range(4000):
        chosen = choose(sizes, 3, np.random.default_rng(seed))
        assert len(chosen) == 3
        counts[chosen.places] += 1
        chances[chosen.places] = chosen.chances
    assert chances[5] == 1.0
    assert chances.sum() == pytest.approx(3.0)
    assert chances[4] > 0.1  # nothing is without a chance
    assert counts / 4000 == pytest.approx(chances, abs=0.03)


def test_costs_that_go_with_size_exactly_are_estimated_exactly() -> None:
    figure = sampled(3.0 * SIZES, SIZES, 10, seed=1)
    assert figure.value == pytest.approx(3.0 * SIZES.sum())
    assert figure.high is not None
    assert figure.high == pytest.approx(figure.value, rel=1e-6)


def test_a_sample_of_all_gives_the_total_without_a_range() -> None:
    costs = np.random.default_rng(3).random(30)
    figure = sampled(costs, SIZES[:30], 30, seed=1)
    assert figure.value == pytest.approx(costs.sum())
    assert figure.low == figure.high == figure.value


def test_a_single_video_gives_no_range() -> None:
    figure = sampled(np.random.default_rng(3).random(30), SIZES[:30], 1, seed=1)
    assert figure.value > 0
    assert figure.low is None
    assert figure.high is None


def test_ranges_hold_the_true_total_nearly_as_often_as_they_say() -> None:
    """Sizes and costs are as skewed as files are; over several populations of them."""
    held, off = [], []
    for number in range(8):
        rng = np.random.default_rng(number)
        sizes = rng.lognormal(0, 1.5, 400)
        costs = sizes * rng.lognormal(0, 0.4, 400) + 0.05 * rng.random(400)
        for seed in range(60):
            figure = sampled(costs, sizes, 20, seed)
            assert figure.low is not None
            assert figure.high is not None
            held.append(figure.low <= costs.sum() <= figure.high)
            off.append(figure.value / costs.sum())
    assert np.mean(held) > 0.9
    assert np.mean(off) == pytest.approx(1.0, abs=0.02)


def test_two_phases_hold_the_true_total_nearly_as_often_as_they_say() -> None:
    """Bytes are known of all, seconds of some, costs of a few of these."""
    rng = np.random.default_rng(12)
    seconds = SIZES * rng.lognormal(0, 0.8, len(SIZES))
    costs = seconds * rng.lognormal(0, 0.3, len(SIZES))
    held, values = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        first = choose(SIZES, 100, rng)
        one = Phase(1 / first.chances, first.chances)
        of_all = known(seconds[first.places], SIZES[first.places], float(SIZES.sum()), one)
        second = choose(one.weights * seconds[first.places], 20, rng)
        both = Phase(one.weights[second.places] / second.chances, second.chances)
        found = costs[first.places[second.places]]
        figure = estimate(found, of_all, second.places, both, np.zeros(20)).figure(both)
        assert figure.low is not None
        assert figure.high is not None
        values.append(figure.value)
        held.append(figure.low <= costs.sum() <= figure.high)
    assert np.mean(values) == pytest.approx(costs.sum(), rel=0.03)
    assert np.mean(held) > 0.9


def test_what_was_measured_in_part_widens_the_range_even_of_a_sample_of_all() -> None:
    phase = Phase(np.ones(4), np.ones(4))
    of_all = Known(np.ones(4), 4.0, 0.0)
    found = np.array([2.0, 2.0, 2.0, 2.0])
    figure = estimate(found, of_all, np.arange(4), phase, np.full(4, 0.01)).figure(phase)
    assert figure.value == 8.0
    assert figure.low is not None
    assert figure.low == pytest.approx(8.0 * np.exp(-student(3) * 0.2 / 8.0))


def test_a_range_does_not_begin_below_what_was_found_already() -> None:
    phase = Phase(np.full(3, 2.0), np.full(3, 0.5))
    of_all = Known(np.ones(6), 6.0, 0.0)
    found = np.array([1.0, 9.0, 1.0])
    total = estimate(found, of_all, np.arange(3), phase, np.zeros(3))
    assert total.figure(phase, least=11.0).low == 11.0


@pytest.mark.parametrize(
    ("degrees", "table"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (19, 2.093), (199, 1.972)],
)
def test_students_quantiles_are_those_of_the_tables(degrees: int, table: float) -> None:
    assert student(degrees) == pytest.approx(table, rel=0.006)


def test_a_schedule_gives_each_unit_to_the_worker_that_is_free_first() -> None:
    units_s = [3.0, 3.0, 2.0, 2.0, 2.0]
    assert makespan_s(units_s, 1) == 12.0
    assert makespan_s(units_s, 2) == 7.0
    assert makespan_s(units_s, 3) == 5.0
    assert makespan_s(units_s, 64) == 3.0
    assert makespan_s([], 2) == 0.0


def test_one_long_unit_is_as_long_on_any_number_of_workers() -> None:
    assert makespan_s([100.0, *[1.0] * 50], 1000) == 100.0
