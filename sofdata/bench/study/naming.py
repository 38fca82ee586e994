"""The actions of videos: named by an action decoder, for policies that are cloned from them.

    windows of videos ─► (flow around them) ─► action decoder ─► (means over windows) ─► actions

Windows overlap where they begin less than a window apart, so that an action lies in several. Each
names it, and their mean errs less. So does the mean of several decoders trained from other seeds,
and by how much these differ tells where they are to be trusted. Since a video is known beyond its
windows, a decoder can also read what was seen around a window (condition "motion"), which no policy
can. Where a hand goes is seen, so that a decoder may name it that is not told the task; what a
gripper does often is not, and another, which is told, names that (`naming.told`). Equation numbers
(Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.memory import MemoryWindows
from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.types import ActionBatch, Batch

_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Every step of flow of some videos once.

    flow: [T,2,h,w], zero where no window holds a step. start: int64 [M], the place of the first
    step of each window; low, high: int64 [M], where its video begins and ends.
    """

    flow: Tensor
    start: Tensor
    low: Tensor
    high: Tensor

    def around(self, rows: Tensor, steps: int, context: int) -> Tensor:
        """Flow [B,L+2c,2,h,w] of windows of L `steps` and around them, zero beyond their videos."""
        places = self.start[rows, None] + torch.arange(-context, steps + context)  # [B, L + 2c]
        inside = (places >= self.low[rows, None]) & (places < self.high[rows, None])
        flow = self.flow[places.clamp(0, len(self.flow) - 1)].float()
        return flow * inside[:, :, None, None, None]


def timeline(windows: MemoryWindows, stride: int) -> Timeline:
    """The steps of windows that begin `stride` steps apart.

    A window's number, the end of its key, counts from the beginning of its video.
    """
    batch = windows.batch
    videos, numbers = zip(*(key.rsplit("-", 1) for key in batch.keys), strict=True)
    _, video = np.unique(np.array(videos), return_inverse=True)  # [M]
    begin = np.array(numbers, dtype=np.int64) * stride  # in steps of its video
    lengths = batch.mask.sum(1).numpy()
    ends = np.zeros(video.max() + 1, np.int64)
    np.maximum.at(ends, video, begin + lengths)
    low = np.concatenate([[0], ends.cumsum()])  # [V + 1]
    start = torch.from_numpy(low[video] + begin)
    flow = batch.flow.new_zeros(int(low[-1]), *batch.flow.shape[2:])
    real = batch.mask.nonzero()  # [R, 2]: window and step
    flow[start[real[:, 0]] + real[:, 1]] = batch.flow[real[:, 0], real[:, 1]]
    bounds = [torch.from_numpy(values) for values in (low[video], low[video + 1])]
    return Timeline(flow, start, *bounds)


def with_context(windows: MemoryWindows, stride: int, context: int) -> MemoryWindows:
    """The same windows with the flow of `context` steps before and after each."""
    if not context:
        return windows
    rows = torch.arange(len(windows))
    flow = timeline(windows, stride).around(rows, windows.batch.mask.shape[1], context)
    return replace(windows, batch=_wider(windows.batch, flow.half()))


def _wider(batch: Batch, flow: Tensor) -> Batch:
    mask = torch.ones(flow.shape[:2], dtype=torch.bool)
    return replace(batch, flow=flow, mask=mask)


@torch.no_grad()
def named_actions(
    windows: MemoryWindows,
    decoders: Sequence[ActionDecoder],
    teller: ActionDecoder | None,
    config: BenchConfig,
) -> MemoryWindows:
    """Windows with the actions that decoders read off what happens in them, the mean of theirs;
    where `naming.trust` says so with weights, by how much they agree.

    teller: the decoder that names the dimensions of `naming.told` (Eq. 39); None where these are
        not set.

    Raises `ConfigError` where means over windows are wanted and actions do not fit the steps, or
    where an action has not the dimensions that are told.
    """
    each = torch.stack([_named(windows, decoder, config) for decoder in decoders])  # [E, M, N, A]
    decoder = decoders[0]
    mean, regressed = each.mean(0), decoder.get_buffer("_regressed").nonzero().flatten().tolist()
    if teller is not None:
        told = _told_dimensions(config, mean.shape[2])
        mean[..., told] = _named(windows, teller, config)[..., told]
        regressed = [dimension for dimension in regressed if dimension not in told]
    per_step = None if config.ingest.windows.cut == "fixed" else config.step_frames
    found = windows.with_actions(decoder.finish(mean).values, per_step)
    if not config.naming.trust:
        return found
    spread = each[..., regressed].std(0, correction=0).mean(2)  # [M, N]
    return replace(found, weights=trusted(spread, config.naming.trust))


