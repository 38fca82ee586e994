"""The skill VAE: a window of flow to a few codes, and codes and first frame back to flow.

The first of the three models of SOF (arXiv 2512.20052), which learns what can be done from flow
alone. The paper names its parts and publishes neither sizes nor values: those are ours.

    flow ─► CNN a step ─► over steps ─► n queries ─► bottleneck ─► n codes of D numbers
                 first frame ─► CNN ─────┴──────────────┐
                            codes ─► L step queries ─► FlowDecoder ─► flow

About 2 M parameters at the default sizes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as nnf

from sofdata.errors import ConfigError, ContractError
from sofdata.models.fsq import FSQ
from sofdata.models.gaussian import kl_nats, noise_of, reparametrise, split, warm_up, with_free_nats
from sofdata.models.layers import StepBlock, sinusoids
from sofdata.models.pixels import (
    GRID,
    TURNS,
    FlowDecoder,
    FlowEncoder,
    FrameEncoder,
    Pyramid,
    reduced,
    turned,
)
from sofdata.models.skill_metrics import SkillEvaluation
from sofdata.settings import Section
from sofdata.types import Batch, Skill

PLACES = 16  # tokens of an observation: 4 x 4
_Z_RANGE = 2.0  # tanh is nearly flat beyond


class SkillConfig(Section):
    """The skill VAE. The SOF paper publishes none of these values: the defaults are ours."""

    bottleneck: Literal["fsq", "kl"] = Field(
        "fsq",
        description="'fsq': codes of finite scalar quantisation; 'kl': a Gaussian. Default ours.",
    )
    levels: tuple[int, ...] = Field(
        (8, 5, 5, 5),
        description="Levels of each dimension of a code (fsq); their product is the size of the "
        "codebook. 1,000 codes, as the FSQ paper advises for about 2^10. The choice is ours.",
    )
    tokens: Annotated[int, Field(ge=1)] = Field(8, description="n, codes a window. Default ours.")
    latent_dim: Annotated[int, Field(ge=1)] = Field(
        8, description="Numbers a code (kl). Default ours."
    )
    decoder: Literal["transformer", "rnn"] = Field(
        "transformer", description="What unrolls codes into steps; rnn: a GRU. Default ours."
    )
    width: Annotated[int, Field(ge=8)] = Field(192, description="Features a step. Default ours.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Attention heads. Default ours.")
    encoder_blocks: Annotated[int, Field(ge=0)] = Field(
        1, description="Blocks over the steps before the queries. Default ours."
    )
    query_blocks: Annotated[int, Field(ge=1)] = Field(
        1, description="Blocks in which the queries read steps and frame. Default ours."
    )
    decoder_blocks: Annotated[int, Field(ge=1)] = Field(
        1, description="Blocks that unroll codes into steps. Default ours."
    )
    channels: tuple[int, int, int] = Field(
        (16, 48, 96),
        description="Channels at 16 x 16, 8 x 8 and 4 x 4 cells; the last is the width of an "
        "observation. Default ours.",
    )
    detail: Annotated[int, Field(ge=GRID)] = Field(
        32,
        description="Side in px at which flow is read and predicted, at most that of the data, to "
        "which it is then resized. Default ours: flow is smooth, and 64 costs three times as much.",
    )
    masks: Annotated[int, Field(ge=1)] = Field(
        8, description="Soft outlines that each step moves. Default ours."
    )
    movers: Annotated[int, Field(ge=0)] = Field(
        4,
        description="Groups of the frame's features that move along with the flow; 0: none. Must "
        "divide the first two channels. Default ours.",
    )
    mirror: bool = Field(
        True, description="In training, lay each window in one of 8 ways. Default ours."
    )
    motion_weight: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="How much more a pixel counts that moves at the dataset's 99th percentile than "
        "one that rests. Default ours.",
    )
    huber_delta: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Error, in units of that percentile, from which the loss is linear. Ours."
    )
    range_weight: Annotated[float, Field(ge=0)] = Field(
        0.01,
        description="Penalty on what enters the quantiser (fsq) beyond +-2, where its gradient "
        "vanishes. Default ours.",
    )
    kl_weight: Annotated[float, Field(ge=0)] = Field(
        1e-5, description="Weight of a nat (kl). Default ours."
    )
    kl_warmup_steps: Annotated[int, Field(ge=0)] = Field(
        500, description="Steps until that weight is reached (kl). Default ours."
    )
    free_nats: Annotated[float, Field(ge=0)] = Field(
        0.05, description="Nats a dimension that cost nothing (kl). Default ours."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.levels or min(self.levels) < 3:
            raise ValueError(f"levels {list(self.levels)} must be three or more in each dimension")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.detail % GRID:
            raise ValueError(f"detail {self.detail} is no multiple of {GRID}")
        if self.movers and any(count % self.movers for count in self.channels[:2]):
            raise ValueError(f"movers {self.movers} do not divide channels {self.channels[:2]}")
        return self


@dataclass(frozen=True, slots=True)
class FlowShape:
    """Of the dataset that is trained on: L, the stored side in px, and the p99 magnitude in px."""

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
        self.observation_shape = (PLACES, config.channels[2])
        self.frame = FrameEncoder(config.channels)
        self.flow = FlowEncoder(self.detail, config.channels, config.width)
        self.decoder = FlowDecoder(
            self.detail, config.channels, config.width, config.masks, config.movers
        )
        self._build_sequences(config, shape.steps)

    def _build_sequences(self, config: SkillConfig, steps: int) -> None:
        """The parts that work on steps and codes."""
        width = config.width
        self.frame_tokens = nn.Linear(config.channels[2], width)
        self.frame_places = nn.Parameter(0.1 * torch.randn(PLACES, width))
        self.encoder = self._blocks(config.encoder_blocks, "conv", reads=False)
        self.readers = self._blocks(config.query_blocks, "attention", reads=True)
        mix = "conv" if config.decoder == "transformer" else "gru"
        self.unroll = self._blocks(config.decoder_blocks, mix, reads=True)
        # Codes are spread over time to begin with: each looks at the steps around its own place.
        at = torch.linspace(0, steps - 1, config.tokens)
        near = -(at[:, None] - torch.arange(steps)).square()
        to_frame = torch.full((1, PLACES), -2.0)
        self.read_bias = nn.Parameter(torch.cat([near, to_frame.expand(config.tokens, -1)], 1))
        self.unroll_bias = nn.Parameter(torch.cat([near.T, to_frame.expand(steps, -1)], 1))
        self.step_places = nn.Parameter(0.1 * sinusoids(torch.arange(steps), width))
        self.step_queries = nn.Parameter(0.1 * sinusoids(torch.arange(steps), width))
        self.queries = nn.Parameter(0.1 * sinusoids(at, width))
        self.code_places = nn.Parameter(0.1 * sinusoids(at, width))
        self.before_code, self.context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_flow = nn.LayerNorm(width)
        self.to_code = nn.Linear(width, self.code_dim * (1 if self.fsq else 2))
        self.from_code = nn.Linear(self.code_dim, width)
        nn.init.normal_(self.to_code.weight)  # divided by sqrt(width) where it is used
        nn.init.normal_(self.from_code.weight)

    def _blocks(self, number: int, mix: str, reads: bool) -> nn.ModuleList:
        width, heads = self.config.width, self.config.heads
        return nn.ModuleList(StepBlock(width, heads, mix, reads) for _ in range(number))

    # What it does

    def encode(self, flow: Tensor, first: Tensor, mask: Tensor) -> Skill:
        """The skill of each window; the same for a window whatever the others of the batch.

        flow: float32 [B,L,2,h,w] in px a step; first: uint8 [B,3,H,W]; mask: bool [B,L].
        """
        z = self.posterior(flow, first, mask)
        if self.fsq is not None:
            codes = self.fsq(z)
            return Skill(codes, self.fsq.tokens_of(codes))
        mean, _ = split(z)
        return Skill(mean, mean.new_zeros(len(mean), 0, dtype=torch.int64))

    def skill_of(self, batch: Batch) -> Skill:
        """The skills of a batch's windows."""
        return self.encode(batch.flow, batch.first, batch.mask)

    def decode(self, codes: Tensor, first: Tensor) -> Tensor:
        """Codes [B,n,D] and first frames uint8 [B,3,H,W] to flow float32 [B,L,2,h,w], px a step."""
        flow = self._unroll(codes, self.frame(first)) * self.shape.p99_px
        if self.detail == self.shape.size:
            return flow
        large = nnf.interpolate(flow.flatten(0, 1), (self.shape.size,) * 2, mode="bilinear")
        return large.unflatten(0, flow.shape[:2])

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] of any size to an observation, float32 [B,P,C], layer-normalised."""
        return _normalised(self.frame(image))

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
        """What enters the bottleneck: [B,n,D], or for kl mean and log variance, [B,n,2D]."""
        return self._posterior(self._shrink(flow), self.frame(first), mask)

    # How it does it

    def _posterior(self, flow: Tensor, frame: Pyramid, mask: Tensor) -> Tensor:
        batch, steps = mask.shape
        if steps > self.shape.steps:
            raise ContractError(f"windows of {steps} steps for a model of {self.shape.steps}")
        x = self.flow(flow.flatten(0, 1)).unflatten(0, (batch, steps)) + self.step_places[:steps]
        for block in self.encoder:
            x = block(x, mask)
        context = self.context(torch.cat([x, self._picture(frame)], 1))
        keep = torch.cat([mask, mask.new_ones(batch, PLACES)], 1)
        bias = torch.cat([self.read_bias[:, :steps], self.read_bias[:, -PLACES:]], 1)
        queries = self.queries.expand(batch, -1, -1)
        for block in self.readers:
            queries = block(queries, None, context, keep, bias)
        # A weight of unit scale and a divisor outside: so AdamW moves codes slowly.
        weight = self.to_code.weight * self.config.width**-0.5
        return nnf.linear(self.before_code(queries), weight, self.to_code.bias)

    def _unroll(self, codes: Tensor, frame: Pyramid) -> Tensor:
        """Codes to normalised flow [B,L,2,detail,detail]."""
        read = self.from_code(codes) + self.code_places
        context = self.context(torch.cat([read, self._picture(frame)], 1))
        x = self.step_queries.expand(len(codes), -1, -1)
        for block in self.unroll:
            x = block(x, None, context, None, self.unroll_bias)
        flow: Tensor = self.decoder(self.before_flow(x), frame)
        return flow.float()

    def _picture(self, frame: Pyramid) -> Tensor:
        return self.frame_tokens(_normalised(frame)) + self.frame_places

    def _shrink(self, flow: Tensor) -> Tensor:
        """Flow in px a step, to normalised flow at the side that the model works at."""
        flow = flow / max(self.shape.p99_px, 1e-3)
        factor = flow.shape[-1] // self.detail
        if factor == 1:
            return flow
        return nnf.avg_pool2d(flow.flatten(0, 1), factor).unflatten(0, flow.shape[:2])

    # How it learns

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over samples of the motion-weighted Huber loss of each one's real steps.

        Noise and mirroring belong to sample and step, however a batch is split.
        """
        config = self.config
        flow, image = self._shrink(batch.flow), reduced(batch.first)
        if self.training and config.mirror:
            flow, image = turned(flow, image, turns_of(batch.keys, step).to(flow.device))
        frame = self.frame(image)
        z = self._posterior(flow, frame, batch.mask)
        codes, extra, metrics = self._bottleneck(z, batch.keys, step)
        predicted = self._unroll(codes, frame)[:, : flow.shape[1]]
        real = batch.mask[:, :, None, None, None]
        speed = flow.square().sum(2, keepdim=True).sqrt()
        weight = (1 + config.motion_weight * speed.clamp(max=1)) * real
        error = nnf.huber_loss(predicted, flow, reduction="none", delta=config.huber_delta)
        sums = (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)
        reconstruction = sums.mean() / 2  # of dx and dy
        with torch.no_grad():
            missed = ((predicted - flow).square() * real).sum()
            metrics["energy_explained"] = 1 - missed / (flow.square() * real).sum().clamp(min=1e-6)
        return reconstruction + extra, {"reconstruction": reconstruction.detach(), **metrics}

    def _bottleneck(
        self, z: Tensor, keys: Sequence[str], step: int
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Codes to decode from, what they cost, and what to log."""
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

    def evaluation(self) -> SkillEvaluation:
        """Held-out flow explained, beside zero flow and the mean flow; use of the codes."""
        return SkillEvaluation(self)

    def spec(self) -> dict[str, Any]:
        """What rebuilds this model, with its `state_dict`."""
        return {"config": self.config.model_dump(mode="json"), "shape": asdict(self.shape)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """A model of the same build, with weights yet to be loaded."""
        return cls(SkillConfig.parse(spec["config"]), FlowShape(**spec["shape"]))


def turns_of(keys: Sequence[str], step: int) -> Tensor:
    """In which of 8 ways each sample is laid at a step: int64 [B]."""
    return torch.tensor([zlib.crc32(f"{key}:{step}".encode()) % TURNS for key in keys])


def _normalised(frame: Pyramid) -> Tensor:
    coarse = frame[2].flatten(2).transpose(1, 2)
    return nnf.layer_norm(coarse, coarse.shape[-1:])
