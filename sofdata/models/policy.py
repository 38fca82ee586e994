"""The three models together: from an image and a task to actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import Actions, ActionSpec, Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8] | Tensor


class Policy:
    """Plans skills and carries them out.

        policy = sofdata.load_policy("models")
        plan = policy.plan(image, "push the disc to the left")
        actions = policy.act(image, plan)  # carry them out, look again, plan again

    Images are uint8, [H,W,3] or [B,H,W,3] as cameras give them, or torch's [B,3,H,W].
    """

    def __init__(
        self, skill: SkillVAE, planner: Planner | None, decoder: ActionDecoder | None
    ) -> None:
        self.skill = skill
        self._planner = planner
        self._decoder = decoder

    def __repr__(self) -> str:
        shape, planner, decoder = self.skill.shape, self._planner, self._decoder
        acts = "no action decoder"
        if decoder is not None:
            size = f"[{decoder.space.chunk},{decoder.space.size}]"
            acts = f"decoder of actions {size}{_named(decoder)}"
        parts = [
            f"skill model of windows [{shape.steps},2,{shape.size},{shape.size}]",
            "planner" if planner is not None else "no planner",
            acts,
            f"on {next(self.skill.parameters()).device}",
        ]
        return f"Policy({', '.join(parts)})"

    @property
    def planner(self) -> Planner:
        """Raises `ConfigError` where none was trained."""
        if self._planner is None:
            raise ConfigError("planning needs a planner: 'sofdata train planner' makes one")
        return self._planner

    @property
    def decoder(self) -> ActionDecoder:
        """Raises `ConfigError` where none was trained."""
        if self._decoder is None:
            raise ConfigError(
                "acting needs an action decoder: 'sofdata train decoder' makes one from "
                "demonstrations"
            )
        return self._decoder

    @property
    def actions(self) -> ActionSpec:
        """The names of the dimensions of its actions, and how many are carried out a second.

        Raises `ConfigError` without a decoder, or with one that was trained before that was kept.
        """
        space = self.decoder.space
        if not space.names or space.fps is None:
            raise ConfigError(
                "the action decoder was trained by an earlier version, which did not keep what its "
                "actions are called: train it again, or look into the dataset.json of its "
                "demonstrations"
            )
        return ActionSpec(space.names, space.fps)

    def plan(
        self,
        image: Image,
        task: str | Sequence[str] = "",
        goal: Image | None = None,
        mpc: MPCConfig | None = None,
        seed: int = 0,
    ) -> Plan:
        """Skills to carry out from here on; see `sofdata.models.planner.planner.Planner.plan`.

        task: the text of what is to be done, one for all images or one each.
        goal: an image of the desired outcome, of the same shape as `image`.
        """
        batch = self._batch(image)
        texts = [task] * len(batch) if isinstance(task, str) else list(task)
        wanted = None if goal is None else self._batch(goal)
        return self.planner.plan(batch, texts, goal=wanted, mpc=mpc, seed=seed)

    def act(self, image: Image, plan: Plan, task: str | Sequence[str] = "") -> Actions:
        """The chunk of actions that carries out the first skill of a plan.

        task: as for `plan`; ignored by a decoder that was trained without decoder.model.task.
        """
        batch = self._batch(image)
        texts = [task] * len(batch) if isinstance(task, str) else list(task)
        return self.decoder.act(batch, plan.first, texts)

    def to(self, device: str | torch.device) -> Policy:
        """Move all models to a device."""
        for model in (self.skill, self._planner, self._decoder):
            if model is not None:
                model.to(device)
        return self

    def _batch(self, image: Image) -> Tensor:
        """Any of the accepted forms as uint8 [B,3,H,W] on the models' device."""
        values: Any = torch.from_numpy(np.ascontiguousarray(image)) if _is_array(image) else image
        if values.dtype != torch.uint8:
            raise ConfigError(f"images must be uint8, got {values.dtype}")
        if values.ndim == 3:
            values = values[None]
        if values.ndim == 4 and values.shape[-1] == 3:
            values = values.permute(0, 3, 1, 2)
        if values.ndim != 4 or values.shape[1] != 3:
            raise ConfigError(
                f"an image is [H,W,3], [B,H,W,3] or [B,3,H,W], got {list(image.shape)}"
            )
        device = next(self.skill.parameters()).device
        return values.contiguous().to(device)  # type: ignore[no-any-return]


def _named(decoder: ActionDecoder) -> str:
    """' (dx, dy at 20 a second)', "" where that is not known."""
    space = decoder.space
    if not space.names or space.fps is None:
        return ""
    return f" ({', '.join(space.names)} at {space.fps:g} a second)"


def _is_array(image: Any) -> bool:
    return isinstance(image, np.ndarray)
