"""Initial values other than torch's own, all of them set here.

| layer | initial weights | why |
|---|---|---|
| SkillVAE.to_code | N(0, 0.3²), divided by √width in use | AdamW's steps change codes slowly |
| SkillVAE.from_code | N(0, 1) | a code has few numbers, in -1..1 |
| SkillVAE.straight_to_codes | N(0, 1 / inputs) | outputs of variance 1 |
| FlowDecoder's outputs | near 0, bias 0 | decoded flow begins near zero flow |
| Cut.film, Dynamics.change | 0 | begins as if there were no condition, or no change |
| DigitHead's embeddings | N(0, 0.05²) | begins near the linear map of the codes |
| FlowMatchingPrior.velocity | 0 | begins as if noise were codes |
| MixtureHead's means | bias N(0, 1) | components that begin alike would stay alike |
| learned positions, queries | N(0, std²), by `learned_vectors` | each place has its own |

These functions are called where a layer is made, not once at the end: so the order in which random
numbers are drawn, and with it every model that a seed gives, stays the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def init_weights(*weights: Tensor, std: float) -> None:
    """Draw weights from N(0, std²), one after the other; a `std` of 0 sets zeros."""
    for weight in weights:
        if std:
            nn.init.normal_(weight, std=std)
        else:
            nn.init.zeros_(weight)


def learned_vectors(number: int, width: int, std: float) -> nn.Parameter:
    """Positions or queries that are learned: [number, width], from N(0, std²)."""
    return nn.Parameter(std * torch.randn(number, width))
