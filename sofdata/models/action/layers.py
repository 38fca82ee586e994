"""The layers of the action decoder: readers of skills and of flow, and the heads.

All readers give features for each of the N actions of a chunk. All is float32, without dropout
and without statistics over the batch, so that a sample's actions depend on that sample alone.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sofdata.errors import ConfigError, ContractError
from sofdata.models.common.attention import Attention
from sofdata.models.common.init import learned_vectors

_GRID = 4  # side of the grid of features that a step of flow is reduced to


class TokenReader(nn.Module):
    """N learned queries that attend to each other, to observation and skill (Eq. 22).

    Layers are those of the decoder of Vaswani et al. 2017 (arXiv 1706.03762), normalised before
    each block; there is one query for each action of the chunk, as in ACT (Zhao et al. 2023, arXiv
    2304.13705). Equation numbers are those of docs/models.md.
    """

    def __init__(
        self,
        chunk: int,
        observation: tuple[int, int],
        skill: tuple[int, int] | None,
        *,
        width: int,
        layers: int,
        heads: int,
        task: int | None = None,
    ) -> None:
        """chunk: N. observation: its (P, C). skill: its (n, D), and task: its width E, or None to
        go without."""
        super().__init__()
        self.observation = _Tokens(*observation, width)
        self.skill = None if skill is None else _Tokens(*skill, width)
        self.task = None if task is None else _Tokens(1, task, width)
        self.queries = learned_vectors(chunk, width, std=1.0)
        self.layers = nn.ModuleList(_ReadBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, observation: Tensor, codes: Tensor, task: Tensor | None = None) -> Tensor:
        """observation [B,P,C], codes [B,n,D] and task [B,E] to features [B,N,width]."""
        memory = self.observation(observation)
        if self.skill is not None:
            memory = torch.cat([memory, self.skill(codes)], dim=1)  # [B, P + n, width]
        if self.task is not None:
            asked = self.task(_wanted(task)[:, None])  # [B, 1, width]
            memory = torch.cat([memory, asked], dim=1)  # [B, P + n + 1, width]
        hidden = self.queries.expand(len(memory), -1, -1)  # [B, N, width]
        for layer in self.layers:
            hidden = layer(hidden, memory)
        features: Tensor = self.norm(hidden)
        return features


class FlatReader(nn.Module):
    """The N actions' features at once, by a network over everything laid flat (Eq. 28).

    Observation, skill and task each have a linear map of their own into the network, so that the
    few numbers of a skill begin with as much weight as the many of an image.
    """

    def __init__(
        self,
        chunk: int,
        observation: tuple[int, int],
        skill: tuple[int, int] | None,
        *,
        width: int,
        head_width: int,
        task: int | None = None,
    ) -> None:
        """As of `TokenReader`; head_width: of the network."""
        super().__init__()
        self.chunk = chunk
        self.observation = nn.Linear(math.prod(observation), head_width)
        self.skill = None if skill is None else nn.Linear(math.prod(skill), head_width)
        self.task = None if task is None else nn.Linear(task, head_width)
        self.network = nn.Sequential(
            nn.GELU(),
            nn.Linear(head_width, head_width),
            nn.GELU(),
            nn.Linear(head_width, chunk * width),
        )

    def forward(self, observation: Tensor, codes: Tensor, task: Tensor | None = None) -> Tensor:
        """observation [B,P,C], codes [B,n,D] and task [B,E] to features [B,N,width]."""
        hidden = self.observation(observation.flatten(1))  # [B, P * C] -> [B, head_width]
        if self.skill is not None:
            hidden = hidden + self.skill(codes.flatten(1))  # [B, n * D]
        if self.task is not None:
            hidden = hidden + self.task(_wanted(task))
        features: Tensor = self.network(hidden).unflatten(1, (self.chunk, -1))  # [B, N, width]
        return features


class SumReader(nn.Module):
    """The sum of what a `TokenReader` and a `FlatReader` give."""

    def __init__(self, tokens: nn.Module, flat: nn.Module) -> None:
        super().__init__()
        self.tokens, self.flat = tokens, flat

    def forward(self, observation: Tensor, codes: Tensor, task: Tensor | None = None) -> Tensor:
        """observation [B,P,C], codes [B,n,D] and task [B,E] to features [B,N,width]."""
        features: Tensor = self.tokens(observation, codes, task)
        return features + self.flat(observation, codes, task)


def _wanted(task: Tensor | None) -> Tensor:
    if task is None:
        raise ContractError("a decoder that was built for tasks needs the task")
    return task


class _Tokens(nn.Module):
    """Tokens [B,number,size], each with its place, to [B,number,width]."""

    def __init__(self, number: int, size: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, width)
        self.places = learned_vectors(number, width, std=0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        placed: Tensor = self.linear(tokens) + self.places
        return placed


class _ReadBlock(nn.Module):
    """Queries [B,N,W] attend to each other, then to a memory [B,M,W]; then a small network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.between = Attention(width, heads)
        self.across = Attention(width, heads)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        inner = self.norms[0](queries)
        queries = queries + self.between(inner, inner)
        queries = queries + self.across(self.norms[1](queries), memory)
        read: Tensor = queries + self.network(self.norms[2](queries))
        return read


