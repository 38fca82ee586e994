"""What a training has come to, in words: what its held-out metrics say, and what to do about it.

Every threshold here is ours, and coarse: a verdict names what is plainly wrong. Which metrics there
are, and what they mean, stands with the classes of `sofdata.train.stage.EVALUATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sofdata.train.config import StageName
from sofdata.train.log import read_metrics
from sofdata.train.stage import read_done

Metrics = Mapping[str, float]
Kind = Literal["wrong", "doubtful", "fine"]
FEW_WINDOWS = 20  # held out; with fewer, chance decides
FEW_CODES = 4.0  # perplexity: so many codes, used alike, tell little of a window
FEW_UNITS = 0.05  # of the dimensions of a KL model
NO_SPREAD = 1e-4  # of observations
NOTICED = 0.01  # relative difference of two metrics that counts as one
WORSE = 0.03  # relative loss since the best measurement that counts as one


@dataclass(frozen=True, slots=True)
class Judged:
    """One sentence of a verdict. kind: how grave it is."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class _Goal:
    """What a stage is judged by first. higher: whether more of it is better."""

    metric: str
    higher: bool

    def gain(self, before: float, after: float) -> float:
        """By how much it is better afterwards, relative to before."""
        change = after - before if self.higher else before - after
        return change / max(abs(before), 1e-9)


GOALS: dict[StageName, _Goal] = {
    "skill": _Goal("flow_energy_explained", higher=True),
    "planner": _Goal("prior_nats", higher=False),
    "decoder": _Goal("action_error", higher=False),
}


def stage_verdict(folder: Path, name: StageName) -> tuple[Judged, ...]:
    """The verdict on a stage that has ended; empty if it has not. folder: of that stage."""
    done = read_done(folder)
    if done is None:
        return ()
    held_out = [line for line in read_metrics(folder) if line["kind"] == "held_out"]
    return judge(name, done["metrics"], held_out, done["windows"]["held_out"])


def judge(
    name: StageName, metrics: Metrics, held_out: Sequence[Mapping[str, Any]], windows: int
) -> tuple[Judged, ...]:
    """The verdict on a stage.

    metrics: its last ones, of `windows` held-out windows. held_out: all measurements, by step.
    """
    if not metrics:
        return (Judged("doubtful", "nothing was measured: no window was held out"),)
    found = list(_JUDGES[name](metrics))
    found += _course(GOALS[name], name, held_out, bool(found))
    if windows < FEW_WINDOWS:
        text = f"measured on {windows} windows alone, of which chance decides: hold out more"
        found.append(Judged("doubtful", text))
    return tuple(found) or (Judged("fine", _FINE[name](metrics)),)


def _course(
    goal: _Goal, name: StageName, held_out: Sequence[Mapping[str, Any]], is_poor: bool
) -> Iterator[Judged]:
    """What the measurements say in their order."""
    seen = [(line["step"], line[goal.metric]) for line in held_out if goal.metric in line]
    if len(seen) < 2:
        return
    best_step, best = (max if goal.higher else min)(seen, key=lambda each: each[1])
    step, last = seen[-1]
    if goal.gain(best, last) < -WORSE:
        yield Judged(
            "wrong",
            f"overfit: {goal.metric} was {best:.3g} at step {best_step} and is {last:.3g} at step "
            f"{step}. Train on more videos, or for fewer steps ({name}.optim.steps={best_step})",
        )
    elif goal.gain(seen[-2][1], last) > WORSE and not is_poor:
        yield Judged(
            "doubtful",
            f"still getting better when it ended ({goal.metric} {seen[-2][1]:.3g} to {last:.3g} in "
            f"the last {step - seen[-2][0]} steps): train longer ({name}.optim.steps)",
        )


