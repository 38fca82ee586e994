"""Seeds by purpose."""

from __future__ import annotations

from itertools import combinations

import pytest

from sofdata.bench.seeds import FIRST, RANGE, seeds_for
from sofdata.errors import ConfigError


def test_no_seed_serves_two_purposes() -> None:
    whole = {purpose: seeds_for(purpose, RANGE) for purpose in FIRST}  # type: ignore[arg-type]
    for one, other in combinations(whole.values(), 2):
        assert one[-1] < other[0] or other[-1] < one[0]


def test_more_seeds_begin_with_those_of_fewer() -> None:
    assert seeds_for("test", 20)[:5] == seeds_for("test", 5)


def test_more_seeds_than_there_are_would_be_those_of_another_purpose() -> None:
    with pytest.raises(ConfigError, match="1000000 seeds"):
        seeds_for("videos", RANGE + 1)