class FlowReader(nn.Module):
    """Features of the actions from flow alone: inverse dynamics.

    A small CNN reads each step, convolutions over time mix neighbouring steps, and the features are
    then resampled at the times of the N actions. Actions are spread evenly over the window as steps
    are: the middle of action i is at the fraction (i + 0.5) / N of the window, that of step l at
    (l + 0.5) / L. Features are interpolated linearly between the middles of the steps.
    """

    def __init__(self, chunk: int, *, width: int, layers: int) -> None:
        super().__init__()
        self.chunk = chunk
        self.step = step_features(width)
        self.time = nn.ModuleList(_TimeBlock(width) for _ in range(layers))
        self.places = learned_vectors(chunk, width, std=0.5)
        self.mix = _mlp(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, flow: Tensor) -> Tensor:
        """flow [B,L,2,h,w], of values about 1, to features [B,N,width]."""
        size, steps = flow.shape[:2]
        features = self.step(flow.flatten(0, 1))  # [B, L, 2, h, w] -> [B * L, width]
        hidden = features.reshape(size, steps, -1)  # [B, L, width]
        for block in self.time:
            hidden = block(hidden)
        hidden = at_actions(hidden, self.chunk) + self.places  # [B, N, width]
        mixed: Tensor = self.norm(hidden + self.mix(hidden))
        return mixed


class MotionReader(nn.Module):
    """Features of the actions from the flow of a window and around it, image and task (Eq. 36).

    As `FlowReader`, over `context` steps more at both ends; image and task are added to what is
    read of each action.
    """

    def __init__(
        self,
        chunk: int,
        observation: tuple[int, int],
        steps: int,
        *,
        context: int,
        width: int,
        layers: int,
        task: int | None = None,
    ) -> None:
        """chunk: N. observation: its (P, C). steps: L of a window. task: its width E, or None.

        Raises `ConfigError` where no whole number of actions falls into the context.
        """
        super().__init__()
        if context * chunk % steps:
            raise ConfigError(
                f"context={context} steps hold no whole number of actions, of which a window of "
                f"{steps} steps has {chunk}: give a multiple of {steps // math.gcd(chunk, steps)}"
            )
        self.chunk, self.around = chunk, context * chunk // steps
        self.step = step_features(width)
        self.time = nn.ModuleList(_TimeBlock(width) for _ in range(layers))
        self.observation = nn.Linear(math.prod(observation), width)
        self.task = None if task is None else nn.Linear(task, width)
        self.places = learned_vectors(chunk, width, std=0.5)
        self.mix = _mlp(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, observation: Tensor, flow: Tensor, task: Tensor | None = None) -> Tensor:
        """observation [B,P,C], flow [B,L+2c,2,h,w] of values about 1 and task [B,E] to features
        [B,N,width]."""
        features = self.step(flow.flatten(0, 1))  # [B * (L + 2c), width]
        hidden = features.unflatten(0, flow.shape[:2])  # [B, L + 2c, width]
        for block in self.time:
            hidden = block(hidden)
        hidden = at_actions(hidden, self.chunk + 2 * self.around)
        hidden = hidden[:, self.around : self.around + self.chunk] + self.places  # [B, N, width]
        hidden = hidden + self.observation(observation.flatten(1))[:, None]
        if self.task is not None:
            if task is None:
                raise ContractError("a decoder that was built for tasks needs the task")
            hidden = hidden + self.task(task)[:, None]
        mixed: Tensor = self.norm(hidden + self.mix(hidden))
        return mixed