def _told_dimensions(config: BenchConfig, size: int) -> list[int]:
    told = config.naming.told or ()
    if bad := [each for each in told if not -size <= each < size]:
        raise ConfigError(
            f"naming.told has dimension {bad[0]}, but actions have {size}: 0 to {size - 1}, or "
            f"-{size} to -1 from the end"
        )
    return [each % size for each in told]


def trusted(spread: Tensor, trust: float) -> Tensor:
    """How much actions count, 0 to 1, that were named with such a spread (Eq. 38)."""
    return 1 / (1 + (trust * spread).square())


@torch.no_grad()
def _named(windows: MemoryWindows, decoder: ActionDecoder, config: BenchConfig) -> Tensor:
    """Normalised actions [M,N,A] that one decoder names."""
    stride, context = config.ingest.windows.stride, decoder.config.context
    steps = windows.batch.mask.shape[1]
    windows = replace(windows, second=None)  # what names actions reads no second camera
    line = timeline(windows, stride) if context or config.naming.overlap else None
    parts = []
    for begin in range(0, len(windows), _AT_ONCE):
        rows = torch.arange(begin, min(begin + _AT_ONCE, len(windows)))
        batch = windows.rows(rows.tolist())
        if line is not None and context:
            batch = _wider(batch, line.around(rows, steps, context))
        parts.append(decoder.named(batch, windows.images(rows.tolist())))
    named = torch.cat(parts)  # [M, N, A]
    if line is not None and config.naming.overlap:
        named = _mean_over_windows(named, line, windows.batch.mask)
    return named


def _mean_over_windows(named: Tensor, line: Timeline, mask: Tensor) -> Tensor:
    """Each action as the mean of what all windows [M,N,A] that hold it say (Eq. 37)."""
    actions, steps = named.shape[1], mask.shape[1]
    if actions % steps:
        raise ConfigError(
            f"naming.overlap needs a whole number of actions a step: a window of {steps} steps has "
            f"{actions}. Change step_frames, or set naming.overlap=false"
        )
    rate = actions // steps
    places = line.start[:, None] * rate + torch.arange(actions)  # [M, N]
    real = mask.repeat_interleave(rate, 1)  # [M, N]
    sums = named.new_zeros(len(line.flow) * rate, named.shape[2] + 1)
    one = named.new_ones(*named.shape[:2], 1)
    sums.index_add_(0, places[real], torch.cat([named, one], 2)[real])
    found = sums[places.clamp(max=len(sums) - 1)]  # [M, N, A + 1]
    return torch.where(real[..., None], found[..., :-1] / found[..., -1:].clamp(min=1), named)


def naming_error(
    windows: MemoryWindows,
    decoders: Sequence[ActionDecoder],
    teller: ActionDecoder | None,
    config: BenchConfig,
) -> dict[str, float]:
    """How far named actions are from those that were taken, over all windows.

    error: mean absolute error over regressed dimensions, in standard deviations of the training
    demonstrations; error_0 and so on: of each of them; trusted: the mean error weighted as a clone
    weighs actions, where it does; bias: the root mean square of signed errors
    over tasks and dimensions. gripper: share of right values of a gripper that has two.
    """
    decoder, found_windows = decoders[0], named_actions(windows, decoders, teller, config)
    true, named = windows.batch, found_windows.batch
    assert isinstance(true, ActionBatch)
    assert isinstance(named, ActionBatch)
    number = min(true.actions.shape[1], named.actions.shape[1])
    real = true.action_mask[:, :number] & named.action_mask[:, :number]
    gap = decoder.normalise(named.actions[:, :number]) - decoder.normalise(true.actions[:, :number])
    regressed = decoder.get_buffer("_regressed").nonzero().flatten().tolist()
    found = {"error": float(gap[real][:, regressed].abs().mean())}
    found |= {f"error_{each}": float(gap[real][:, each].abs().mean()) for each in regressed}
    if found_windows.weights is not None:
        weights = found_windows.weights[:, :number][real]
        errors = gap[real][:, regressed].abs().mean(1)
        found["trusted"] = float((errors * weights).sum() / weights.sum())
    tasks = [true.text_ids == text for text in sorted(set(true.text_ids.tolist()))]
    means = [gap[task][real[task]].mean(0) for task in tasks]
    found["bias"] = float(torch.stack(means)[:, regressed].square().mean().sqrt())
    if decoder.switch is not None:
        wrong = gap[real][:, decoder.switch].abs() > 1e-3
        found["gripper"] = 1 - float(wrong.float().mean())
    return found
