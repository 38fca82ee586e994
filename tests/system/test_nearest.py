"""A mistyped name is answered with the known one that is most like it."""

from __future__ import annotations

import pytest

from sofdata.system.nearest import did_you_mean, nearest

KNOWN = ["flow.step_s", "Video Path", "split", "ptlflow:neuflow"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("flow.steps", "flow.step_s"),
        ("SPILT", "split"),
        ("video-path", "Video Path"),
        ("neuflow", "ptlflow:neuflow"),
        ("xyz", ""),
    ],
)
def test_the_known_name_most_like_it_is_found(name: str, meant: str) -> None:
    assert nearest(name, KNOWN) == meant


def test_nothing_is_asked_where_no_name_is_like_it() -> None:
    assert did_you_mean("spilt", KNOWN) == "; did you mean 'split'?"
    assert did_you_mean("xyz", KNOWN) == ""
