"""A baseline: latent actions from two frames, as in LAPA (Ye et al. 2024, arXiv 2410.11758).

Where the skill model reads a window's flow, this one reads its first and last frame, and where that
predicts flow, this one predicts the last frame's pixels from the first:

    first, last - first ─► encoders ─► n queries ─► FSQ ─► n codes ─┐
    first ─► encoder ───────────────────────────────────────────────┴─► decoder ─► last, 64 x 64 RGB

With `reads=frames` it reads the change in every step of the window and predicts the frame after
each, so that it sees as much of the motion as the skill model does.

It has the parts and sizes of the skill model wherever those fit, so that planner and action decoder
are built on either in the same way. LAPA itself quantises by VQ and starts from large pretrained
models; here FSQ and the small encoder that all arms share replace them.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sofdata.bench.baselines.framed import frames_of
from sofdata.bench.baselines.lapa_config import LapaConfig
from sofdata.config.earlier import completed, identity
from sofdata.errors import ContractError
from sofdata.models.common.attention import StepBlock
from sofdata.models.skill.eyes import FRAME, GRID_TOKENS, observed_tokens
from sofdata.models.skill.fsq import FSQ
from sofdata.models.skill.pixels import (
    grid_of,
    image_encoder,
    observation_of,
    reduced,
    resized,
    unit,
)
from sofdata.models.skill.vae import FlowShape
from sofdata.types import Batch, Skill


class LatentActions(nn.Module):
    """Encodes two frames as a latent action; has the interface of `SkillVAE`.

    code_dim, tokens, codebook_size, observation_shape: as those of `SkillVAE`.
    """

    def __init__(self, config: LapaConfig, shape: FlowShape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.fsq = FSQ(config.levels)
        self.code_dim, self.codebook_size = len(config.levels), self.fsq.codebook_size
        self.tokens = config.tokens
        places = observed_tokens(config)
        self.observation_shape = (places, config.channels[2])
        width, (fine, middle, coarse) = config.width, config.channels
        self.frame = image_encoder(config, config.channels)
        self.change = image_encoder(config, config.channels)
        self.changes = shape.steps if config.reads == "frames" else 1
        self.places = nn.Parameter(0.1 * torch.randn((1 + self.changes) * places, width))
        self.into = nn.Linear(coarse, width)
        self.queries = nn.Parameter(torch.randn(config.tokens, width))
        self.readers = nn.ModuleList(
            StepBlock(width, config.heads, "attention", True) for _ in range(config.blocks)
        )
        self.before_code = nn.LayerNorm(width)
        self.to_code = nn.Linear(width, self.code_dim)
        self.from_code = nn.Sequential(
            nn.Linear(config.tokens * self.code_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.patches = nn.Conv2d(3, fine, 4, stride=4)  # skips of the two finer grids: 16 x 16,
        self.halved = nn.Sequential(nn.SiLU(), unit(fine, middle, 2))  # and 8 x 8
        self.seed = nn.Linear(width, GRID_TOKENS * coarse)
        self.coarse = _Upsampling(coarse, coarse, width, 1)
        self.middle = _Upsampling(coarse, middle, width, 2)
        self.fine = _Upsampling(middle, fine, width, 2)
        self.out = nn.Conv2d(fine, self.changes * 2 * 3 * 16, 3, padding=1)

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] to an observation, float32 [B,P,C], layer-normalised."""
        return observation_of(self.frame(image)).float()

    def skill_of(self, batch: Batch) -> Skill:
        """The latent actions that lead from the windows' first frames to their last.

        Raises `ContractError` for a batch without the frames that it reads.
        """
        codes = self.fsq(self._before(self.frames(batch)))
        return Skill(codes, self.fsq.tokens_of(codes))

    def frames(self, batch: Batch) -> Tensor:
        """The frames that it reads, float32 [B,T+1,3,px,px]: T is 1, or the number of steps."""
        read = torch.stack([batch.first, batch.last], 1)
        if self.config.reads == "frames":
            read = frames_of(batch)
        if read.shape[1] != 1 + self.changes:
            raise ContractError(
                f"windows of {read.shape[1]} frames for a model that reads {1 + self.changes}"
            )
        small = reduced(read.flatten(0, 1), self.config.image_px)  # [B * (T + 1), 3, px, px]
        return small.view(*read.shape[:2], *small.shape[1:])

    def codes_of(self, tokens: Tensor) -> Tensor:
        """Tokens int64 [...,n] to codes float32 [...,n,D]."""
        return self.fsq.codes_of(tokens)

    def tokens_of(self, codes: Tensor) -> Tensor:
        """Codes [...,n,D] to tokens int64 [...,n]."""
        return self.fsq.tokens_of(codes)

    def decode(self, codes: Tensor, first: Tensor) -> Tensor:
        """Codes [B,n,D] and first frames uint8 [B,3,H,W] to what action decoders read in place of
        flow: float32 [B,L,2,h,w], the predicted grey after each step, and what changes in it.

        In units of the flow's 99th percentile, by which those divide. Only with `reads=frames`.
        """
        frames = self.predict(codes, first)  # [B, L, 3, 64, 64]
        start = resized(self.reduced(first), FRAME)[:, None]
        grey = torch.cat([start, frames], 1).mean(2, keepdim=True)  # [B, L + 1, 1, 64, 64]
        read = torch.cat([grey[:, 1:], grey[:, 1:] - grey[:, :-1]], 2)  # [B, L, 2, 64, 64]
        small = functional.interpolate(read.flatten(0, 1), (self.shape.size,) * 2, mode="area")
        return small.view(*read.shape[:3], *small.shape[2:]) * max(self.shape.p99_px, 1e-3)

    def predict(self, codes: Tensor, first: Tensor) -> Tensor:
        """Codes [B,n,D] and first frames to T later ones, float32 [B,T,3,64,64] in -1..1."""
        seen = self.reduced(first)
        image = resized(seen, FRAME)  # [B, 3, 64, 64]
        fine = self.patches(image)  # [B, channels[0], 16, 16]
        middle = self.halved(fine)  # [B, channels[1], 8, 8]
        conditioning = self.from_code(codes.flatten(1))  # [B, n * D] to [B, width]
        x = self.seed(conditioning).unflatten(1, (-1, 4, 4))  # [B, channels[2], 4, 4]
        x = self.coarse(x, grid_of(self.frame(seen)), conditioning)
        x = self.middle(x, middle, conditioning)  # [B, channels[1], 8, 8]
        x = self.fine(x, fine, conditioning)  # [B, channels[0], 16, 16]
        drawn = functional.pixel_shuffle(self.out(x), 4)  # [B, 2 * T * 3, 64, 64]
        change, gate = drawn.view(-1, 2, self.changes, 3, FRAME, FRAME).unbind(
            1
        )  # [B, T, 3, 64, 64]
        # A gated change of the first frame: what does not move need not be drawn again.
        predicted: Tensor = image[:, None] + gate.sigmoid() * change
        return predicted

    def _before(self, frames: Tensor) -> Tensor:
        """What FSQ quantises, float32 [B,n,D], of frames [B,T+1,3,px,px]."""
        seen = observation_of(self.frame(frames[:, 0])).float()  # [B, P, C]
        changes = (frames[:, 1:] - frames[:, :-1]).flatten(0, 1)  # [B * T, 3, px, px]
        change = observation_of(self.change(changes)).float()  # [B * T, P, C]
        change = change.reshape(len(frames), -1, change.shape[2])  # [B, T * P, C]
        context = self.into(torch.cat([seen, change], 1)) + self.places
        queries = self.queries.expand(len(frames), -1, -1)  # [B, n, width]
        for block in self.readers:
            queries = block(queries, None, context)
        unquantised: Tensor = self.to_code(self.before_code(queries))
        return unquantised

    def reduced(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] to what the encoders read, float32 [B,3,px,px]; that as it is."""
        return image if image.is_floating_point() else reduced(image, self.config.image_px)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of the later frames; where they differ from the first counts more."""
        frames = self.frames(batch)
        z = self._before(frames)
        predicted = self.predict(self.fsq(z), frames[:, 0])
        first, later = _at_64(frames[:, :1]), _at_64(frames[:, 1:])
        weight = 1 + self.config.change_weight * (later - first).abs().mean(2, keepdim=True)
        error = ((predicted - later).square() * weight).mean()
        with torch.no_grad():
            missed = (predicted - later).square().mean()
            still = (first - later).square().mean().clamp(min=1e-9)
        # FSQ bounds by tanh: far beyond 2 its gradient vanishes.
        cost = 0.01 * (z.abs() - 2).relu().square().mean()
        return error + cost, {"pixel_mse": missed, "change_explained": 1 - missed / still}

    def spec(self) -> dict[str, Any]:
        """What rebuilds this model, with its `state_dict`."""
        return {"config": identity(self.config), "shape": asdict(self.shape)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """A model of the same architecture, its weights not yet loaded."""
        config = LapaConfig.parse(completed(LapaConfig, spec["config"]))
        return cls(config, FlowShape(**spec["shape"]))


class LapaEvaluation:
    """Sums over held-out batches.

    change_explained: 1 - the squared error of the predicted later frames over that of predicting
        no change. codes_used_share, code_perplexity: as `SkillEvaluation`'s.
    """

    def __init__(self, model: LatentActions) -> None:
        self._model = model
        self._missed = self._still = 0.0
        self._uses = torch.zeros(model.codebook_size, dtype=torch.int64)

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch."""
        model = self._model
        skill = model.skill_of(batch)
        frames = model.frames(batch)
        predicted = model.predict(skill.codes, frames[:, 0])
        first, later = _at_64(frames[:, :1]), _at_64(frames[:, 1:])
        self._missed += float((predicted - later).square().sum())
        self._still += float((first - later).square().sum())
        self._uses += torch.bincount(skill.tokens.flatten(), minlength=model.codebook_size)

    def result(self) -> dict[str, float]:
        """The metrics, by the names above."""
        odds = self._uses[self._uses > 0].double() / max(1, int(self._uses.sum()))
        return {
            "change_explained": 1 - self._missed / max(self._still, 1e-9),
            "codes_used_share": len(odds) / self._model.codebook_size,
            "code_perplexity": math.exp(-float((odds * odds.log()).sum())),
        }

    def pictures(self) -> dict[str, Any]:
        """None."""
        return {}


def _at_64(frames: Tensor) -> Tensor:
    """Frames [B,T,3,px,px] at the size that is predicted, [B,T,3,64,64]."""
    return resized(frames.flatten(0, 1), FRAME).view(*frames.shape[:2], 3, FRAME, FRAME)


class _Upsampling(nn.Module):
    """Upsample, add the frame's features of that size, modulate by the codes (FiLM).

    x [B,inner,h,w], features [B,outer,grows*h,grows*w], conditioning [B,W] to
    [B,outer,grows*h,grows*w].
    """

    def __init__(self, inner: int, outer: int, width: int, grows: int) -> None:
        super().__init__()
        self.grow = nn.Sequential(nn.Conv2d(inner, outer * grows**2, 1), nn.PixelShuffle(grows))
        self.skip = nn.Conv2d(outer, outer, 1)
        self.norm = nn.GroupNorm(max(1, outer // 8), outer, affine=False)
        self.film = nn.Linear(width, 2 * outer)
        self.convs = nn.Sequential(
            nn.Conv2d(outer, outer, 3, padding=1), nn.SiLU(), nn.Conv2d(outer, outer, 3, padding=1)
        )

    def forward(self, x: Tensor, features: Tensor, conditioning: Tensor) -> Tensor:
        x = self.grow(x) + self.skip(features)
        scale, shift = self.film(conditioning)[..., None, None].chunk(2, 1)
        modulated: Tensor = torch.addcmul(shift, self.norm(x), 1 + scale)
        mixed: Tensor = x + self.convs(functional.silu(modulated))
        return mixed
