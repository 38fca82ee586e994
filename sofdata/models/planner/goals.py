"""Later frames of the videos that windows are of: goals by hindsight.

A goal value and subgoals are learned from pairs of a window and a frame that the same video shows
later, so many skills ahead ("hindsight relabelling": Andrychowicz et al., arXiv 1707.01495). A
batch holds windows of many videos, so the last frames of all windows are kept beside it, in the
order of their videos, at the size that the models read. Nothing but frames and times is used: no
actions, no labels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from sofdata.config.section import Section
from sofdata.errors import ConfigError
from sofdata.loading.times import WindowTime
from sofdata.types import Batch

_NEAR = 1e-6  # of a skill


class GoalsConfig(Section):
    """Which frames are goals in training. All of it is ours."""

    windows: Annotated[int, Field(ge=2)] = Field(
        32_768,
        description="Windows whose last frames are kept as goals, at most; at 64 px 12 kB each. "
        "Windows of other videos teach the value and the subgoals nothing.",
    )
    same: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Share of the goals that are reached: what is seen is the goal itself."
    )
    others: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3,
        description="Share of the goals that are frames of any video; the rest are later frames of "
        "the window's own, all equally likely.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class Goals:
    """A goal for each of B windows.

    frames: uint8 [B,3,H,W]. skills: float32 [B], how many skills ahead the video shows it; infinity
    for a frame that the window's video is not known to show, 0 where the goal stands in place of
    the first frame. known: bool [B], False where the window is none of those that are kept.
    """

    frames: Tensor
    skills: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrames:
    """The last frames of windows, video by video, in the order of time.

    rows: of each key. frames: uint8 [M,3,H,W]. start_s, end_s: float64 [M]. last: int64 [M], the
    row that ends the video of each. skill_s: how long a skill lasts: the median window.
    """

    rows: Mapping[str, int]
    frames: Tensor
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    last: NDArray[np.int64]
    skill_s: float

    def rows_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The row of each window, -1 where it is not kept."""
        return np.array([self.rows.get(key, -1) for key in keys], np.int64)

    def ahead(self, batch: Batch, skills: int) -> Goals:
        """The frame so many skills ahead of each window's first, at most the last of its video."""
        rows = self.rows_of(batch.keys)
        places = rows.copy()
        for place in np.flatnonzero(rows >= 0):
            row = rows[place]
            later = self.end_s[row : self.last[row] + 1]
            wanted = self.start_s[row] + (skills - _NEAR) * self.skill_s
            places[place] = row + min(int(np.searchsorted(later, wanted)), len(later) - 1)
        return self._goals(batch, rows, places)

    def ends(self, batch: Batch) -> Goals:
        """How the video of each window ends."""
        rows = self.rows_of(batch.keys)
        return self._goals(batch, rows, np.where(rows < 0, rows, self.last[rows]))

    def drawn(self, batch: Batch, step: int, config: GoalsConfig) -> Goals:
        """Goals by `config`, which depend on sample and step alone."""
        rows, chances = self.rows_of(batch.keys), draws_of(batch.keys, step, "goal", 2)
        kind, place = chances.T
        later = rows + ((self.last[rows] - rows + 1) * place).astype(np.int64)
        anywhere = (len(self.end_s) * place).astype(np.int64)
        others = (kind >= config.same) & (kind < config.same + config.others)
        places = np.where(rows < 0, rows, np.where(others, anywhere, later))
        found = self._goals(batch, rows, places)
        same = torch.from_numpy(kind < config.same).to(found.frames.device)
        return Goals(found.frames, found.skills.masked_fill(same, 0.0), found.known)

    def _goals(self, batch: Batch, rows: NDArray[np.int64], places: NDArray[np.int64]) -> Goals:
        """The last frames of other windows, at `places`."""
        ahead = (self.end_s[places] - self.start_s[rows]) / self.skill_s
        shown = (places >= rows) & (places <= self.last[rows])
        skills = np.where(shown, np.maximum(ahead, 1.0), np.inf)
        device = batch.first.device
        frames = self.frames[torch.from_numpy(places).to(self.frames.device)].to(device)
        return Goals(
            frames,
            torch.from_numpy(skills.astype(np.float32)).to(device),
            torch.from_numpy(rows >= 0).to(device),
        )


def keep_frames(
    batches: Iterable[Batch], times: Mapping[str, WindowTime], most: int, image_px: int
) -> VideoFrames:
    """Keep the last frames of windows, of the first `most` that come, at most `image_px` wide.

    Raises `ConfigError` where none of them has a time.
    """
    keys: list[str] = []
    parts: list[Tensor] = []
    for batch in batches:
        chosen = [row for row, key in enumerate(batch.keys) if key in times][: most - len(keys)]
        keys += [batch.keys[row] for row in chosen]
        parts.append(_small(batch.last[chosen], image_px))
        if len(keys) >= most:
            break
    if not keys:
        raise ConfigError("there are no windows whose later frames could be goals")
    found = [times[key] for key in keys]
    order = sorted(range(len(keys)), key=lambda row: found[row])
    videos = [found[row].video for row in order]
    ends = {video: row for row, video in enumerate(videos)}  # the last row of a video stays
    start_s = np.array([found[row].start_s for row in order])
    end_s = np.array([found[row].end_s for row in order])
    return VideoFrames(
        rows={keys[row]: place for place, row in enumerate(order)},
        frames=torch.cat(parts)[torch.tensor(order)],
        start_s=start_s,
        end_s=end_s,
        last=np.array([ends[video] for video in videos], np.int64),
        skill_s=max(float(np.median(end_s - start_s)), _NEAR),
    )


def draws_of(keys: Sequence[str], step: int, what: str, number: int) -> NDArray[np.float64]:
    """Uniform numbers [B, number] in 0..1 that depend on sample, step and purpose alone."""
    seeds = [zlib.crc32(f"{key}:{step}:{what}".encode()) for key in keys]
    return np.stack([np.random.default_rng(seed).random(number) for seed in seeds])


def _small(frames: Tensor, side: int) -> Tensor:
    """uint8 [B,3,H,W] to at most `side` px, by means of areas."""
    if max(frames.shape[-2:]) <= side or not len(frames):
        return frames
    means = functional.interpolate(frames.float(), (side, side), mode="area")
    return means.round().to(torch.uint8)
