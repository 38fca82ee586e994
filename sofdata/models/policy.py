"""The three models together: from an image and a task to actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.ensemble import Ensemble
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

    def act(
        self,
        image: Image,
        plan: Plan,
        task: str | Sequence[str] = "",
        state: NDArray[np.floating[Any]] | Tensor | None = None,
        second: Image | None = None,
    ) -> Actions:
        """The chunk of actions that carries out the first skill of a plan.

        task: as for `plan`; ignored by a decoder that was trained without decoder.model.task.
        state: [S] or [B,S], the robot's own as the demonstrations have it; needed by a decoder that
            was trained with decoder.model.state, ignored by others.
        second: what the second camera shows, in the same form as `image`; needed by a decoder that
            was trained with decoder.model.second_camera.

        Raises `ConfigError` where the decoder reads a state or a second image and is given none, or
        is given a second image that it does not read.
        """
        batch = self._batch(image)
        texts = [task] * len(batch) if isinstance(task, str) else list(task)
        beside = None if second is None else self._batch(second)
        if beside is not None and len(beside) != len(batch):
            raise ConfigError(
                f"{len(batch)} images need as many of the second camera, got {len(beside)}"
            )
        return self.decoder.act(batch, plan.first, texts, self._states(state), beside)

    def control(
        self,
        task: str = "",
        *,
        execute: int | None = None,
        ensemble: float | None = None,
        mpc: MPCConfig | None = None,
        seed: int = 0,
    ) -> Control:
        """One episode of a control loop: an action for every step; see `Control`.

        task: the text of what is to be done. execute: actions from one look to the next; by default
            the whole chunk. ensemble: average the chunks of all looks that reach a step, by weights
            exp(-ensemble i), i from 0 for the oldest, as ACT does (arXiv 2304.13705, with 0.01);
            None: the latest look alone. Only where execute is less than a chunk does it change
            anything. mpc, seed: as for `plan`.

        Raises `ConfigError` where planner or decoder are missing, or for an `execute` below 1.
        """
        if execute is not None and execute < 1:
            raise ConfigError(f"execute is {execute}: carry out at least one action of a chunk")
        number = min(execute or self.decoder.space.chunk, self.decoder.space.chunk)
        return Control(self, task, number, ensemble, mpc, seed)

    def to(self, device: str | torch.device) -> Policy:
        """Move all models to a device."""
        for model in (self.skill, self._planner, self._decoder):
            if model is not None:
                model.to(device)
        return self

    def _states(self, state: NDArray[np.floating[Any]] | Tensor | None) -> Tensor | None:
        """States as float32 [B,S] on the models' device."""
        if state is None:
            return None
        device = next(self.skill.parameters()).device
        values = np.array(state, np.float32) if _is_array(state) else state  # a copy may be written
        return torch.atleast_2d(torch.as_tensor(values, dtype=torch.float32, device=device))

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


class Control:
    """A policy in a control loop, for one episode.

        control = policy.control("push the disc to the left", execute=4, ensemble=0.01)
        while not done:
            done = robot.step(control.action(camera.image()))

    It looks, plans skills and decodes the first one's chunk of actions every `execute` steps; where
    chunks overlap, they may be averaged, and a gripper with two values is voted on. Not to be
    shared between episodes: `Policy.control` begins a new one.
    """

    def __init__(
        self,
        policy: Policy,
        task: str,
        execute: int,
        ensemble: float | None,
        mpc: MPCConfig | None,
        seed: int,
    ) -> None:
        self.plan: Plan | None = None  # the latest
        self.steps = 0  # actions given
        self._policy, self._task, self._mpc, self._seed = policy, task, mpc, seed
        self._execute = execute
        self._chunks = Ensemble(ensemble or 0.0)
        self._keeps = ensemble is not None
        switch = policy.decoder.switch
        self._votes = () if switch is None else (switch,)

    @property
    def looks(self) -> bool:
        """Whether the next action needs an image; at other steps none has to be taken."""
        return self.steps % self._execute == 0

    def action(
        self,
        image: Image | None = None,
        state: NDArray[np.floating[Any]] | Tensor | None = None,
        second: Image | None = None,
    ) -> NDArray[np.float32]:
        """The next action, float32 [A], in the units of the demonstrations.

        image: uint8 [H,W,3], what the camera sees now; may be None where `looks` is False. state:
            the robot's own, as for `Policy.act`; at the same steps.
        second: what the second camera sees, as for `Policy.act`; at the same steps.

        Raises `ConfigError` where a look is due and there is no image, or several.
        """
        if self.looks:
            self._look(image, state, second)
        found = self._chunks.action(self.steps, self._votes)
        self.steps += 1
        return found

    def _look(
        self,
        image: Image | None,
        state: NDArray[np.floating[Any]] | Tensor | None,
        second: Image | None,
    ) -> None:
        if image is None:
            raise ConfigError(f"step {self.steps} is a look: give the camera's image")
        policy, seed = self._policy, self._seed + self.steps
        self.plan = policy.plan(image, self._task, mpc=self._mpc, seed=seed)
        found = policy.act(image, self.plan, self._task, state, second)
        values = found.values.cpu().numpy()
        if len(values) != 1:
            raise ConfigError(f"a control loop has one image at a time, got {len(values)}")
        if not self._keeps:
            self._chunks = Ensemble(0.0)
        self._chunks.add(self.steps, values[0])


def _named(decoder: ActionDecoder) -> str:
    """' (dx, dy at 20 a second)', "" where that is not known."""
    space = decoder.space
    if not space.names or space.fps is None:
        return ""
    return f" ({', '.join(space.names)} at {space.fps:g} a second)"


def _is_array(image: Any) -> bool:
    return isinstance(image, np.ndarray)
