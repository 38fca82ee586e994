"""The arms: what each trains, on what, and how it acts; and arms of others, by their place.

All see the same images through image encoders of the same architecture, learn from the same K
labelled demonstrations of each task with the same augmentation, and execute equally many actions
before they observe again. The updates of what acts are counted by the same rule
(`decoder.optim`) but for bc+compute and clones.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sofdata.errors import ConfigError

if TYPE_CHECKING:
    from sofdata.bench.study.actor import Actor

Source = Literal["flow", "frames", "tracks"]
ActorFactory = Callable[[Mapping[str, Any]], "Actor"]
ALL_DEMOS = 50


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train a policy.

    latent: what its latent model reads: windows of flow (the skill model), pairs of frames (LAPA),
        tracks of points (ATM), or None for an arm without one.
    videos: whether that model, and the prior, learn from videos; else from the K demonstrations.
    skills: whether the action decoder is conditioned on a skill, which a prior proposes, or on
        tracks, which the track model predicts; otherwise the latent model provides its image
        encoder at most.
    shuffled: train the decoder with skills of other windows.
    goals: search for skills that lead to where the K demonstrations ended.
    clones: in place of a prior, the action decoder labels every window of the videos with actions
        decoded from its true skill, and the policy is cloned from these and the demonstrations.
    demos: a fixed number of demonstrations in place of K; 0: K.
    actor: makes the policy from the trained models, by kind of stage ("skill", "lapa", "tracks",
        "planner", "decoder", "clone"); a function of a module, so that processes can import it.
        None: the policy that the flags above describe. Its code is not part of a cell's hash: give
        the arm another name when it changes.

    Raises `ConfigError` for flags that do not fit together.
    """

    name: str
    what: str
    latent: Source | None = None
    videos: bool = True
    skills: bool = False
    shuffled: bool = False
    goals: bool = False
    clones: bool = False
    demos: int = 0
    actor: ActorFactory | None = None

    def __post_init__(self) -> None:
        if self.skills and self.latent is None:
            raise ConfigError(
                f"arm '{self.name}': skills need a latent model, flow, frames or tracks"
            )
        if not self.skills and (self.shuffled or self.goals or self.clones):
            raise ConfigError(f"arm '{self.name}': shuffled, goals and clones need skills")
        if self.clones and (self.goals or not self.videos):
            raise ConfigError(
                f"arm '{self.name}': clones learn from videos, and search for no goals"
            )
        if self.latent == "tracks" and (self.goals or self.clones or not self.skills):
            raise ConfigError(
                f"arm '{self.name}': a policy reads tracks as skills, and there is nothing to "
                "search for or to clone from: give skills=True, and neither goals nor clones"
            )

    @property
    def encoder_only(self) -> bool:
        """Whether the image encoder is all that it uses of its latent model."""
        return self.latent is not None and not self.skills

    @property
    def plays(self) -> bool:
        """Whether play can be what it learns actions from: it learns the tasks from videos."""
        return self.skills and self.videos

    @property
    def prior(self) -> bool:
        """Whether it acts by skills that a prior proposes."""
        return self.skills and not self.clones and self.latent != "tracks"


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("bc", "behaviour cloning from pixels"),
        Arm("bc+encoder", "behaviour cloning from the skill model's image encoder", "flow"),
        Arm("bc+compute", "behaviour cloning with the computing time of the whole skill arm"),
        Arm(
            "lapa",
            "latent actions from two frames, learned by predicting pixels",
            "frames",
            skills=True,
        ),
        Arm(
            "atm",
            "tracks of points, predicted from image and task",
            "tracks",
            skills=True,
        ),
        Arm(
            "sof-shuffled",
            "skills, each that of another window: a control",
            "flow",
            skills=True,
            shuffled=True,
        ),
        Arm(
            "sof-novideo",
            "skills learned from the K demonstrations alone",
            "flow",
            videos=False,
            skills=True,
        ),
        Arm("sof", "skills, proposed by the prior", "flow", skills=True),
        Arm(
            "sof+mpc",
            "skills, searched for with the latent dynamics",
            "flow",
            skills=True,
            goals=True,
        ),
        Arm("sof-flat", "skills, searched for one ahead", "flow", skills=True, goals=True),
        Arm(
            "sof+clone",
            "a policy cloned from the videos, their actions decoded from their skills",
            "flow",
            skills=True,
            clones=True,
        ),
        Arm(
            "lapa+clone",
            "the same, their actions decoded from LAPA's latent actions",
            "frames",
            skills=True,
            clones=True,
        ),
        Arm(
            "bc-50",
            f"behaviour cloning from {ALL_DEMOS} demonstrations: a ceiling",
            demos=ALL_DEMOS,
        ),
    )
}


def register_arm(arm: Arm) -> None:
    """Add an arm, which settings can then name in `arms`, `more_arms` and `curve_arms`.

    Raises `ConfigError` where another arm has its name.
    """
    if ARMS.setdefault(arm.name, arm) != arm:
        raise ConfigError(f"there is an arm '{arm.name}' already: give this one another name")


def known_arm(name: str) -> str:
    """The name of an arm in `ARMS`. An `Arm` of another module, at `module:NAME`, is registered.

    Raises `ValueError` that lists the arms for a name of none, and for what is no `Arm`.
    """
    if ":" in name:
        return _own_arm(name)
    if name not in ARMS:
        raise ValueError(
            f"no arm has this name; there are {', '.join(ARMS)}, and your own by module:NAME"
        )
    return name


def _own_arm(place: str) -> str:
    module, _, attribute = place.partition(":")
    try:
        arm = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ValueError(
            f"this arm cannot be imported ({type(error).__name__}: {error}): give module:NAME of "
            "an Arm in a module on PYTHONPATH"
        ) from error
    if not isinstance(arm, Arm):
        raise ValueError(
            f"this is no Arm, but of type {type(arm).__name__}: see sofdata.bench.study.arms"
        )
    register_arm(arm)
    return arm.name
