"""Skills of windows as a prior draws them, for a decoder that will be given such.

Demonstrations show a decoder the true skills of their windows; when it acts, it is given what a
prior draws, which is never quite that. With some of its training on drawn skills, and the actions
of the demonstration as before, it learns how far they are to be followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sofdata.models.common.gaussian import noise_of


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSkills:
    """Several draws for each window, by its key.

    rows: of each key, in `codes` [M,S,n,D]. share: of the samples of a step that are given one.
    """

    rows: Mapping[str, int]
    codes: Tensor
    share: float

    def mixed(self, keys: Sequence[str], true: Tensor, step: int) -> tuple[Tensor, list[str]]:
        """Codes [B,n,D] of a step of training, and a name of each: those that are true, or drawn.

        They depend on sample and step alone.
        """
        normal = torch.distributions.Normal(0.0, 1.0)
        chance = normal.cdf(noise_of([f"{key} drawn" for key in keys], step, (2,)))  # [B, 2]
        number = self.codes.shape[1]
        places = (chance[:, 1] * number).long().clamp(max=number - 1)
        codes, names = true.clone(), list(keys)
        for row, key in enumerate(keys):
            if float(chance[row, 0]) < self.share and key in self.rows:
                place = int(places[row])
                codes[row] = self.codes[self.rows[key], place].to(codes.device)
                names[row] = f"{key} drawn {place}"
        return codes, names
