"""Seeds of episodes: a range for each purpose, so that no two purposes share an episode."""

from __future__ import annotations

from typing import Literal

from sofdata.errors import ConfigError

EpisodePurpose = Literal["videos", "demos", "play", "validation", "test"]

RANGE = 1_000_000
FIRST: dict[EpisodePurpose, int] = {
    "videos": RANGE,
    "demos": 2 * RANGE,
    "validation": 3 * RANGE,
    "play": 6 * RANGE,
    "test": 7 * RANGE,
}
# Where test episodes began before: those of the study of November 2026. Those at 4 * RANGE were
# used once and given up, and count as nothing (benchmarks/study/LOG.md).
EARLIER_TEST = (5 * RANGE,)


def purpose_of(seed: int) -> EpisodePurpose:
    """The purpose of an episode, also of an earlier study's.

    Raises `ConfigError` for a seed of none.
    """
    earlier: list[tuple[EpisodePurpose, int]] = [("test", first) for first in EARLIER_TEST]
    for purpose, first in [*FIRST.items(), *earlier]:
        if first <= seed < first + RANGE:
            return purpose
    raise ConfigError(f"no episode has the seed {seed}: use those of sofdata.bench.envs.seeds")


def seeds_for(purpose: EpisodePurpose, number: int) -> tuple[int, ...]:
    """The first `number` seeds of a purpose. Raises `ConfigError` beyond its range."""
    if number > RANGE:
        raise ConfigError(f"there are {RANGE} seeds for {purpose}, {number} are wanted")
    return tuple(range(FIRST[purpose], FIRST[purpose] + number))
