"""Verdicts on trainings: each thing that is plainly wrong is named, with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from sofdata.train.config import StageName
from sofdata.train.verdict import judge

GOOD: dict[StageName, dict[str, float]] = {
    "skill": {
        "flow_energy_explained": 0.8,
        "flow_energy_explained_mean_flow": 0.1,
        "code_perplexity": 60.0,
        "codes_used_share": 0.2,
    },
    "planner": {
        "prior_nats": 20.0,
        "prior_nats_unigram": 40.0,
        "prior_nats_right_task": 20.0,
        "prior_nats_wrong_task": 25.0,
        "dynamics_explained": 0.4,
        "observation_spread": 1.0,
    },
    "decoder": {
        "action_error": 0.3,
        "action_error_mean_action": 0.8,
        "action_error_wrong_skill": 0.5,
        "gripper_accuracy": 0.97,
        "gripper_accuracy_majority": 0.6,
    },
}


def said(name: StageName, windows: int = 500, course: Any = (), **changed: float) -> str:
    """The verdict as text, on good metrics but for those that are changed."""
    found = judge(name, GOOD[name] | changed, course, windows)
    return "; ".join(f"{each.kind}: {each.text}" for each in found)


def course(name: str, *values: float) -> list[dict[str, Any]]:
    return [
        {"kind": "held_out", "step": 100 * number, name: value}
        for number, value in enumerate(values, 1)
    ]


@pytest.mark.parametrize("name", ["skill", "planner", "decoder"])
def test_good_metrics_are_fine(name: StageName) -> None:
    assert said(name).startswith("fine: fine: ")


@pytest.mark.parametrize(
    ("name", "changed", "text"),
    [
        (
            "skill",
            {"flow_energy_explained": -0.3},
            "wrong: worse than zero flow: it explains -0.30",
        ),
        ("skill", {"flow_energy_explained": 0.05}, "wrong: no better than the mean flow"),
        (
            "skill",
            {"code_perplexity": 1.2, "codes_used_share": 0.002},
            "wrong: codes collapsed: as few are used as if there were 1.2 (0.2% of the codebook",
        ),
        ("skill", {"active_units": 0, "units": 64}, "codes collapsed: 0 of 64 dimensions"),
        ("planner", {"prior_nats": 41}, "wrong: worse than counting"),
        ("planner", {"prior_nats_wrong_task": 20.1}, "doubtful: the task is ignored"),
        ("planner", {"dynamics_explained": -0.1}, "wrong: the dynamics foretell"),
        ("planner", {"observation_spread": 0.0}, "wrong: observations collapsed"),
        ("decoder", {"action_error": 0.9}, "wrong: worse than the mean action"),
        ("decoder", {"action_error_wrong_skill": 0.301}, "doubtful: the skill is ignored"),
        ("decoder", {"gripper_accuracy": 0.6}, "doubtful: the gripper is right in 60%"),
    ],
)
def test_what_is_wrong_is_said(name: StageName, changed: dict[str, float], text: str) -> None:
    assert text in said(name, **changed)
    assert "fine" not in said(name, **changed)


def test_a_loss_since_the_best_measurement_is_overfitting_and_names_its_step() -> None:
    falls = course("flow_energy_explained", 0.5, 0.9, 0.8)
    assert "wrong: overfit: flow_energy_explained was 0.9 at step 200" in said(
        "skill", course=falls
    )
    assert "skill.optim.steps=200" in said("skill", course=falls)
    rises = course("prior_nats", 30.0, 20.0, 26.0)
    assert "overfit: prior_nats was 20 at step 200 and is 26" in said("planner", course=rises)


def test_what_still_gets_better_should_be_trained_longer() -> None:
    assert "doubtful: still getting better" in said(
        "decoder", course=course("action_error", 0.5, 0.3)
    )
    assert said("decoder", course=course("action_error", 0.301, 0.3)).startswith("fine")


def test_few_held_out_windows_are_told() -> None:
    assert "doubtful: measured on 7 windows alone" in said("skill", windows=7)


def test_a_training_without_measurement_gets_no_praise() -> None:
    (only,) = judge("skill", {}, [], 0)
    assert (only.kind, only.text) == (
        "doubtful",
        "nothing was measured: no window was held out",
    )
