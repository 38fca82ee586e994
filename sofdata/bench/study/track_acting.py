"""How the track arm acts: tracks of a grid are predicted, and the policy reads image and tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sofdata.bench.baselines.tracks import TrackModel
from sofdata.bench.study.acting import acted
from sofdata.bench.study.actor import Acted
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.skill.conditioned import present


@dataclass(frozen=True, slots=True, eq=False)
class TrackActor:
    """Acts by tracks that are predicted from image and task; nothing is drawn at random."""

    tracks: TrackModel
    decoder: ActionDecoder

    @torch.no_grad()
    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """See `Actor`."""
        skill = self.tracks.predict(present(images), texts)
        return acted(self.decoder, self.decoder.act(images, skill, texts, state, second).values)
