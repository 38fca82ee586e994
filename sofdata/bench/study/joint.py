"""The skill model trained jointly with the few labels, as CLAM's latent actions are (Liang et al.
2025, arXiv 2505.04999).

    windows of videos ───► skill model ─► reconstruction ─┐
    labelled windows ────► skill model ─► codes ─► head ──┴─► loss

A small head reads the actions of labelled windows off their codes, so that codes also keep what
tells actions apart. It is thrown away afterwards: what is kept is the skill model, and an action
decoder is trained on it as ever. Equation numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from sofdata.models.action.space import ActionSpace
from sofdata.models.skill.vae import SkillVAE
from sofdata.train.protocol import Batches
from sofdata.types import ActionBatch, Batch

_WIDTH = 128


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JointBatch(Batch):
    """A batch of videos' windows, and a batch of labelled ones beside it."""

    labelled: ActionBatch


class JointLoader:
    """The batches of videos' windows, each with the next batch of labelled ones."""

    def __init__(self, videos: Batches, labelled: Batches) -> None:
        self._videos, self._labelled = videos, labelled
        self.batches = videos.batches

    def epoch(self, number: int, start: int = 0) -> Iterator[JointBatch]:
        """The batches of one epoch, from batch `start` on."""
        labelled = self._from(number * self.batches + start)
        for batch in self._videos.epoch(number, start):
            values = {each.name: getattr(batch, each.name) for each in fields(Batch)}
            yield JointBatch(**values, labelled=next(labelled))

    def _from(self, place: int) -> Iterator[ActionBatch]:
        """Labelled batches without end, from the one at a place of all epochs on."""
        epoch, start = divmod(place, self._labelled.batches)
        while True:
            for batch in self._labelled.epoch(epoch, start):
                assert isinstance(batch, ActionBatch)
                yield batch
            epoch, start = epoch + 1, 0


class JointSkill(nn.Module):
    """A skill model in training, with the head that reads actions off its codes."""

    def __init__(self, skill: SkillVAE, space: ActionSpace, weight: float) -> None:
        super().__init__()
        self.skill, self.weight, self.chunk = skill, weight, space.chunk
        numbers = skill.tokens * skill.code_dim
        self.head = nn.Sequential(
            nn.Linear(numbers, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, space.chunk * space.size)
        )
        self.register_buffer("_mean", space.vector("mean"), persistent=False)
        self.register_buffer("_std", space.vector("std"), persistent=False)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The skill model's own loss, and `weight` times the mean error of the actions (Eq. 40)."""
        assert isinstance(batch, JointBatch)
        own, metrics = self.skill.loss(batch, step)
        error = self._action_loss(batch.labelled, step)
        return own + self.weight * error, {**metrics, "action_loss": error.detach()}

    def _action_loss(self, batch: ActionBatch, step: int) -> Tensor:
        codes = self.skill.latent(batch, step)  # [B, n, D]
        output = self.head(codes.flatten(1)).unflatten(1, (self.chunk, -1))  # [B, N, A]
        number = min(self.chunk, batch.actions.shape[1])
        target = (batch.actions - self.get_buffer("_mean")) / self.get_buffer("_std")
        errors = functional.huber_loss(output[:, :number], target[:, :number], reduction="none")
        mask = batch.action_mask[:, :number]
        return (errors.mean(2) * mask).sum() / mask.sum().clamp(min=1)

    def spec(self) -> dict[str, Any]:
        """That of the skill model."""
        return self.skill.spec()
