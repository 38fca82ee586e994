"""What a window's pictures and flow are worth: numbers to choose windows by; none rejects any.

Each is computed of single frames and single steps, which need no other one, and then joined over
those of a window. So it is the same however the video was split, and a step costs the same in
however many windows it lies. `benchmarks/quality.py` measures what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from sofdata.config.section import Section
from sofdata.windows.camera import CameraMotion, camera_flow
from sofdata.windows.consistency import backward_flow, disagreement
from sofdata.windows.frame_quality import blur, bright_share, dark_share, grey_frames
from sofdata.windows.motion import magnitudes, means, rounded

QualityName = Literal["blur", "exposure", "consistency", "camera"]

# Every name that `SkillWindow.quality` may hold, and what it says.
QUALITY_FIELDS = {
    "blur": "how blurred the frames are, 0 to 1 (Crete et al. 2007), mean over the frames",
    "dark_share": "share of pixels that are at most quality.dark, mean over the frames",
    "bright_share": "share of pixels that are at least quality.bright, mean over the frames",
    "consistency": "how far flow backwards undoes the flow, 0 to 1: 1 where it does",
    "camera_motion_share": "share of all motion that is the camera's, 0 to 1",
}
# The columns that each name of `quality.columns` stands for, in the order in which they are stored.
COLUMNS: dict[QualityName, tuple[str, ...]] = {
    "blur": ("blur",),
    "exposure": ("dark_share", "bright_share"),
    "consistency": ("consistency",),
    "camera": ("camera_motion_share",),
}
CHECK_SIDE = 64  # px, at most, at which flow is looked at backwards
_OF_FRAMES = ("blur", "dark_share", "bright_share")
_FRAMES = len(_OF_FRAMES)

Figures = NDArray[np.float64]


class QualityConfig(Section):
    """Which numbers about its pictures and flow each window gets. Costs are in docs/format.md."""

    columns: tuple[QualityName, ...] = Field(
        (),
        description="What is computed of each window and stored as columns of the index: 'blur', "
        "'exposure' (dark_share, bright_share), 'consistency', 'camera' (camera_motion_share); in "
        "any order, separated by commas, or 'all'. No window is rejected for them: choose later, "
        "where='blur < 0.6'. Empty, as in datasets made before there was this key, stores none "
        "and costs nothing. Default ours.",
    )
    dark: Annotated[int, Field(ge=0, le=254)] = Field(
        16,
        description="A pixel whose brightness (0 to 255) is at most this counts as dark: black as "
        "video has it. Default ours.",
    )
    bright: Annotated[int, Field(ge=1, le=255)] = Field(
        250,
        description="A pixel whose brightness is at least this counts as blown out. Default ours.",
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            names = [part.strip() for part in value.split(",")]
            return tuple(COLUMNS) if names == ["all"] else tuple(filter(None, names))
        return value

    @field_validator("columns", mode="after")
    @classmethod
    def _in_order(cls, value: tuple[QualityName, ...]) -> tuple[QualityName, ...]:
        return tuple(name for name in COLUMNS if name in value)


def stored_columns(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that the index of a dataset of this configuration has, from `dataset.json`."""
    section = config.get("quality")
    asked = section.get("columns") if isinstance(section, Mapping) else None
    names = asked if isinstance(asked, list | tuple) else ()
    return tuple(column for name, columns in COLUMNS.items() if name in names for column in columns)


@dataclass(frozen=True, slots=True, eq=False)
class FrameFigures:
    """What is asked of steps, and what their frames show of it.

    frames: float64 [S+1,3], of the frames before, between and after S steps: blur, dark and bright
    share; NaN for what is not asked.
    """

    config: QualityConfig
    frames: Figures

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], config: QualityConfig) -> FrameFigures:
        """The figures of frames [S+1,H,W,3]."""
        found = np.full((len(rgb), _FRAMES), np.nan)
        if {"blur", "exposure"} & {*config.columns}:
            grey = grey_frames(rgb)
            if "blur" in config.columns:
                found[:, 0] = blur(grey)
            if "exposure" in config.columns:
                found[:, 1] = dark_share(grey, config.dark)
                found[:, 2] = bright_share(grey, config.bright)
        return cls(config, found)

    def between(self, first: int, end: int) -> FrameFigures:
        """Those of the steps from `first` to `end`."""
        return FrameFigures(self.config, self.frames[first : end + 1])

    def rows(self, consistency: Figures | None, camera: Figures | None) -> Figures:
        """All figures of the S steps, float64 [S,10], as `window_quality` joins them.

        consistency, camera: [S,2] of `consistency_figures` and `camera_figures`; None where not
        asked.
        """
        unasked = np.full((len(self.frames) - 1, 2), np.nan)
        motion = [unasked if each is None else each for each in (consistency, camera)]
        return np.concatenate([self.frames[:-1], self.frames[1:], *motion], axis=1)

    def still(self) -> Figures:
        """The same of steps in which nothing moves."""
        nothing = np.zeros((len(self.frames) - 1, 2))
        asked = [name in self.config.columns for name in ("consistency", "camera")]
        return self.rows(*(nothing if each else None for each in asked))


def consistency_figures(rgb: NDArray[np.uint8], vectors: NDArray[np.float32]) -> Figures:
    """`disagreement` of flow [S,side,side,2] between frames [S+1,H,W,3], float64 [S,2]."""
    return disagreement(vectors, backward_flow(rgb, vectors.shape[1]))


def camera_figures(flow: NDArray[np.float32], motion: CameraMotion) -> Figures:
    """Mean magnitudes of flow [S,size,size,2] without the camera's motion and with it, [S,2]."""
    left = magnitudes(flow - camera_flow(motion.maps, *flow.shape[1:3]))
    return np.stack([means(left), means(magnitudes(flow))], axis=1)


def window_quality(steps: Sequence[Figures | None]) -> dict[str, float]:
    """The numbers of a window by `QUALITY_FIELDS`, of its steps' rows; {} without any.

    Where nothing moves at all, the flow is consistent, and none of it is the camera's.
    """
    rows = [step for step in steps if step is not None]
    if not rows:
        return {}
    table = np.array(rows)
    frames = np.concatenate([table[:1, :_FRAMES], table[:, _FRAMES : 2 * _FRAMES]])
    found = dict(zip(_OF_FRAMES, frames.mean(axis=0).tolist(), strict=True))
    apart_px, moved_px, left_px, all_px = table[:, 2 * _FRAMES :].sum(axis=0).tolist()
    found["consistency"] = _less(apart_px, moved_px, 1.0)
    found["camera_motion_share"] = _less(left_px, all_px, 0.0)
    return {name: rounded(value) for name, value in found.items() if not np.isnan(value)}


def _less(part: float, whole: float, of_nothing: float) -> float:
    """1 less the share of a part, at least 0; NaN where they are not known."""
    if np.isnan(whole):
        return whole
    return max(0.0, 1 - part / whole) if whole else of_nothing
