"""What windows need of the steps of a video, whatever their length, size and filters are to be.

Flow and texture of each step, and the frames reduced as far as shot changes are looked for in them;
what depends on flow alone (camera, magnitudes) is computed from it again. Nothing of one step
depends on another, so that steps may be computed, kept and read in any pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.types import FlowClip, Frames
from sofdata.windows.config import WindowConfig
from sofdata.windows.shots import small_frames
from sofdata.windows.steps import Step, described_steps, resize_flow
from sofdata.windows.texture import CELLS, evidence_side, step_evidence

NEVER = ("gap", "redacted")  # breaks that no setting of windows lifts: no flow is kept of these


@dataclass(frozen=True, slots=True, eq=False)
class KeptSteps:
    """S steps between S + 1 frames.

    pts_s: float64 [S+1]; presentation times of the frames.
    flow: float32 [S,k,k,2], px a step at k x k; zero where nothing moves or is known.
    moves: bool [S]; whether the step's flow was other than zero. known: bool [S]; whether its flow
        was looked at: not over a gap or a redacted stretch.
    evidence: float64 [S,5,8,8]; see `texture.step_evidence`; zero where nothing moves.
    small: uint8 [S+1,24,24,3]; see `shots.small_frames`.
    """

    pts_s: NDArray[np.float64]
    flow: NDArray[np.float32]
    moves: NDArray[np.bool_]
    known: NDArray[np.bool_]
    evidence: NDArray[np.float64]
    small: NDArray[np.uint8]

    def __post_init__(self) -> None:
        steps = len(self.flow)
        lengths = (len(self.moves), len(self.known), len(self.evidence), len(self.pts_s) - 1)
        if {*lengths, len(self.small) - 1} != {steps}:
            raise ContractError(f"{steps} steps of flow, but {lengths}, {len(self.small)} frames")

    def __len__(self) -> int:
        return len(self.flow)

    def part(self, first: int, end: int) -> KeptSteps:
        """Steps `first` to `end`, with the frames at both of their ends."""
        frames, steps = slice(first, end + 1), slice(first, end)
        return KeptSteps(
            self.pts_s[frames],
            self.flow[steps],
            self.moves[steps],
            self.known[steps],
            self.evidence[steps],
            self.small[frames],
        )


def joined(parts: Sequence[KeptSteps]) -> KeptSteps:
    """Consecutive pieces of a video as one; each begins with the last frame of the one before."""
    if len(parts) == 1:
        return parts[0]
    return KeptSteps(
        np.concatenate([parts[0].pts_s, *(each.pts_s[1:] for each in parts[1:])]),
        np.concatenate([each.flow for each in parts]),
        np.concatenate([each.moves for each in parts]),
        np.concatenate([each.known for each in parts]),
        np.concatenate([each.evidence for each in parts]),
        np.concatenate([parts[0].small, *(each.small[1:] for each in parts[1:])]),
    )


def observed_steps(
    frames: Frames, clip: FlowClip, breaks: Sequence[str], steps: Sequence[Step | None], size: int
) -> KeptSteps:
    """What is kept of consecutive steps.

    clip: the flow between the frames. breaks: as of `Windower.push`; flow was estimated across all
        but those of `NEVER`. steps: what `make_steps` has made of these; its texture is taken over.
    size: side in px at which flow is kept.
    """
    known = np.array([reason not in NEVER for reason in breaks], np.bool_)
    moves = known & clip.flow.any(axis=(1, 2, 3))
    flow = np.zeros((len(clip), size, size, 2), np.float32)
    evidence = np.zeros((len(clip), *CELLS))
    moving = np.flatnonzero(moves)
    if len(moving):
        flow[moving] = resize_flow(clip.flow[moving], size)
    for number in moving.tolist():
        step = steps[number]
        if step is not None and step.evidence is not None:
            evidence[number] = step.evidence
        else:
            evidence[number] = _evidence(frames, clip, number)
    return KeptSteps(frames.pts_s, flow, moves, known, evidence, small_frames(frames.rgb))


def kept_steps(kept: KeptSteps, breaks: Sequence[str], config: WindowConfig) -> list[Step | None]:
    """`make_steps` of what is kept: what the windower needs of each step; None for a break.

    Raises `ContractError` where the flow of a step is wanted and not known, or is too small.
    """
    if len(kept) and kept.flow.shape[1] < config.size:
        raise ContractError(f"flow kept at {kept.flow.shape[1]} px is too small for {config.size}")
    wanted = np.array([reason == "" for reason in breaks], np.bool_)
    if (wanted & ~kept.known).any():
        raise ContractError("a window would reach over a step whose flow is not known")
    made: list[Step | None] = [None] * len(kept)
    which = np.flatnonzero(wanted)
    found = described_steps(kept.flow[which], kept.moves[which], kept.evidence[which], config)
    for number, step in zip(which.tolist(), found, strict=True):
        made[number] = step
    return made


def _evidence(frames: Frames, clip: FlowClip, step: int) -> NDArray[np.float64]:
    """What two frames show of the flow between them [5,8,8]."""
    side = evidence_side(*clip.flow.shape[1:3])
    vectors = resize_flow(clip.flow[step : step + 1], side)
    seen: NDArray[np.float64] = step_evidence(frames.rgb[step : step + 2], vectors)[0]
    return seen
