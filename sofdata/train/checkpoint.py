"""Checkpoints: whole or not there, checked by hash, and read without running anything in them.

A folder holds `step-NNNNNNNN.pt` files and `latest.json`, which lists them, newest first, with
their sha256. A file counts only once it is listed. Files load with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import InputError
from sofdata.storage import atomic
from sofdata.system.fault_points import fault_point

KEPT = 2
LATEST = "latest.json"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint and list it first; the oldest ones beyond two are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{step:08d}.pt"
    sha256 = save_file(folder / name, state)
    fault_point("checkpoint: file written")
    listed = [entry for entry in _listed(folder) if entry["file"] != name]
    listed = [{"file": name, "sha256": sha256}, *listed]
    atomic.write_text(folder / LATEST, json.dumps(listed[:KEPT], indent=1))
    fault_point("checkpoint: listed")
    atomic.remove_partials(folder)  # of trainings that were killed: as large as a checkpoint
    kept = {entry["file"] for entry in listed[:KEPT]}
    for path in folder.glob("step-*.pt"):
        if path.name not in kept:
            path.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint of a folder, None if it has none.

    Raises `InputError` if its file is missing or is not what was written.
    """
    listed = _listed(folder)
    return load_file(folder / listed[0]["file"], listed[0]["sha256"]) if listed else None


def save_file(path: Path, state: dict[str, Any]) -> str:
    """Write a file of tensors and plain values atomically; returns its sha256."""
    with atomic.replacing(path) as partial:
        with partial.open("wb") as file:
            torch.save(state, file)
        return hash_of(partial)


def load_file(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """Read a file of tensors and plain values to the CPU.

    Raises `InputError` if it cannot be read, or is not the one with this hash.
    """
    try:
        if sha256 is not None and hash_of(path) != sha256:
            raise InputError(
                f"{path} is damaged: its sha256 is not the one recorded beside it. Remove its "
                f"entry from {path.parent / LATEST} to go on from the one before, or the folder "
                "to start anew"
            )
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}") from None
    except Exception as error:  # what torch raises for pickles that it refuses
        if type(error).__name__ != "UnpicklingError":
            raise
        raise InputError(f"{path} holds more than weights and is not loaded") from None
    return state


def hash_of(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(folder: Path) -> list[dict[str, str]]:
    try:
        listed: list[dict[str, str]] = json.loads((folder / LATEST).read_text())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise InputError(f"{folder / LATEST} is not JSON: {error}") from None
    return listed
