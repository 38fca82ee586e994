"""The arms: what each trains, upon what, and how it acts.

All see the same images through image encoders of the same build, learn from the same K labelled
demonstrations of each task with the same augmentation, and carry out as many actions before they
look again. Updates of the action head are the same but for bc+compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sofdata.bench.study.config import ArmName, BenchConfig
from sofdata.models.action.config import DecoderConfig
from sofdata.train.config import DecoderStage

Source = Literal["flow", "frames"]
ALL_DEMOS = 50


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to a policy.

    latent: what its latent model reads: windows of flow (the skill model), pairs of frames (LAPA),
        or None for an arm without one.
    videos: whether that model, and the prior, learn from videos; else from the K demonstrations.
    skills: whether the action decoder is told a skill and a prior proposes it; else the latent
        model lends its image encoder at most.
    shuffled: train the decoder with skills of other windows.
    goals: search for skills that lead to how the K demonstrations ended.
    clones: in place of a prior, the action decoder names the actions of every window of the videos
        by its true skill, and what acts is a policy cloned from these and the demonstrations.
    demos: how many demonstrations it always has; 0: K.
    """

    name: ArmName
    what: str
    latent: Source | None = None
    videos: bool = True
    skills: bool = False
    shuffled: bool = False
    goals: bool = False
    clones: bool = False
    demos: int = 0

    @property
    def encoder_only(self) -> bool:
        """Whether it takes no more than the image encoder from its latent model."""
        return self.latent is not None and not self.skills

    @property
    def prior(self) -> bool:
        """Whether it acts by skills that a prior proposes."""
        return self.skills and not self.clones


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


def decoder_stage(arm: Arm, config: BenchConfig) -> DecoderStage:
    """How the arm's action decoder is built and trained."""
    steps = config.compute_updates if arm.name == "bc+compute" else config.decoder.optim.steps
    if not arm.skills:
        return _cloning(config, config.bc_encoder if arm.encoder_only else "fresh", steps)
    model = config.decoder.model
    # LAPA's latent actions are read as they are: no flow can be decoded from them.
    reads_flow = arm.latent == "flow" and model.condition != "none"
    changes = {
        "condition": model.condition if reads_flow else "skill",
        "encoder": config.skill_encoder,
        "task": (model.task or "words") if config.skill_task else None,
    }
    return _stage(config, changes, steps)


def clone_stage(config: BenchConfig) -> DecoderStage:
    """How the policy of an arm that clones is built and trained: as bc, for more updates, with the
    image encoder that decoders of skills have."""
    return _cloning(config, config.skill_encoder, config.clone_updates)


def _cloning(config: BenchConfig, encoder: str, steps: int) -> DecoderStage:
    task = config.decoder.model.task or "words"
    changes = {"condition": "none", "encoder": encoder, "task": task, "code_noise": 0.0}
    return _stage(config, changes, steps)


def _stage(config: BenchConfig, changes: dict[str, Any], steps: int) -> DecoderStage:
    built = DecoderConfig.parse(config.decoder.model.model_dump() | changes)
    optim = config.decoder.optim.model_copy(update={"steps": steps})
    return config.decoder.model_copy(update={"model": built, "optim": optim})
