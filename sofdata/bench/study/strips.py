"""Rollout strips: the image before each chunk, the planned flow, and the flow that followed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sofdata.bench.study.evaluate import Decision
from sofdata.models.skill.vae import SkillVAE
from sofdata.pictures.colour import flow_to_rgb

MOST_COLUMNS = 12
_SIDE, _GAP = 96, 2


def draw_strip(decisions: Sequence[Decision], latent: Any) -> NDArray[np.uint8]:
    """RGB uint8 of an episode: a column a decision.

    Rows: the frames; for a policy by skills of flow also the planned flow, summed over the skill,
    and below it the flow measured until the next decision, step by step and summed in the same way,
    in the same colours.
    """
    chosen = list(decisions[:MOST_COLUMNS])
    rows = [[_resized(decision.image) for decision in chosen]]
    if isinstance(latent, SkillVAE) and chosen[0].codes is not None:
        planned = [_planned(decision, latent) for decision in chosen]
        happened = [
            measured([decision.image, *decision.then, following.image], latent.shape.size)
            for decision, following in pairwise(decisions[: len(chosen) + 1])
        ]
        shown = [flow for flow in planned + happened if flow is not None]
        scale = max(float(np.percentile([np.hypot(*f.T).max() for f in shown], 90)), 1e-3)
        rows += [[_coloured(flow, scale) for flow in row] for row in (planned, happened)]
    blank = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    rows = [row + [blank] * (len(chosen) - len(row)) for row in rows]
    lines = [np.hstack([np.pad(cell, _PAD, constant_values=255) for cell in row]) for row in rows]
    return np.vstack(lines)


_PAD = ((0, _GAP), (0, _GAP), (0, 0))


def save_strip(path: Path, decisions: Sequence[Decision], latent: Any) -> None:
    """Draw an episode into a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_strip(decisions, latent)).save(path, optimize=True)


@torch.no_grad()
def _planned(decision: Decision, latent: SkillVAE) -> NDArray[np.float32] | None:
    if decision.codes is None:
        return None
    image = torch.from_numpy(decision.image).permute(2, 0, 1)[None]
    flow = latent.decode(decision.codes[None], image)[0].sum(0)  # [2, h, w]
    return flow.permute(1, 2, 0).numpy()


def measured(frames: Sequence[NDArray[np.uint8]], side: int) -> NDArray[np.float32]:
    """Flow [side,side,2] from each frame to the next, summed over them, in px of `side`.

    A skill's flow is that of its steps and is summed pixel by pixel in the same way. Estimated from
    the first frame to the last at once, a small object that moves far would be lost.
    """
    from sofdata.flow.opencv import load_cv2

    cv2 = load_cv2()
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    total = np.sum([dis.calc(one, other, None) for one, other in pairwise(grey)], axis=0)
    flow = cv2.resize(total, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(flow * np.float32(side / len(grey[0])), np.float32)


def _coloured(flow: NDArray[np.float32] | None, scale: float) -> NDArray[np.uint8]:
    if flow is None:
        return np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    return _resized(flow_to_rgb(flow, scale))


def _resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
