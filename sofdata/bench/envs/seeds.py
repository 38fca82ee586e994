"""Seeds of episodes: a range for each purpose, so that no two purposes share an episode."""

from __future__ import annotations

from typing import Literal

from sofdata.errors import ConfigError

EpisodePurpose = Literal["videos", "demos", "validation", "test"]

RANGE = 1_000_000
FIRST: dict[EpisodePurpose, int] = {
    "videos": RANGE,
    "demos": 2 * RANGE,
    "validation": 3 * RANGE,
    "test": 5 * RANGE,  # 4 * RANGE was used with other settings: the study's log
}


def purpose_of(seed: int) -> EpisodePurpose:
    """The purpose of an episode. Raises `ConfigError` for a seed of none."""
    for purpose, first in FIRST.items():
        if first <= seed < first + RANGE:
            return purpose
    raise ConfigError(f"no episode has the seed {seed}: use those of sofdata.bench.envs.seeds")


def seeds_for(purpose: EpisodePurpose, number: int) -> tuple[int, ...]:
    """The first `number` seeds of a purpose. Raises `ConfigError` beyond its range."""
    if number > RANGE:
        raise ConfigError(f"there are {RANGE} seeds for {purpose}, {number} are wanted")
    return tuple(range(FIRST[purpose], FIRST[purpose] + number))
