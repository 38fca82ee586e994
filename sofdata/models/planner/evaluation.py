"""How well a planner does on held-out windows, and how well it would trivially."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.models.common.swaps import other_texts, other_windows
from sofdata.models.planner.baselines import standard_normal_nats
from sofdata.models.planner.dynamics import normalised_error
from sofdata.models.planner.pictures import SAMPLES, Samples, draw_samples
from sofdata.models.planner.planner import Planner, at_rest
from sofdata.types import Batch


class PlannerEvaluation:
    """Sums over held-out batches; every window counts the same.

    prior_nats: negative log-likelihood of a skill; prior_nats_token: of one of its points.
    prior_nats_uniform: of guessing any code (KL: prior_nats_normal, of N(0, 1)).
    prior_nats_unigram: of how often each code stood at its place in training, one added to every
        count (KL: prior_nats_gaussian, of the training mean and variance at each place).
    prior_nats_wrong_task: given the text of another window of the batch, and
        prior_nats_right_task: of the same windows with their own. Only windows with a text, in
        batches with another one, take part; both are absent where there is none. No difference
        means that the prior ignores the task.
    dynamics_mse: error of the predicted observation after the skill, in variances of a token's
        channels; dynamics_mse_no_change: of predicting that nothing changes;
        dynamics_mse_wrong_skill: given the skill of another window, of another video where the
        batch has one. dynamics_explained: share of the change that is predicted.
    value_one_skill: the goal value of a window's last frame, which should be near -1, and
        value_other_window: of that of another window, of another video where the batch has one.
        Absent without a goal value.
    observation_spread: variance of observations from window to window, a number of theirs; near 0
        it has collapsed.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        shape = planner.prior.space.observation
        self._moments = torch.zeros(2, *shape, dtype=torch.float64)
        self._shown: _Shown | None = None

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch."""
        with at_rest(self._planner):
            self._add(batch)

    def _add(self, batch: Batch) -> None:
        planner = self._planner
        skill, before, after = planner.read(batch)
        targets, texts = planner.targets(skill), planner.texts_of(batch)
        task = planner.tasks(texts)
        nats = -planner.log_prob(before, task, skill)
        self._count("prior_nats", nats)
        self._count("prior_nats_token", nats / targets.shape[1])
        self._baselines(targets)
        self._wrong_task(before, task, targets, nats, texts)
        self._dynamics(before, after, skill.codes, batch.keys)
        self._value(before, after, batch.keys)
        self._moments += torch.stack([before.sum(0), before.square().sum(0)]).double().cpu()
        self._keep_shown(batch, texts, task)

    def _baselines(self, targets: Tensor) -> None:
        planner, (size, points) = self._planner, targets.shape[:2]
        codes = planner.skill.codebook_size
        if codes:
            self._count("prior_nats_uniform", torch.full((size,), points * math.log(codes)))
        else:
            self._count("prior_nats_normal", standard_normal_nats(targets).sum(1))
        name = "prior_nats_unigram" if codes else "prior_nats_gaussian"
        self._count(name, planner.seen.nats(targets).sum(1))

    def _wrong_task(
        self, before: Tensor, task: Tensor, targets: Tensor, nats: Tensor, texts: list[str]
    ) -> None:
        rows = other_texts(texts)
        if not rows:
            return
        own, wrong = torch.tensor(list(rows)), torch.tensor(list(rows.values()))
        own, wrong = own.to(task.device), wrong.to(task.device)
        told = self._planner.condition(before[own], task[wrong])
        chances = self._planner.prior.log_prob(before[own], told, targets[own][:, None])
        self._count("prior_nats_wrong_task", -chances.sum((1, 2)))
        self._count("prior_nats_right_task", nats[own])

    def _dynamics(
        self, before: Tensor, after: Tensor, codes: Tensor, keys: tuple[str, ...]
    ) -> None:
        predict = self._planner.predict
        self._count("dynamics_mse", normalised_error(predict(before, codes), after))
        self._count("dynamics_mse_no_change", normalised_error(before, after))
        if len(keys) > 1:
            wrong = codes[torch.tensor(other_windows(keys), device=codes.device)]
            self._count("dynamics_mse_wrong_skill", normalised_error(predict(before, wrong), after))

    def _value(self, before: Tensor, after: Tensor, keys: tuple[str, ...]) -> None:
        value = self._planner.value
        if value is None:
            return
        self._count("value_one_skill", value(before, after))
        if len(keys) > 1:
            other = after[torch.tensor(other_windows(keys), device=after.device)]
            self._count("value_other_window", value(before, other))

    def _count(self, name: str, values: Tensor) -> None:
        self._sums[name] += float(values.double().sum())
        self._counts[name] += len(values)

    def result(self) -> dict[str, float]:
        """Means over the windows counted; empty without any."""
        found = {name: total / self._counts[name] for name, total in self._sums.items()}
        if not found:
            return found
        still = found["dynamics_mse_no_change"]
        if still > 0:
            found["dynamics_explained"] = 1 - found["dynamics_mse"] / still
        mean, square = self._moments / self._counts["prior_nats"]
        found["observation_spread"] = float((square - mean.square()).mean())
        return found

    def _keep_shown(self, batch: Batch, texts: list[str], task: Tensor) -> None:
        """Remember the window with a text that moves most, and the text that is least like it."""
        rows = list(other_texts(texts))
        if self._shown is not None or not rows:
            return
        own = max(rows, key=lambda row: float(batch.flow[row].square().sum()))
        differing = [row for row in rows if texts[row] != texts[own]]
        other = min(differing, key=lambda row: float(task[own] @ task[row]))
        flow = batch.flow[own][batch.mask[own]]
        self._shown = _Shown(batch.first[own], flow, (texts[own], texts[other]))

    @torch.no_grad()
    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Samples of the prior for two tasks and the same first frame, decoded to flow.

        Empty where no batch held two texts.
        """
        shown = self._shown
        if shown is None:
            return {}
        with at_rest(self._planner):
            samples = [self._samples(shown.first, text) for text in shown.texts]
        first = shown.first.permute(1, 2, 0).cpu().numpy()  # [H, W, 3]
        return {"prior_samples": draw_samples(first, _array(shown.flow), samples)}

    def _samples(self, first: Tensor, text: str) -> Samples:
        """Skills that the prior draws for a task at a first frame uint8 [3,H,W], as flow."""
        planner, generator = self._planner, torch.Generator(first.device).manual_seed(0)
        observation, task = planner.observe(first[None]), planner.tasks([text])
        codes, _, _ = planner.propose(observation, task, SAMPLES, generator=generator)
        flow = planner.skill.decode(codes[0], first.expand(SAMPLES, -1, -1, -1))  # [S, L, 2, h, w]
        return Samples(text, _array(flow))


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A window to draw, and a task that is not its own.

    first: uint8 [3,H,W]. flow: float32 [L,2,h,w], what truly happened. texts: its own task, and
    another.
    """

    first: Tensor
    flow: Tensor
    texts: tuple[str, str]


def _array(flow: Tensor) -> NDArray[np.float32]:
    """[..., 2, h, w] to an array [..., h, w, 2]."""
    return np.asarray(flow.movedim(-3, -1).float().cpu().numpy(), np.float32)
