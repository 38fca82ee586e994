"""The skill VAE: a window of flow to a few codes, and codes and first frame back to flow.

The first of the three models of SOF (arXiv 2512.20052), which learns skills from flow alone. The
paper names its parts and publishes neither sizes nor values: those are ours.

    flow ─► CNN a step ─► blocks over steps ─► n queries ─► bottleneck ─► n codes of D numbers
                        first frame ─► CNN ─────┴─────────────┐
                                  codes ─► L step queries ─► FlowDecoder ─► flow

Beside the queries, one linear map leads from all steps to all codes, and one from all codes to all
steps. With attention alone the model learns to use few codes; the linear maps make it use them all
from the beginning.

About 2.5 M parameters at the default sizes. Equation numbers (Eq. n) are those of docs/models.md,
shapes are [batch B, steps L, ...], n codes of D numbers, W features (`width`), P tokens of an
observation with C channels each, s = `detail` px (in shapes alone: Eq. 2 divides by another s).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.config.earlier import completed, identity
from sofdata.errors import ConfigError, ContractError
from sofdata.models.common.attention import StepBlock, sinusoids
from sofdata.models.common.gaussian import (
    kl_nats,
    noise_of,
    reparametrise,
    split,
    warm_up,
    with_free_nats,
)
from sofdata.models.common.init import init_weights, learned_vectors
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.eyes import FRAME, observed_tokens
from sofdata.models.skill.flow_decoder import DecoderShape, FlowDecoder
from sofdata.models.skill.fsq import FSQ
from sofdata.models.skill.pixels import (
    GRID,
    TURNS,
    FlowEncoder,
    image_encoder,
    observation_of,
    reduced,
    resized,
    turned,
)
from sofdata.types import Batch, Skill

_Z_RANGE = 2.0  # tanh is nearly flat beyond


@dataclass(frozen=True, slots=True)
class FlowShape:
    """The dataset's windows: L steps, stored side h = w in px, 99th percentile of |flow| in px."""

    steps: int
    size: int
    p99_px: float


