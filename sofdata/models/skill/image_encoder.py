"""The skill model's image encoder on its own: a copy that other models may train."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sofdata.models.skill.vae import SkillVAE


class ImageEncoder(nn.Module):
    """Does what `SkillVAE.observe` does, with weights of its own: all of them are trained."""

    def __init__(self, skill: SkillVAE, fresh: bool) -> None:
        """skill: its weights are copied, unless `fresh` asks for random ones; it is not changed."""
        super().__init__()
        device = next(skill.parameters()).device
        model = type(skill)(skill.config, skill.shape) if fresh else copy.deepcopy(skill)
        self.model = _only_what_observes(model.to(device).requires_grad_(True))

    def forward(self, image: Tensor) -> Tensor:
        """image: uint8 [B,3,H,W]. Returns float32 [B,P,C]."""
        return self.model.observe(image)


def _only_what_observes(model: SkillVAE) -> SkillVAE:
    """Drop the parts of a model that have no weight that `observe` depends on."""
    device = next(model.parameters()).device
    with torch.enable_grad():
        tokens = model.observe(torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=device))
        tokens.sum().backward()  # type: ignore[no-untyped-call]
    parts = {name: list(part.parameters()) for name, part in model.named_children()}
    parts |= {name: [weight] for name, weight in model.named_parameters(recurse=False)}
    for name, weights in parts.items():
        if weights and all(weight.grad is None for weight in weights):
            delattr(model, name)
    for weight in model.parameters():
        weight.requires_grad_(weight.grad is not None)
    model.zero_grad()
    return model
