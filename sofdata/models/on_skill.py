"""What the planner and the action decoder share: both build upon a trained skill model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor, nn

from sofdata.models.image_encoder import ImageEncoder

if TYPE_CHECKING:
    from sofdata.models.skill_vae import SkillVAE

EncoderMode = Literal["frozen", "tuned", "fresh"]


class OnSkill(nn.Module):
    """A model upon a skill model, which is frozen and no part of the `state_dict`.

    encoder: None where images are seen through the frozen skill model itself.
    """

    def __init__(self, skill: SkillVAE, mode: EncoderMode) -> None:
        super().__init__()
        self._skill = (skill.eval(),)  # in a tuple, so that it does not count as a part
        self.encoder = None if mode == "frozen" else ImageEncoder(skill, fresh=mode == "fresh")

    @property
    def skill(self) -> SkillVAE:
        """The frozen skill model."""
        return self._skill[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Take the skill model along to another device."""
        self.skill._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] to the observation, float32 [B,P,C]."""
        if self.encoder is not None:
            observation: Tensor = self.encoder(image)
            return observation
        with torch.no_grad():
            return self.skill.observe(image)
