"""How large a batch is chosen, without a GPU: the search, and what a config says after it."""

from __future__ import annotations

import pytest

from sofdata.errors import ConfigError, ContractError
from sofdata.flow.batch import MOST_PAIRS, largest, resolve_batch
from sofdata.flow.config import CPU_PAIRS, FlowConfig
from sofdata.flow.estimator import resolve
from sofdata.flow.learned import Learned
from sofdata.ingest.config import load_config


@pytest.mark.parametrize(
    ("room", "found"), [(0, 0), (1, 1), (3, 2), (16, 16), (100, 64), (10_000, MOST_PAIRS)]
)
def test_the_largest_power_of_two_that_fits_is_found(room: int, found: int) -> None:
    tried = []

    def fits(pairs: int) -> bool:
        tried.append(pairs)
        return pairs <= room

    assert largest(fits) == found
    assert max(tried) <= max(1, 2 * found)  # one step too far at most


def test_on_a_cpu_auto_is_a_fixed_number_so_that_any_machine_gives_the_same_bytes() -> None:
    assert resolve(FlowConfig(estimator="dis")).batch_pairs == CPU_PAIRS
    learned = FlowConfig(estimator="ptlflow:raft_small", checkpoint="random", device="cpu")
    assert resolve(learned).batch_pairs == CPU_PAIRS


def test_a_number_that_is_given_stands() -> None:
    assert resolve(FlowConfig(estimator="dis", batch_pairs=3)).batch_pairs == 3


def test_what_other_machines_have_room_for_is_not_tried_here() -> None:
    given = FlowConfig(estimator="ptlflow:raft", checkpoint="random", device="cuda")
    assert resolve_batch(given, runs_here=False).batch_pairs == CPU_PAIRS


def test_a_model_is_not_made_from_a_config_that_leaves_it_open() -> None:
    with pytest.raises(ContractError, match="not resolved"):
        Learned(FlowConfig(estimator="ptlflow:raft_small", checkpoint="random", device="cpu"))


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="batch_pairs"):
        load_config(None, [f"flow.batch_pairs={value}"])
