"""Checkpoints of a training: each is whole or does not count, and is checked by its hash.

A folder holds `step-NNNNNNNN.pt` files and `latest.json`, which lists them, newest first, with
their sha256. A file counts only once it is listed. How a file is written and read is in
`sofdata.models.files`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sofdata.errors import InputError
from sofdata.models.files import load_file, save_file
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
    if not listed:
        return None
    advice = (
        f". Remove its entry from {folder / LATEST} to resume from the one before, or the folder "
        "to start over"
    )
    return load_file(folder / listed[0]["file"], listed[0]["sha256"], advice)


def _listed(folder: Path) -> list[dict[str, str]]:
    try:
        listed: list[dict[str, str]] = json.loads((folder / LATEST).read_text())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise InputError(f"{folder / LATEST} is not JSON: {error}") from None
    return listed
