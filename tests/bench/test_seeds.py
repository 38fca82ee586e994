"""Seeds by purpose."""

from __future__ import annotations

from itertools import combinations

import pytest

from sofdata.bench.envs.seeds import EARLIER_TEST, FIRST, RANGE, purpose_of, seeds_for
from sofdata.errors import ConfigError


def test_no_seed_serves_two_purposes() -> None:
    whole = {purpose: seeds_for(purpose, RANGE) for purpose in FIRST}
    for one, other in combinations(whole.values(), 2):
        assert one[-1] < other[0] or other[-1] < one[0]


def test_more_seeds_begin_with_those_of_fewer() -> None:
    assert seeds_for("test", 20)[:5] == seeds_for("test", 5)


def test_more_seeds_than_there_are_would_be_those_of_another_purpose() -> None:
    with pytest.raises(ConfigError, match="1000000 seeds"):
        seeds_for("videos", RANGE + 1)


def test_the_purpose_of_an_episode_follows_from_its_seed() -> None:
    for purpose in FIRST:
        assert purpose_of(seeds_for(purpose, 1)[0]) == purpose
        assert purpose_of(FIRST[purpose] + RANGE - 1) == purpose
    for seed in (0, 4 * RANGE, FIRST["test"] + RANGE):
        with pytest.raises(ConfigError, match=f"no episode has the seed {seed}"):
            purpose_of(seed)


def test_test_episodes_of_an_earlier_study_are_known_and_never_used_again() -> None:
    for first in EARLIER_TEST:
        assert purpose_of(first) == purpose_of(first + RANGE - 1) == "test"
        for purpose in FIRST:
            assert not first <= FIRST[purpose] < first + RANGE
