"""Hyper-parameters are chosen on validation seeds and frozen before test seeds are touched.

`frozen.json` holds the chosen settings, their hash, and the validation cells that the choice rests
on. On test seeds, `sofdata bench run` refuses settings that are frozen neither in OUT/frozen.json
nor in the records of sofdata's own studies (pipelines/bench/frozen; those of the first in `first`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sofdata.bench.baselines.tracks_config import TracksStage
from sofdata.bench.records import CELL, read_record
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.counted import counted
from sofdata.config.earlier import identity
from sofdata.config.recipes import BENCH_RECIPES, carried, recipes
from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig
from sofdata.storage import atomic
from sofdata.system.digests import json_digest

FROZEN = "frozen.json"
_CHOOSING = (
    "measure them on validation seeds ('sofdata bench run --validation'), then freeze them "
    "('sofdata bench freeze')"
)
# Which cells are wanted, and what is only displayed: not choices that results could influence.
NOT_CHOSEN: Any = {
    "arms": True,
    "more_arms": True,
    "demos": True,
    "seeds": True,
    "videos": True,
    "curve": True,
    "curve_arms": True,
    "held_out": True,
    "folds": True,
    "reference_arms": True,
    "try_labelled": True,
    "labels": True,
    "play_minutes": True,
    "videos_from": True,
    "video_datasets": True,
    "exploratory": True,
    "counted": True,  # recorded itself, as the tasks that it gave
    "evaluation": {"strips", "episodes"},
    "skill": {"run"},
    "planner": {"run"},
    "decoder": {"run"},
    "lapa": {"run"},
    "tracks": {"run"},
    "ingest": {"run", "manifest"},
}


def chosen(config: BenchConfig) -> dict[str, Any]:
    """The settings that are hyper-parameters.

    The lists of what is held out are left out where there are none, and so is of ingest what it
    leaves out itself: settings that were frozen before these keys existed keep their hash. So do
    those of the planner, those of the track model where none is set, and keys that came later,
    where they are as before (see `sofdata.config.earlier`).
    """
    settings = identity(config, exclude=NOT_CHOSEN)
    settings["ingest"] = _of_ingest(config.ingest)
    settings["planner"]["model"] = config.planner.model.content()
    for stage in ("skill", "planner", "decoder", "lapa"):
        for key in ("held_out_list", "held_out_where"):
            if not settings[stage]["data"][key]:
                del settings[stage]["data"][key]
    for name in ("naming", "drawn", "joint"):
        if not settings[name]:
            del settings[name]
    if settings["tracks"] == identity(TracksStage(), exclude={"run"}):
        del settings["tracks"]
    return settings


def _of_ingest(config: IngestConfig) -> dict[str, Any]:
    """As an ingest states what decides its bytes, without keys that came later and change nothing;
    with those that stood in what was frozen first."""
    content = config.content()
    content.pop("manifest", None)
    windows = {"texts": config.windows.texts, **content["windows"]}
    return {"with_actions": config.with_actions, **content, "windows": windows}


def chosen_hash(config: BenchConfig) -> str:
    """sha256 of `chosen`."""
    return json_digest(chosen(config))


def freeze(config: BenchConfig, out: Path, note: str = "") -> Path:
    """Record the settings as chosen, with the validation cells in `out` that used them, and the
    tasks that count by these.

    Raises `ConfigError` if there is no such cell, or a test cell of other settings exists, or
    no task counts.
    """
    cells = read_cells(out)
    validation = [cell for cell in cells if cell["cell"]["purpose"] == "validation"]
    mine = [cell for cell in validation if chosen_hash(config) in cell["chosen_sha256"]]
    if not mine:
        raise ConfigError(
            f"no cell in {out} was measured on validation seeds with these settings: run "
            "'sofdata bench run --validation' with them first"
        )
    tested = [cell["chosen_sha256"] for cell in cells if cell["cell"]["purpose"] == "test"]
    if any(chosen_hash(config) not in settings for settings in tested):
        raise ConfigError(
            f"test seeds were already used in {out} with other settings: choosing now would be "
            "choosing by test results. Use another folder, and say so where you report it"
        )
    record = {
        "chosen_sha256": chosen_hash(config),
        "note": note,
        "validation_cells": {
            cell["hash"]: {**cell["cell"], "success": cell["success"]} for cell in mine
        },
        "settings": chosen(config),
    }
    if counting := _counted(config, mine, out, tested=bool(tested)):
        record["counted"] = counting
    atomic.write_json(out / FROZEN, record)
    return out / FROZEN


def _counted(
    config: BenchConfig, cells: list[dict[str, Any]], out: Path, *, tested: bool
) -> dict[str, Any] | None:
    """Which tasks count, by these validation cells: see `counted`. None: all.

    Once test seeds were used, what was recorded before stays: choosing anew would be choosing by
    test results.
    """
    if tested:
        path = out / FROZEN
        return read_record(path).get("counted") if path.exists() else None
    return counted(cells) if config.counted == "room" else None


def check_frozen(config: BenchConfig, out: Path) -> None:
    """Raises `ConfigError` unless the settings are frozen or exploratory."""
    if config.exploratory:
        return
    known = records(out)
    if chosen_hash(config) in [record["chosen_sha256"] for record in known]:
        return
    same = [record for record in known if record["settings"]["suite"] == config.suite]
    found = "no settings are frozen for this suite"
    if same:
        differing = list(differing_keys(chosen(config), same[0]["settings"]))
        found = f"these settings are not those that were frozen: {'; '.join(differing[:5])}"
    frozen = {record["chosen_sha256"] for record in same}
    for preset in recipes(BENCH_RECIPES):
        if chosen_hash(load_bench_config(preset)) in frozen:
            raise ConfigError(f"{found}. --preset {preset} has those; to use others, {_CHOOSING}")
    raise ConfigError(f"{found}. Before test seeds, {_CHOOSING}")


def read_cells(out: Path) -> list[dict[str, Any]]:
    """All finished cells of a folder, sorted by the names of their files."""
    return [read_record(path, *CELL) for path in sorted((out / "cells").glob("*.json"))]


def records(out: Path) -> list[dict[str, Any]]:
    """What is frozen in a folder, then what sofdata's last study froze, and what its first."""
    return [read_record(path, "chosen_sha256", "settings") for path in _records(out)]


def _records(out: Path) -> list[Path]:
    own = [out / FROZEN] if (out / FROZEN).exists() else []
    ours = carried("pipelines") / "bench" / "frozen"
    return [*own, *sorted(ours.glob("*.json")), *sorted(ours.glob("first/*.json"))]
