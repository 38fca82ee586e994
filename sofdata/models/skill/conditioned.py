"""What the planner and the action decoder share: both use a trained, frozen skill model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from sofdata.models.skill.image_encoder import ImageEncoder
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import Batch, Skill

EncoderMode = Literal["frozen", "tuned", "fresh"]


@dataclass(frozen=True, slots=True, eq=False)
class KnownSkills:
    """Skills of windows that were encoded before, by the windows' keys.

    rows: of each key, in `skill`.
    """

    rows: Mapping[str, int]
    skill: Skill

    def of(self, keys: Sequence[str]) -> Skill | None:
        """The skills of some windows, None if any of them is not known."""
        places = [self.rows.get(key, -1) for key in keys]
        if min(places) < 0:
            return None
        chosen = torch.tensor(places, device=self.skill.codes.device)
        return Skill(self.skill.codes[chosen], self.skill.tokens[chosen])

    def shuffled(self, seed: int) -> KnownSkills:
        """The same skills, each now that of a random other window: they say nothing of theirs."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.skill), generator=generator)
        return KnownSkills(self.rows, Skill(self.skill.codes[order], self.skill.tokens[order]))


def present(images: Tensor) -> Tensor:
    """Of images [B,T,3,H,W] in the order of time the last one, [B,3,H,W]; that as it is."""
    return images[:, -1] if images.ndim == 5 else images


class SkillConditioned(nn.Module):
    """A model that uses a skill model, which is frozen and no part of the `state_dict`.

    encoder: None where the frozen skill model itself encodes images.
    known: skills that are looked up rather than encoded again; see `remember`.
    """

    known: KnownSkills | None = None

    def __init__(self, skill: SkillVAE, mode: EncoderMode) -> None:
        super().__init__()
        self._skill = (skill.eval(),)  # in a tuple, so that torch does not register it as a part
        self.encoder = None if mode == "frozen" else ImageEncoder(skill, fresh=mode == "fresh")

    @property
    def skill(self) -> SkillVAE:
        """The frozen skill model."""
        return self._skill[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the skill model to another device or dtype as well."""
        self.skill._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def observe(self, image: Tensor) -> Tensor:
        """uint8 [B,3,H,W] to the observation, float32 [B,P,C]; of [B,T,3,H,W] the last is seen."""
        image = present(image)
        if self.encoder is not None:
            observation: Tensor = self.encoder(image)
            return observation
        with torch.no_grad():
            return self.skill.observe(image)

    @torch.no_grad()
    def remember(self, batches: Iterable[Batch]) -> None:
        """Encode windows once, so that training on them many times need not encode them again.

        A window's skill does not depend on the others of its batch, so that nothing else changes.
        """
        keys: list[str] = []
        skills: list[Skill] = []
        for batch in batches:
            keys += batch.keys
            skills.append(self.skill.skill_of(batch))
        codes = torch.cat([skill.codes for skill in skills])
        tokens = torch.cat([skill.tokens for skill in skills])
        rows = {key: row for row, key in enumerate(keys)}
        self.known = KnownSkills(rows, Skill(codes, tokens))

    def windows_skill(self, batch: Batch) -> Skill:
        """The skills of a batch's windows."""
        known = self.known.of(batch.keys) if self.known is not None else None
        return known or self.skill.skill_of(batch)
