"""Saved models: the layout of their folder, and loading them.

`model.pt` holds the kind of model, its configuration (`spec`, as JSON) and its weights; it is read
with `weights_only=True`. The planner and the action decoder record the hash of the skill model that
they were trained with, and are not loaded with another.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.files import load_file, save_file
from sofdata.models.planner.planner import Planner
from sofdata.models.policy import Policy
from sofdata.models.skill.conditioned import SkillConditioned
from sofdata.models.skill.vae import SkillVAE
from sofdata.system.digests import json_bytes

MODEL = "model.pt"
FORMAT = 1


def load(path: str | Path) -> Policy:
    """Load what `sofdata train` has written to `path`: a policy that plans and acts.

    Planner or decoder may be missing; using them then raises an error. Raises `ConfigError` where
    there is no skill model, or the others were trained with another one.
    """
    folder = Path(path)
    skill = load_skill(folder)
    planner = decoder = None
    if (folder / "planner" / MODEL).exists():
        planner = load_model(folder, "planner", Planner, skill)
    if (folder / "decoder" / MODEL).exists():
        decoder = load_model(folder, "decoder", ActionDecoder, skill)
    return Policy(skill, planner, decoder)


def load_skill(folder: Path) -> SkillVAE:
    """The skill model in a folder, in evaluation mode and frozen."""
    file = folder / "skill" / MODEL
    if not file.exists():
        raise ConfigError(f"there is no skill model at {file}: 'sofdata train skill' makes one")
    model: SkillVAE = load_model(folder, "skill", SkillVAE)
    return model


def save_model(folder: Path, kind: str, model: Any) -> str:
    """Write `model.pt`; returns its sha256."""
    state = {"format": FORMAT, "kind": kind, "spec": json.dumps(model.spec())}
    if isinstance(model, SkillConditioned):
        state["skill"] = fingerprint(model.skill)
    return save_file(folder / MODEL, {**state, "weights": model.state_dict()})


def fingerprint(model: SkillVAE) -> str:
    """sha256 of a model's weights, the same wherever it was saved."""
    digest = hashlib.sha256(json_bytes(model.spec()))
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_model(folder: Path, kind: str, build: Any, *skill: Any) -> Any:
    """The model in `folder`/`kind`, of the class `build`, in evaluation mode and frozen; the state
    of torch's generator stays as it is.

    skill: the skill model that it was trained with, if any.

    Raises `ConfigError` where it is of another kind or architecture, or was trained with another
    skill model.
    """
    path = folder / kind / MODEL
    saved = load_file(path)
    if saved.get("format") != FORMAT or saved.get("kind") != kind:
        raise ConfigError(
            f"{path} holds a '{saved.get('kind')}' of format {saved.get('format')}; expected a "
            f"'{kind}' of format {FORMAT}"
        )
    if skill and saved["skill"] != fingerprint(skill[0]):
        raise ConfigError(
            f"{path} was trained with another skill model than the one in {folder}: train it "
            f"again with 'sofdata train {kind}'"
        )
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and then replaced
        model = build.from_spec(json.loads(saved["spec"]), *skill)
    try:
        model.load_state_dict(saved["weights"])
    except RuntimeError as error:
        what = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ConfigError(
            f"the weights in {path} are of another architecture than this version of sofdata "
            f"builds from the settings in it: {what}. Train it again"
        ) from None
    return model.eval().requires_grad_(False)
