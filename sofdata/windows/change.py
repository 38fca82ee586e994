"""How much the motion of a video changes at each of its frames, from the flow around it.

A frame is scored by the larger of two figures, both 0 to 1, from up to four steps on either side:

- how the motion differs before and after: 0.5 between motion and rest or for a turn by a right
  angle, 1 for a reversal, 0 for motion that goes on. The flow is taken as means over 4 x 4 cells,
  so that a thing that moves and another that begins to are told apart, and as means over the steps;
- how far the motion dies down at it and comes up again within three steps: the share of the energy
  on both sides, mean magnitude, that the quieter of its two steps lacks.

Motion far below a twentieth of a pixel a step, at 64 px, counts as rest. Reach, cells and threshold
(`WindowConfig.change`) are ours, chosen by `benchmarks/windows.py` on episodes of scripted experts
other than those that it reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.windows.steps import Step

REACH = 4  # steps on either side of a frame
APART = 2  # steps on either side within which no other frame may have a higher score
_DIP = 3  # steps on either side within which motion comes up again; a longer rest has two ends
_CELLS = 4  # a side
_QUIET = 0.05 / 64  # of the frame's side, a step


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The motion of a step. cells: mean flow of 4 x 4 cells as float64 [32], in quiet units, so
    scaled that its square is that of a typical vector. energy: mean magnitude, in quiet units."""

    cells: NDArray[np.float64]
    energy: float


def motion_of(step: Step) -> Motion:
    """What is compared of a step."""
    cv2 = load_cv2()
    quiet_px = _QUIET * len(step.flow)
    cells = cv2.resize(step.flow, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    scaled = cells.ravel().astype(np.float64) / (_CELLS * quiet_px)
    return Motion(scaled, float(step.magnitude.mean(dtype=np.float64)) / quiet_px)


def change(before: Sequence[Motion], after: Sequence[Motion]) -> float:
    """The score of the frame between up to `REACH` steps before and after it, one at least each."""
    a, b = (np.mean([step.cells for step in side], axis=0) for side in (before, after))
    differs = float(np.sum((a - b) ** 2)) / (2 * float(np.sum(a * a) + np.sum(b * b)) + 1)
    low = min(before[-1].energy, after[0].energy)
    high = min(max(step.energy for step in side) for side in (before[-_DIP:], after[:_DIP]))
    return max(differs, 1 - (low + 1) / (high + 1))
