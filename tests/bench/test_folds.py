"""Which tasks are held out together."""

from __future__ import annotations

from typing import Any

import pytest

from sofdata.bench.study.folds import folds_of
from sofdata.errors import ConfigError
from tests.bench.conftest import tiny

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


def folds(*overrides: str) -> Any:
    return folds_of(tiny(*overrides), NAMES)


def test_without_held_out_tasks_there_is_no_fold() -> None:
    assert folds() == ()


def test_held_out_tasks_are_one_fold_in_the_order_of_the_suite() -> None:
    assert folds("held_out=[e, b]") == (("b", "e"),)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("folds=auto", (("a", "d", "g"), ("b", "e", "h"), ("c", "f"))),
        ("folds=2", (("a", "c", "e", "g"), ("b", "d", "f", "h"))),
        ("folds=[[h, a], [c]]", (("a", "h"), ("c",))),
    ],
)
def test_folds_hold_each_task_out_once(setting: str, expected: Any) -> None:
    assert folds(setting) == expected


def test_chosen_tasks_are_dealt_out_and_the_others_always_labelled() -> None:
    assert folds("held_out=[a, b, c, d]", "folds=auto") == (("a", "c"), ("b", "d"))
    assert folds("held_out=[a, b, c]", "folds=3") == (("a",), ("b",), ("c",))


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no task 'push_left' takes part.* mean 'push-left'"):
        folds_of(tiny("held_out=[push_left]"), ("push-left", "push-right"))


def test_a_fold_must_leave_a_task_with_labels() -> None:
    with pytest.raises(ConfigError, match="no task is left whose demonstrations"):
        folds_of(tiny("held_out=[a, b]"), ("a", "b"))
    with pytest.raises(ConfigError, match="folds=9 of 8 tasks"):
        folds("folds=9")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["held_out=[a]", "folds=[[b]]"], "not in both"),
        (["folds=[[a], [a, b]]"], "no task may be in two"),
        (["folds=[[]]"], "each needs a task"),
        (["held_out=[a, a]"], "has one twice"),
        (["labels=play", "arms=[sof]", "held_out=[a]"], "leave held_out and folds out"),
        (["labels=play", "arms=[sof]", "skill_task=true"], "play shows no task"),
        (["labels=play", "arms=[sof, bc]"], "bc would learn the task from labels"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny("curve=[]", *settings)
