"""The weights that the three models begin with, from a seed: the same ones as ever.

A checkpoint does not depend on them, but every published figure does. What is compared is names and
shapes by a hash, and the values by a checksum that every value and its place takes part in: unlike
a hash of the values, it allows for the last bit, in which normal numbers differ between processors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.space import ActionSpace
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE

SMALL = {"width": 32, "heads": 2, "channels": (8, 12, 16), "tokens": 3}
SPACE = ActionSpace(
    mean=(0.0, 0.1, 0.5),
    std=(1.0, 2.0, 0.5),
    low=(-1.0, -2.0, 0.0),
    high=(1.0, 2.0, 1.0),
    values=((), (), (0.0, 1.0)),
    chunk=5,
)


def skill(**settings: object) -> SkillVAE:
    return SkillVAE(SkillConfig.parse({**SMALL, **settings}), FlowShape(4, 32, 2.0))


def planner(bottleneck: str, **settings: object) -> Planner:
    config = {"prior": {"width": 32}, "dynamics": {"width": 32}, **settings}
    return Planner(PlannerConfig.parse(config), skill(bottleneck=bottleneck), ("", "push", "pull"))


def decoder(**settings: object) -> ActionDecoder:
    config = DecoderConfig.parse({"width": 32, **settings})
    return ActionDecoder(config, skill(), SPACE, ("", "push"))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "skill fsq": lambda: skill(),
    "skill kl rnn": lambda: skill(bottleneck="kl", decoder="rnn"),
    "planner fsq": lambda: planner("fsq"),
    "planner kl": lambda: planner("kl", image_encoder="fresh", text="id"),
    "decoder skill": lambda: decoder(),
    "decoder flow": lambda: decoder(condition="flow"),
    "decoder flow+image": lambda: decoder(condition="flow+image", task="words", encoder="fresh"),
}

BEFORE = {
    "skill fsq": ("ea25186f99585adf", -37.126469, 0.163446843624115),
    "skill kl rnn": ("ce4d257e81d46190", -12.793643, 0.1581307053565979),
    "planner fsq": ("bf8967b0edf7f273", -11.699895, 0.5685614347457886),
    "planner kl": ("77f98e8d5008aa44", 19.457927, 0.49441784620285034),
    "decoder skill": ("35250e4a66822e97", -19.677237, 0.6871705651283264),
    "decoder flow": ("d00756686d52cb9d", -5.622924, 0.35633718967437744),
    "decoder flow+image": ("1902e5f23426e601", -30.537164, 0.2806128263473511),
}


def summary(model: nn.Module) -> tuple[str, float, float]:
    """A hash of names, types and shapes; a checksum of all values; the next random number."""
    digest, total, place = hashlib.sha256(), 0.0, 0
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        places = torch.arange(place, place + value.numel(), dtype=torch.float64)
        total += float(value.flatten().double() @ places.cos())
        place += value.numel()
    return digest.hexdigest()[:16], total, float(torch.rand(()))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_begins_with_the_same_weights_as_ever(name: str) -> None:
    torch.manual_seed(3)
    names, total, following = summary(MODELS[name]())
    assert names == BEFORE[name][0]
    assert total == pytest.approx(BEFORE[name][1], abs=1e-4)
    assert following == BEFORE[name][2]  # as many random numbers were drawn
