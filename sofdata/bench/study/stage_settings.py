"""Settings of the stages that differ between arms: latent model, action decoder, and clone."""

from __future__ import annotations

from typing import Any, Literal, overload

from sofdata.bench.baselines.lapa_config import LapaStage
from sofdata.bench.baselines.tracks_config import TracksStage
from sofdata.bench.study.arms import Arm, Source
from sofdata.bench.study.config import BenchConfig
from sofdata.models.action.config import DecoderConfig
from sofdata.models.skill.eyes import EyesConfig
from sofdata.train.config import DecoderStage, OptimConfig, SkillStage

KINDS: dict[Source, str] = {"flow": "skill", "frames": "lapa", "tracks": "tracks"}


@overload
def latent_stage(source: Literal["flow"], config: BenchConfig) -> SkillStage: ...
@overload
def latent_stage(source: Literal["frames"], config: BenchConfig) -> LapaStage: ...
@overload
def latent_stage(source: Literal["tracks"], config: BenchConfig) -> TracksStage: ...
@overload
def latent_stage(source: Source, config: BenchConfig) -> SkillStage | LapaStage | TracksStage: ...
def latent_stage(source: Source, config: BenchConfig) -> SkillStage | LapaStage | TracksStage:
    """Settings of an arm's latent model; it sees as the skill model does, and has its channels
    unless it says otherwise."""
    if source == "flow":
        return config.skill
    eyes = {key: getattr(config.skill.model, key) for key in EyesConfig.model_fields}
    if source == "frames":
        return config.lapa.model_copy(update={"model": config.lapa.model.model_copy(update=eyes)})
    if config.tracks.model.channels is None:
        eyes["channels"] = config.skill.model.channels
    if config.labels == "play":
        eyes["reads"] = "true"  # nobody can predict what undirected play does next
    model = config.tracks.model.model_copy(update=eyes)
    return config.tracks.model_copy(update={"model": model})


def decoder_stage(arm: Arm, config: BenchConfig, blind: bool = False) -> DecoderStage:
    """Settings of the arm's action decoder and of its training; `blind`: of one that is not told
    the task, whatever the others are."""
    optim = config.decoder.optim
    if arm.name == "bc+compute":  # so many, however few windows it has
        optim = optim.model_copy(update={"steps": config.compute_updates, "epochs": None})
    if arm.clones and config.naming.updates:
        optim = optim.model_copy(update={"steps": min(optim.steps, config.naming.updates)})
    if not arm.skills:
        return _cloning(config, config.bc_encoder if arm.encoder_only else "fresh", optim)
    model = config.decoder.model
    # Tracks and LAPA's codes are read as they are; of codes, frames can be decoded as well.
    decodes = arm.latent == "frames" and config.lapa.model.conditions == "frames"
    reads_flow = (arm.latent == "flow" or decodes) and model.condition != "none"
    changes: dict[str, Any] = {
        "condition": model.condition if reads_flow else "skill",
        "encoder": config.skill_encoder,
        "task": (model.task or "words") if config.skill_task and not blind else None,
    }
    if arm.clones:
        changes |= {"state": False, "second_camera": False}  # what it names has neither
    if arm.clones and arm.latent == "flow" and reads_flow and config.naming.condition == "motion":
        changes |= {"condition": "motion", "context": config.naming.context}
    return _stage(config, changes, optim)


def clone_stage(config: BenchConfig) -> DecoderStage:
    """Settings of the policy of an arm that clones: as bc, with `clone_updates` and the image
    encoder of decoders that are conditioned on skills."""
    optim = config.decoder.optim.model_copy(update={"steps": config.clone_updates})
    stage = _cloning(config, config.skill_encoder, optim)
    # Videos have neither.
    blind = stage.model.model_copy(update={"state": False, "second_camera": False})
    return stage.model_copy(update={"model": blind})


def finetune_stage(config: BenchConfig) -> DecoderStage:
    """Settings of what follows: the same policy on demonstrations alone."""
    stage = clone_stage(config)
    optim = stage.optim.model_copy(update={"steps": config.finetune_updates})
    return stage.model_copy(update={"optim": optim})


def _cloning(config: BenchConfig, encoder: str, optim: OptimConfig) -> DecoderStage:
    task = config.decoder.model.task or "words"
    changes = {"condition": "none", "encoder": encoder, "task": task, "code_noise": 0.0}
    return _stage(config, changes, optim)


def _stage(config: BenchConfig, changes: dict[str, Any], optim: OptimConfig) -> DecoderStage:
    built = DecoderConfig.parse(config.decoder.model.model_dump() | changes)
    return config.decoder.model_copy(update={"model": built, "optim": optim})
