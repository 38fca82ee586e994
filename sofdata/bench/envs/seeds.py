"""Seeds of episodes: disjoint ranges by purpose, so that no two purposes share an episode."""

from __future__ import annotations

from typing import Literal

from sofdata.errors import ConfigError

EpisodePurpose = Literal["videos", "demos", "validation", "test"]

RANGE = 1_000_000
FIRST: dict[EpisodePurpose, int] = {
    "videos": RANGE,
    "demos": 2 * RANGE,
    "validation": 3 * RANGE,
    "test": 5 * RANGE,  # those from 4 * RANGE on were seen with other settings: the study's log
}


def purpose_of(seed: int) -> EpisodePurpose:
    """What an episode is for. Raises `ConfigError` for a seed that no purpose has."""
    for purpose, first in FIRST.items():
        if first <= seed < first + RANGE:
            return purpose
    raise ConfigError(f"no episode has the seed {seed}: take those of sofdata.bench.envs.seeds")


def seeds_for(purpose: EpisodePurpose, number: int) -> tuple[int, ...]:
    """The first so many seeds of a purpose. Raises `ConfigError` beyond its range."""
    if number > RANGE:
        raise ConfigError(f"there are {RANGE} seeds for {purpose}, {number} are wanted")
    return tuple(range(FIRST[purpose], FIRST[purpose] + number))
