"""A baseline: tracks of points, predicted from image and task, as in ATM (arXiv 2401.00025).

Any-point Trajectory Modeling (Wen et al. 2024) learns from action-free videos where points of an
image will go, and then, from a few demonstrations, a policy that reads image, task and the tracks
predicted for a fixed grid of points:

    first frame ─► encoder ─► P tokens ─┐
    text ─► task ───────────────────────┼─► points read these, and each other ─► tracks [L, 2] each
    query points [Q, 2] ────────────────┘

Two things differ from the paper: the tracks to learn from are of points that the window's flow
carries along, not a tracker's, and image encoder and sizes are those of the other arms, so that the
arm differs from them in what it predicts alone.

To the action decoder a grid's tracks are what a skill's codes are for other arms: one token for
each point, of 2 * L numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor, nn

from sofdata.bench.baselines.points import carried, grid_points
from sofdata.bench.baselines.tracks_config import TracksConfig
from sofdata.config.earlier import completed, identity
from sofdata.errors import ContractError
from sofdata.models.common.attention import StepBlock
from sofdata.models.common.gaussian import noise_of
from sofdata.models.common.init import learned_vectors
from sofdata.models.common.text import TextEncoder
from sofdata.models.skill.eyes import observed_tokens
from sofdata.models.skill.pixels import image_encoder, observation_of
from sofdata.models.skill.vae import FlowShape
from sofdata.types import Batch, Skill

_WAVES = 4  # sines and cosines of a coordinate, up to 2^3 half waves a side


class TrackModel(nn.Module):
    """Predicts where points go; has the interface of `SkillVAE` that an action decoder needs.

    tokens: Q, points of the grid. code_dim: 2 * L, of a point's track. codebook_size: 0, there are
    no codes. observation_shape: (P, C).
    """

    def __init__(self, config: TracksConfig, shape: FlowShape, texts: tuple[str, ...] = ()) -> None:
        """texts: what `Batch.text_ids` point to."""
        super().__init__()
        if config.channels is None:
            raise ContractError("the channels of a track model must be given: the skill model's")
        self.config, self.shape, self.texts = config, shape, texts
        self.tokens, self.code_dim, self.codebook_size = config.side**2, 2 * shape.steps, 0
        places = observed_tokens(config)
        self.observation_shape = (places, config.channels[2])
        width = config.width
        self.frame = image_encoder(config, config.channels)
        self.text = TextEncoder(config.text, config.text_width, texts)
        self.seen = nn.Linear(config.channels[2], width)
        self.places = learned_vectors(places, width, std=0.1)
        self.task = nn.Linear(self.text.width, width)
        self.point = nn.Linear(2 + 4 * _WAVES, width)
        self.readers = nn.ModuleList(
            StepBlock(width, config.heads, "attention", True) for _ in range(config.blocks)
        )
        self.before_track = nn.LayerNorm(width)
        self.to_track = nn.Linear(width, self.code_dim)
        self.register_buffer("_grid", grid_points(config.side), persistent=False)

    # Use

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] to an observation, float32 [B,P,C], layer-normalised."""
        return observation_of(self.frame(image)).float()

    def forward(self, image: Tensor, task: Tensor, points: Tensor) -> Tensor:
        """Images uint8 [B,3,H,W], tasks [B,E] and query points [B,Q,2] to tracks [B,Q,L,2].

        Tracks are displacements since the first frame, in units of `reach`.
        """
        seen = self.seen(self.observe(image)) + self.places  # [B, P, width]
        context = torch.cat([seen, self.task(task)[:, None]], 1)  # [B, P + 1, width]
        hidden = self.point(_waves(points))  # [B, Q, width]
        for block in self.readers:
            hidden = block(hidden, None, context)
        flat: Tensor = self.to_track(self.before_track(hidden))  # [B, Q, L * 2]
        return flat.view(len(flat), -1, self.shape.steps, 2)

    def predict(self, image: Tensor, texts: Sequence[str]) -> Skill:
        """The tracks of the grid, as codes [B,Q,2 * L]; there are no tokens."""
        points = self._points(len(image))
        return _as_skill(self(image, self.text(texts), points))

    def skill_of(self, batch: Batch) -> Skill:
        """The tracks that a policy reads at windows of demonstrations: see `TracksConfig.reads`."""
        if self.config.reads == "predicted":
            return self.predict(batch.first, self.texts_of(batch))
        return _as_skill(self.true(batch, self._points(len(batch))))

    def true(self, batch: Batch, points: Tensor) -> Tensor:
        """Tracks of points [B,Q,2] by a batch's own flow, [B,Q,L,2] in units of `reach`."""
        return carried(batch.flow, points, batch.mask) / self.reach

    def texts_of(self, batch: Batch) -> list[str]:
        """The text of each window."""
        return [self.texts[index] for index in batch.text_ids.tolist()]

    @property
    def reach(self) -> float:
        """How far a point goes, in halves of a side, that moves at the dataset's 99th percentile in
        every step of a window."""
        return 2 * max(self.shape.p99_px, 1e-3) * self.shape.steps / self.shape.size

    def _points(self, number: int) -> Tensor:
        return self.get_buffer("_grid").expand(number, -1, -1)

    # Training

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of tracks, where points move counting more, over the windows' real steps.

        In training, each point of the grid lies anywhere in its cell; where depends on sample and
        step alone.
        """
        points = self._points(len(batch))
        if self.training:
            points = points + self._jitter(batch.keys, step).to(points.device)
        true = self.true(batch, points)
        predicted = self(batch.first, self.text(self.texts_of(batch)), points)
        speed = true.square().sum(3, keepdim=True).sqrt()  # [B, Q, L, 1]
        weight = (1 + self.config.motion_weight * speed.clamp(max=1)) * batch.mask[:, None, :, None]
        error = (predicted - true).square() * weight
        means = error.flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)  # [B]
        return means.mean(), {"motion_explained": _explained(predicted.detach(), true, batch.mask)}

    def _jitter(self, keys: Sequence[str], step: int) -> Tensor:
        """Offsets [B,Q,2] to anywhere in a point's cell."""
        noise = noise_of(keys, step, (self.tokens, 2))
        uniform: Tensor = torch.special.ndtr(noise)  # in 0..1, since the noise is normal
        return (2 * uniform - 1) / self.config.side

    def spec(self) -> dict[str, Any]:
        """What rebuilds this model, with its `state_dict`."""
        config = identity(self.config)
        return {"config": config, "shape": asdict(self.shape), "texts": list(self.texts)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """A model of the same build, its weights not yet loaded."""
        config = TracksConfig.parse(completed(TracksConfig, spec["config"]))
        return cls(config, FlowShape(**spec["shape"]), tuple(spec["texts"]))


class TrackEvaluation:
    """Sums over held-out batches.

    motion_explained: 1 - the squared error of the grid's predicted tracks over that of predicting
        that nothing moves.
    track_px: the mean distance, in px of the stored flow, between where a point that moves by a
        pixel or more is predicted to be after the window's last real step, and where it is;
        track_px_still: of predicting that nothing moves.
    """

    def __init__(self, model: TrackModel) -> None:
        self._model = model
        self._missed = self._motion = 0.0
        self._gap = self._way = 0.0
        self._moving = 0

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch."""
        model = self._model
        points = model._points(len(batch))
        true = model.true(batch, points)
        predicted = model(batch.first, model.text(model.texts_of(batch)), points)
        real = batch.mask[:, None, :, None]
        self._missed += float(((predicted - true).square() * real).sum())
        self._motion += float((true.square() * real).sum())
        rows = torch.arange(len(batch))
        last = (batch.mask.sum(1) - 1).clamp(min=0)
        px = model.reach * model.shape.size / 2
        way = true[rows, :, last].norm(dim=-1) * px  # [B, Q]
        gap = (predicted - true)[rows, :, last].norm(dim=-1) * px
        moves = way >= 1
        self._gap += float(gap[moves].sum())
        self._way += float(way[moves].sum())
        self._moving += int(moves.sum())

    def result(self) -> dict[str, float]:
        """The metrics, by the names above."""
        number = max(self._moving, 1)
        return {
            "motion_explained": 1 - self._missed / max(self._motion, 1e-9),
            "track_px": self._gap / number,
            "track_px_still": self._way / number,
        }

    def pictures(self) -> dict[str, Any]:
        """None."""
        return {}


def _as_skill(tracks: Tensor) -> Skill:
    """Tracks [B,Q,L,2] as codes [B,Q,2 * L]."""
    codes = tracks.flatten(2)
    return Skill(codes, torch.zeros(len(codes), 0, dtype=torch.int64, device=codes.device))


def _waves(points: Tensor) -> Tensor:
    """Points [B,Q,2] with sines and cosines of both coordinates: [B,Q,2 + 4 * _WAVES]."""
    speeds = math.pi * 2.0 ** (torch.arange(_WAVES, device=points.device) - 1)
    angles = (points[..., None] * speeds).flatten(2)  # [B, Q, 2 * _WAVES]
    return torch.cat([points, angles.sin(), angles.cos()], 2)


def _explained(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """The share of squared motion [B,Q,L,2] that a prediction explains."""
    real = mask[:, None, :, None]
    missed = ((predicted - true).square() * real).sum()
    return 1 - missed / (true.square() * real).sum().clamp(min=1e-9)