def step_features(width: int) -> nn.Sequential:
    """A small CNN from a step of flow [B,2,h,w] to features [B,width]."""
    sizes = (2, width // 4, width // 2, width // 2)
    return nn.Sequential(
        *(_Halving(a, b) for a, b in itertools.pairwise(sizes)),
        _Grid(),
        nn.Flatten(),  # rather than a mean over the grid, which would lose where things move
        nn.Linear(sizes[-1] * _GRID * _GRID, width),
    )


def at_actions(steps: Tensor, actions: int) -> Tensor:
    """Features of L steps [B,L,W], interpolated at the times of N `actions`: [B,N,W]."""
    channels = steps.transpose(1, 2)  # [B, W, L]
    read = functional.interpolate(channels, actions, mode="linear", align_corners=False)
    return read.transpose(1, 2)  # [B, W, N] -> [B, N, W]


class _Grid(nn.Module):
    """Means over the cells of a 4 x 4 grid; maps that are one already stay, which costs nothing."""

    def forward(self, maps: Tensor) -> Tensor:
        if tuple(maps.shape[-2:]) == (_GRID, _GRID):
            return maps
        return functional.adaptive_avg_pool2d(maps, _GRID)


class _Halving(nn.Module):
    """A convolution to half the resolution; normalisation would remove the magnitude of flow."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        # Channels last, which a CPU convolves faster at so few channels.
        maps = maps.contiguous(memory_format=torch.channels_last)
        return functional.gelu(self.convolution(maps))


class _TimeBlock(nn.Module):
    """A residual convolution over neighbouring steps, [B,L,W] to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, steps: Tensor) -> Tensor:
        channels = self.norm(steps).transpose(1, 2)  # [B, W, L]
        mixed: Tensor = self.convolution(channels).transpose(1, 2)
        return steps + functional.gelu(mixed)


def _mlp(width: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))


class Heads(nn.Module):
    """Features [B,N,width] to actions [B,N,A], the gripper's dimension from a head of its own."""

    def __init__(self, width: int, size: int, gripper: int | None) -> None:
        super().__init__()
        self.actions = nn.Linear(width, size)
        self.gripper = None if gripper is None else _mlp(width, 1)
        place = torch.zeros(size, dtype=torch.bool)
        if gripper is not None:
            place[gripper] = True
        self.register_buffer("_place", place, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        values: Tensor = self.actions(features)
        if self.gripper is None:
            return values
        return torch.where(self.get_buffer("_place"), self.gripper(features), values)


def draw_offsets(keys: Sequence[str], step: int, most_px: int) -> Tensor:
    """Random (dy, dx) for each sample, int64 [B,2] from -most_px to most_px.

    They depend on sample and step alone, so that a sample is moved alike however a batch is spread
    over ranks, and a resumed run draws the same.
    """
    draws = [hashlib.blake2b(f"{key}:{step}".encode(), digest_size=8).digest() for key in keys]
    pairs = [(int.from_bytes(draw[:4], "big"), int.from_bytes(draw[4:], "big")) for draw in draws]
    return torch.tensor([[n % (2 * most_px + 1) - most_px for n in pair] for pair in pairs])


def shift(maps: Tensor, offsets: Tensor) -> Tensor:
    """Move the view of maps [B,C,H,W] by each sample's (dy, dx) px; the edge is repeated.

    The augmentation of DrQ (Kostrikov et al. 2020, arXiv 2004.13649).
    """
    height, width = maps.shape[2:]
    dy, dx = offsets.to(maps.device).unbind(dim=1)
    rows = (torch.arange(height, device=maps.device) + dy[:, None]).clamp(0, height - 1)  # [B, H]
    columns = (torch.arange(width, device=maps.device) + dx[:, None]).clamp(0, width - 1)  # [B, W]
    moved = maps.gather(2, rows[:, None, :, None].expand_as(maps))
    return moved.gather(3, columns[:, None, None, :].expand_as(maps))
