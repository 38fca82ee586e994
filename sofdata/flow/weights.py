"""Weights of learned flow models: found by name or path, fetched, hashed, read without unpickling.

torch is imported inside the functions: a node that only runs DIS has none.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from sofdata.errors import ConfigError

if TYPE_CHECKING:
    import torch

RANDOM = "random"


def cache_path(url: str) -> Path:
    """Where torch hub keeps the file of `url`: $TORCH_HOME/hub/checkpoints, as ptlflow does."""
    from torch import hub

    return Path(hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def locate(estimator: str, checkpoint: str | None, urls: Mapping[str, str]) -> Path:
    """The local file of a checkpoint, fetched into torch hub's cache if it must be.

    estimator: name for messages, "ptlflow:raft".
    checkpoint: one of the names in `urls`, or a path.
    urls: ptlflow's checkpoints of this model, name to URL.

    Raises `ConfigError` when none is given, when there is no such name or file, and when a named
    one is neither cached nor to be had: then it says what to fetch and where to put it.
    """
    names = ", ".join(urls) or "none published: give the path of your own"
    if checkpoint is None:
        raise ConfigError(
            f"{estimator} needs weights: set flow.checkpoint to one of its names ({names}) or to "
            "the path of a checkpoint"
        )
    if checkpoint in urls:
        return _cached(estimator, checkpoint, urls[checkpoint])
    path = Path(checkpoint).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(
            f"flow.checkpoint '{checkpoint}' is no file and no checkpoint name of {estimator} "
            f"(names: {names})"
        )
    return path


def _cached(estimator: str, name: str, url: str) -> Path:
    path = cache_path(url)
    if not path.is_file():
        _fetch(estimator, name, url, path)
    digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if digest and not sha256(path).startswith(digest[1]):
        raise ConfigError(
            f"{path} is damaged: its sha256 does not begin with {digest[1]}, as its name says. "
            f"Remove it and fetch {url} again"
        )
    return path


def _fetch(estimator: str, name: str, url: str, path: Path) -> None:
    from torch import hub

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, HTTPException) as error:
        raise ConfigError(
            f"{estimator} needs its weights '{name}', which are not in torch hub's cache and could "
            f"not be fetched ({error}). Fetch {url} on a machine with network and put it at "
            f"{path}, or point flow.checkpoint at the file wherever it lies"
        ) from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of a state dict, sorted by name."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint onto the CPU: its state dict, and ptlflow's extra parameters of the model.

    Accepts a plain state dict, or a dict that holds it as "state_dict" (Lightning, ptlflow). Only
    tensors and plain values are read (`weights_only=True`). Raises `ConfigError` for anything else.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path} is no checkpoint that torch can read with weights_only=True ({reason}); "
            "expected a state dict, or a dict with 'state_dict'"
        ) from error
    found = found if isinstance(found, dict) else {}
    state = found.get("state_dict", found)
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConfigError(
            f"{path} holds {', '.join(map(str, list(found)[:5])) or 'no dict'}; expected a state "
            "dict (names to tensors), or a dict with 'state_dict'"
        )
    return dict(state), dict(found.get("hyper_parameters", {}).get("extra_params") or {})
