"""Files of weights: written whole or not at all, and read without running anything in them.

A file holds tensors and plain values; it loads with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import InputError
from sofdata.storage import atomic


def save_file(path: Path, state: dict[str, Any]) -> str:
    """Write a file of tensors and plain values atomically; returns its sha256."""
    with atomic.replacing(path) as partial:
        with partial.open("wb") as file:
            torch.save(state, file)
        return hash_of(partial)


def load_file(path: Path, sha256: str | None = None, advice: str = "") -> dict[str, Any]:
    """Read a file of tensors and plain values to the CPU.

    sha256: what the file must have, None to read any. advice: what to do if it has another.

    Raises `InputError` if it cannot be read, or is not the one with this hash.
    """
    try:
        if sha256 is not None and hash_of(path) != sha256:
            raise InputError(
                f"{path} is damaged: its sha256 is not the one recorded beside it{advice}"
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