class SkillVAE(nn.Module):
    """Encodes windows of flow as skills, and decodes skills into flow.

    code_dim: D. tokens: n. codebook_size: V, 0 for kl. observation_shape: (P, C).
    """

    def __init__(self, config: SkillConfig, shape: FlowShape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.detail = min(config.detail, shape.size)
        if shape.size % self.detail or self.detail % GRID or shape.steps < 1:
            raise ConfigError(
                f"windows of {shape.steps} steps at {shape.size} px do not fit skill.model.detail "
                f"{config.detail}: the stored side must be a multiple of it, and it of {GRID}"
            )
        self.fsq = FSQ(config.levels) if config.bottleneck == "fsq" else None
        self.code_dim = len(config.levels) if self.fsq else config.latent_dim
        self.codebook_size = self.fsq.codebook_size if self.fsq else 0
        self.tokens = config.tokens
        self.observation_shape = (observed_tokens(config), config.channels[2])
        self.frame = image_encoder(config, config.channels)
        self.flow = FlowEncoder(self.detail, config.channels, config.width)
        self.decoder = FlowDecoder(
            DecoderShape(
                size=self.detail,
                width=config.width,
                stride=self._unit_px / (shape.size / 2),
                parts=config.parts,
            )
        )
        self._build_sequences(config, shape.steps)

    def _build_sequences(self, config: SkillConfig, steps: int) -> None:
        """Layers over steps and codes: those of the encoder, then those of the decoder."""
        width, places = config.width, self.observation_shape[0]
        self.frame_tokens = nn.Linear(config.channels[2], width)
        self.frame_places = learned_vectors(places, width, std=0.1)
        self.encoder = self._blocks(config.encoder_blocks, "conv", cross=False)
        self.readers = self._blocks(config.query_blocks, "attention", cross=True)
        mix = "conv" if config.decoder == "transformer" else "gru"
        self.unroll = self._blocks(config.decoder_blocks, mix, cross=True)
        # Biases of attention, learned. At first each code attends to the steps around its own time.
        at = torch.linspace(0, steps - 1, config.tokens)  # time of each code
        near = -(at[:, None] - torch.arange(steps)).square()  # [n, L]
        to_frame = torch.full((1, places), -2.0)
        self.read_bias = nn.Parameter(torch.cat([near, to_frame.expand(config.tokens, -1)], 1))
        self.unroll_bias = nn.Parameter(torch.cat([near.T, to_frame.expand(steps, -1)], 1))
        self.step_places = nn.Parameter(0.1 * sinusoids(torch.arange(steps), width))
        self.step_queries = nn.Parameter(0.1 * sinusoids(torch.arange(steps), width))
        self.queries = nn.Parameter(0.1 * sinusoids(at, width))
        self.code_places = nn.Parameter(0.1 * sinusoids(at, width))
        self.before_code, self.context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_flow = nn.LayerNorm(width)
        numbers = self.code_dim * (1 if self.fsq else 2)  # kl: mean and log variance
        self.to_code = nn.Linear(width, numbers)
        self.from_code = nn.Linear(self.code_dim, width)
        init_weights(self.to_code.weight, std=0.3)
        init_weights(self.from_code.weight, std=1.0)
        self.before_straight = nn.LayerNorm(width)
        self.straight_to_codes = nn.Linear(steps * width, config.tokens * numbers)  # A of Eq. 4
        self.straight_to_steps = nn.Linear(
            config.tokens * self.code_dim, steps * width
        )  # B of Eq. 6
        init_weights(self.straight_to_codes.weight, std=(steps * width) ** -0.5)

    def _blocks(self, number: int, mix: str, cross: bool) -> nn.ModuleList:
        width, heads = self.config.width, self.config.heads
        return nn.ModuleList(StepBlock(width, heads, mix, cross) for _ in range(number))

    # Use

    def encode(self, flow: Tensor, first: Tensor, mask: Tensor) -> Skill:
        """The skill of each window, which does not depend on the others of the batch.

        flow: float32 [B,L,2,h,w] in px a step; first: uint8 [B,3,H,W]; mask: bool [B,L].
        """
        z = self.posterior(flow, first, mask)  # [B, n, D], kl: [B, n, 2 * D]
        if self.fsq is not None:
            codes = self.fsq(z)  # Eq. 5
            return Skill(codes, self.fsq.tokens_of(codes))
        mean, _ = split(z)
        return Skill(mean, mean.new_zeros(len(mean), 0, dtype=torch.int64))

    def skill_of(self, batch: Batch) -> Skill:
        """The skills of a batch's windows."""
        return self.encode(batch.flow, batch.first, batch.mask)

    def decode(self, codes: Tensor, first: Tensor) -> Tensor:
        """Codes [B,n,D] and first frames uint8 [B,3,H,W] to flow float32 [B,L,2,h,w], px a step."""
        image = reduced(first, self.config.image_px)
        flow = self._unroll(codes, self.frame(image), image) * self._unit_px  # [B, L, 2, s, s]
        if self.detail == self.shape.size:
            return flow
        steps = flow.flatten(0, 1)  # [B * L, 2, s, s]
        large = nnf.interpolate(steps, (self.shape.size,) * 2, mode="bicubic")  # [B * L, 2, h, w]
        return large.unflatten(0, flow.shape[:2])  # [B, L, 2, h, w]

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] of any size to an observation, float32 [B,P,C], layer-normalised."""
        return observation_of(self.frame(image))

    def codes_of(self, tokens: Tensor) -> Tensor:
        """Tokens int64 [...,n] to codes float32 [...,n,D]; FSQ only."""
        return self._quantiser().codes_of(tokens)

    def tokens_of(self, codes: Tensor) -> Tensor:
        """Codes [...,n,D] to tokens int64 [...,n]; FSQ only."""
        return self._quantiser().tokens_of(codes)

    def _quantiser(self) -> FSQ:
        if self.fsq is None:
            raise ContractError("a skill model with bottleneck=kl has no tokens")
        return self.fsq

    def posterior(self, flow: Tensor, first: Tensor, mask: Tensor) -> Tensor:
        """The input of the bottleneck: [B,n,D], or for kl mean and log variance, [B,n,2D]."""
        return self._posterior(self._shrink(flow), self.frame(first), mask)

    # Encoder and decoder

    @property
    def _unit_px(self) -> float:
        """A normalised flow of 1 in px a step at the stored size: the dataset's 99th percentile."""
        return max(self.shape.p99_px, 1e-3)

    def _posterior(self, flow: Tensor, frame: Tensor, mask: Tensor) -> Tensor:
        """Normalised flow [B,L,2,s,s] and frame features [B,C,...] to z, Eq. 1 to 4.

        L may be less than the model's.
        """
        (batch, steps), places = mask.shape, self.observation_shape[0]
        if steps > self.shape.steps:
            raise ContractError(f"windows of {steps} steps for a model of {self.shape.steps}")
        x = self.flow(flow.flatten(0, 1))  # Eq. 2: [B, L, 2, s, s] -> [B * L, W]
        x = x.unflatten(0, (batch, steps)) + self.step_places[:steps]  # [B, L, W]
        for block in self.encoder:  # Eq. 3
            x = block(x, mask)
        context = self.context(torch.cat([x, self._frame_tokens(frame)], 1))  # [B, L + P, W]
        keep = torch.cat([mask, mask.new_ones(batch, places)], 1)  # [B, L + P]
        bias = torch.cat([self.read_bias[:, :steps], self.read_bias[:, -places:]], 1)  # [n, L + P]
        queries = self.queries.expand(batch, -1, -1)  # [B, n, W]
        for block in self.readers:
            queries = block(queries, None, context, keep, bias)
        # A weight of unit scale, divided in use: AdamW's steps, whose size does not depend on the
        # scale of a weight, then change codes slowly.
        weight = self.to_code.weight * self.config.width**-0.5
        read = nnf.linear(self.before_code(queries), weight, self.to_code.bias)  # [B, n, D]
        straight = self.before_straight(x) * mask[..., None]
        straight = nnf.pad(straight, (0, 0, 0, self.shape.steps - steps)).flatten(1)  # [B, L * W]
        return read + self.straight_to_codes(straight).view_as(read)  # Eq. 4: [B, n, D]

    def _unroll(
        self, codes: Tensor, frame: Tensor, image: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Codes [B,n,D] to normalised flow [B,M,2,s,s] of M chosen steps, or of all L.

        frame: features [B,C,...] of the image, as `reduced` gives it. chosen: int64 [B,M].
        """
        read = self.from_code(codes) + self.code_places  # [B, n, W]
        context = self.context(torch.cat([read, self._frame_tokens(frame)], 1))  # [B, n + P, W]
        straight = self.straight_to_steps(codes.flatten(1))  # [B, n * D] -> [B, L * W]
        x = self.step_queries + straight.unflatten(1, self.step_queries.shape)  # [B, L, W]
        for block in self.unroll:  # Eq. 6
            x = block(x, None, context, None, self.unroll_bias)
        image = resized(image, FRAME)
        flow: Tensor = self.decoder(self.before_flow(x), image, chosen)  # Eq. 7 to 9
        return flow.float()

    def _frame_tokens(self, frame: Tensor) -> Tensor:
        """Frame features [B,C,...] to tokens [B,P,W]."""
        return self.frame_tokens(observation_of(frame)) + self.frame_places

    def _shrink(self, flow: Tensor) -> Tensor:
        """Flow [B,L,2,h,w] in px a step to normalised flow [B,L,2,s,s]."""
        flow = flow / self._unit_px
        factor = flow.shape[-1] // self.detail
        if factor == 1:
            return flow
        small = nnf.avg_pool2d(flow.flatten(0, 1), factor)  # [B * L, 2, s, s]
        return small.unflatten(0, flow.shape[:2])  # [B, L, 2, s, s]

    # Training

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over samples of the motion-weighted Huber loss of each one's real steps (Eq. 14).

        Noise, mirroring and which steps are decoded depend on sample and step alone, so that a
        batch may be split.
        """
        config = self.config
        flow = self._shrink(batch.flow)
        image = reduced(batch.first, config.image_px)
        if self.training and config.mirror:
            flow, image = turned(flow, image, turns_of(batch.keys, step).to(flow.device))
        frame = self.frame(image)
        z = self._posterior(flow, frame, batch.mask)
        codes, extra, metrics = self._bottleneck(z, batch.keys, step)
        real = batch.mask[:, :, None, None, None]  # [B, L, 1, 1, 1]
        chosen = None
        if self.training and 0 < config.decoded_steps < flow.shape[1]:
            chosen = steps_of(batch.keys, step, batch.mask, config.decoded_steps)
            rows = torch.arange(len(flow), device=flow.device)[:, None]
            flow, real = flow[rows, chosen], real[rows, chosen]  # [B, M, 2, s, s], [B, M, 1, 1, 1]
        predicted = self._unroll(codes, frame, image, chosen)[:, : flow.shape[1]]
        speed = flow.square().sum(2, keepdim=True).sqrt()  # [B, M, 1, s, s]
        weight = (1 + config.motion_weight * speed.clamp(max=1)) * real  # Eq. 13
        error = nnf.huber_loss(predicted, flow, reduction="none", delta=config.huber_delta)
        means = (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)  # [B]
        reconstruction = means.mean() / 2  # Eq. 14: weights are summed once for dx and dy
        with torch.no_grad():
            missed = ((predicted - flow).square() * real).sum()
            metrics["energy_explained"] = 1 - missed / (flow.square() * real).sum().clamp(min=1e-6)
        return reconstruction + extra, {"reconstruction": reconstruction.detach(), **metrics}

    def latent(self, batch: Batch, step: int) -> Tensor:
        """Codes [B,n,D] of a batch's windows as `loss` draws them, with gradients."""
        z = self.posterior(batch.flow, batch.first, batch.mask)
        return self._bottleneck(z, batch.keys, step)[0]

    def _bottleneck(
        self, z: Tensor, keys: Sequence[str], step: int
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Codes [B,n,D] of the bottleneck's input, their penalty, and metrics to log (Eq. 5)."""
        config = self.config
        if self.fsq is not None:
            codes = self.fsq(z)
            cost = config.range_weight * (z.abs() - _Z_RANGE).relu().square().mean()
            used = self.fsq.tokens_of(codes.detach()).unique().numel()
            return codes, cost, {"codes_in_batch": z.new_tensor(float(used))}
        mean, logvar = split(z)
        noise = noise_of(keys, step, tuple(mean.shape[1:])).to(mean.device)
        kl = kl_nats(mean, logvar)
        weight = config.kl_weight * warm_up(step, config.kl_warmup_steps)
        cost = weight * with_free_nats(kl, config.free_nats).flatten(1).sum(1).mean()
        codes = reparametrise(mean, logvar, noise) if self.training else mean
        return codes, cost, {"kl_nats": kl.detach().flatten(1).sum(1).mean()}

    def spec(self) -> dict[str, Any]:
        """What rebuilds this model, with its `state_dict`."""
        return {"config": identity(self.config), "shape": asdict(self.shape)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """A model of the same build, with weights that are loaded afterwards."""
        config = SkillConfig.parse(completed(SkillConfig, spec["config"]))
        return cls(config, FlowShape(**spec["shape"]))


def turns_of(keys: Sequence[str], step: int) -> Tensor:
    """By which of 8 reflections and rotations each sample is augmented at a step: int64 [B]."""
    return torch.tensor([zlib.crc32(f"{key}:{step}".encode()) % TURNS for key in keys])


def steps_of(keys: Sequence[str], step: int, mask: Tensor, number: int) -> Tensor:
    """Which steps of each sample are decoded at a step: int64 [B,number], real ones first."""
    sources = [np.random.default_rng(zlib.crc32(f"{key}:{step}".encode())) for key in keys]
    draws = np.stack([source.random(mask.shape[1]) for source in sources])
    order = torch.from_numpy(draws).to(mask.device) + ~mask
    return order.argsort(1)[:, :number]
