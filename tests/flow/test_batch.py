"""How large a batch is chosen, without a GPU: the search, and what a config says after it."""

from __future__ import annotations

import pytest

from sofdata.errors import ConfigError, ContractError
from sofdata.flow import batch
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


NO_ROOM = """
from sofdata.errors import ConfigError

def search(config):
    raise ConfigError("no room")
"""
LOOKS = """
import sofdata.flow.batch as batch
batch._search = {search}
print("what a library prints")
batch.main()
"""


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("lambda config: 8 * config.size", {"pairs": 1024}),
        ("lambda config: 1 / 0", None),
    ],
)
def test_another_process_looks_for_the_batch_and_says_how_it_ended(
    search: str, said: dict[str, int] | None
) -> None:
    given = FlowConfig(estimator="ptlflow:raft", checkpoint="random", device="cuda", size=128)
    answer = batch._answer(given.model_dump_json(), LOOKS.format(search=search))
    assert answer == said or (said is None and "set flow.batch_pairs" in answer["error"])


def test_what_the_process_finds_wrong_is_an_error_of_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = FlowConfig(estimator="ptlflow:raft", checkpoint="random", device="cuda")
    monkeypatch.setattr(batch, "PROGRAM", NO_ROOM + LOOKS.format(search="search"))
    with pytest.raises(ConfigError, match="no room"):
        resolve_batch(given, runs_here=True)


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="batch_pairs"):
        load_config(None, [f"flow.batch_pairs={value}"])