def _skill(metrics: Metrics) -> Iterator[Judged]:
    explained, mean = (
        metrics["flow_energy_explained"],
        metrics.get("flow_energy_explained_mean_flow", 0.0),
    )
    if explained <= 0:
        yield Judged(
            "wrong",
            f"worse than zero flow: it explains {explained:.2f} of the flow's energy, and no flow "
            "at all would explain 0. Train longer (skill.optim.steps)",
        )
    elif explained <= mean:
        yield Judged(
            "wrong",
            f"no better than the mean flow of all windows: it explains {explained:.2f} of the "
            f"flow's energy, that {mean:.2f}. Train longer (skill.optim.steps)",
        )
    if "code_perplexity" in metrics and metrics["code_perplexity"] < FEW_CODES:
        yield Judged(
            "wrong",
            f"codes collapsed: as few are used as if there were {metrics['code_perplexity']:.1f} "
            f"({metrics['codes_used_share']:.1%} of the codebook occur). Train longer, or on "
            "videos that differ more",
        )
    if "units" in metrics and metrics["active_units"] < FEW_UNITS * metrics["units"]:
        yield Judged(
            "wrong",
            f"codes collapsed: {metrics['active_units']:.0f} of {metrics['units']:.0f} dimensions "
            "differ from window to window. Lower skill.model.kl_weight",
        )


def _planner(metrics: Metrics) -> Iterator[Judged]:
    known = metrics.get("prior_nats_unigram", metrics.get("prior_nats_gaussian"))
    if known is not None and metrics["prior_nats"] >= known:
        yield Judged(
            "wrong",
            "worse than counting: the prior foretells skills no better than how often each stands "
            f"there ({metrics['prior_nats']:.2f} and {known:.2f} nats). Train longer "
            "(planner.optim.steps), or on more videos",
        )
    wrong, right = (metrics.get(f"prior_nats_{which}_task") for which in ("wrong", "right"))
    if wrong is not None and right is not None and wrong - right < NOTICED * abs(right):
        yield Judged(
            "doubtful",
            f"the task is ignored: with another's text the prior is as good ({wrong:.2f} and "
            f"{right:.2f} nats). Do the texts say what is done?",
        )
    if metrics.get("dynamics_explained", 1.0) <= 0:
        yield Judged(
            "wrong",
            "the dynamics foretell what is seen next no better than that nothing changes: search "
            "with them will not help. Train longer",
        )
    if metrics.get("observation_spread", 1.0) < NO_SPREAD:
        yield Judged("wrong", "observations collapsed: all windows look alike to the planner")


def _decoder(metrics: Metrics) -> Iterator[Judged]:
    error, mean = metrics.get("action_error"), metrics.get("action_error_mean_action")
    if error is not None and mean is not None and error >= mean:
        yield Judged(
            "wrong",
            f"worse than the mean action: its error is {error:.2f} standard deviations, that of "
            f"always the mean {mean:.2f}. Train longer (decoder.optim.steps), or with more "
            "demonstrations",
        )
    other = metrics.get("action_error_wrong_skill")
    if error is not None and other is not None and other - error < NOTICED * error:
        yield Judged(
            "doubtful",
            f"the skill is ignored: with another window's the error is {other:.2f}, with its own "
            f"{error:.2f}",
        )
    grip, most = (metrics.get(f"gripper_accuracy{which}") for which in ("", "_majority"))
    if grip is not None and most is not None and grip <= most < 1:
        yield Judged(
            "doubtful",
            f"the gripper is right in {grip:.0%} of actions, always the more frequent of its "
            f"values in {most:.0%}",
        )


_JUDGES: dict[StageName, Callable[[Metrics], Iterator[Judged]]] = {
    "skill": _skill,
    "planner": _planner,
    "decoder": _decoder,
}
_FINE: dict[StageName, Callable[[Metrics], str]] = {
    "skill": lambda found: (
        f"fine: skills explain {found['flow_energy_explained']:.0%} of the flow's energy in "
        "held-out videos"
    ),
    "planner": lambda found: (
        f"fine: {found['prior_nats']:.2f} nats a skill in held-out videos, fewer than by counting"
    ),
    "decoder": lambda found: (
        f"fine: the error in held-out demonstrations is {found['action_error']:.2f} standard "
        "deviations, less than of the mean action"
        if "action_error" in found
        else "fine: the gripper, which is all there is, is right more often than its majority"
    ),
}
