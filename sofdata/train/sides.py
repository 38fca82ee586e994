"""`split.json`: which files a training learns from and which it is measured on, kept beside it.

It is written before the first step, used by every later run of the same training, and its hash is
part of the digest of a checkpoint: a training never resumes on files that it was measured on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sofdata.errors import ConfigError
from sofdata.loading.catalog import open_catalog, trees_of
from sofdata.loading.loader import Loader
from sofdata.loading.split import HeldOut, Sides, divide
from sofdata.loading.stored import split_stored, stored_sides
from sofdata.shards.layout import SPLIT
from sofdata.storage import atomic
from sofdata.train.config import DataConfig


def agreed_sides(
    folder: Path, digest: str, urls: Sequence[str], options: dict[str, Any], data: DataConfig
) -> Sides:
    """The sides of this training: those that are stored with it, or else decided now.

    digest: of the stage; what another training has stored is not used.
    Raises `ConfigError` where what is stored is damaged, or what is held out cannot be decided.
    """
    stored = _stored(folder / SPLIT)
    if stored is not None and stored[1] == digest:
        return stored[0]
    return decided_sides(urls, options, data)


def decided_sides(urls: Sequence[str], options: dict[str, Any], data: DataConfig) -> Sides:
    """The sides as they are decided now: those that are stored with the datasets, unless the
    settings say otherwise. Raises `ConfigError` where they cannot be.
    """
    trees = trees_of(urls, options)
    catalog = open_catalog(trees)
    named = data.held_out_list or data.held_out_where
    if data.stored_split and not named and split_stored(trees):
        return stored_sides(catalog, catalog.files())
    how = HeldOut(data.held_out, data.held_out_list, data.held_out_where)
    return divide(catalog, catalog.files(), how)


def store_sides(folder: Path, digest: str, sides: Sides, train: Loader, held_out: Loader) -> None:
    """Write `split.json`, unless this training, or another that is not at its end, has one."""
    path = folder / SPLIT
    if (stored := _stored(path)) and (stored[1] == digest or (folder / "checkpoints").is_dir()):
        return
    sizes = {"train": train, "held_out": held_out}
    data = sides.to_json(
        training=digest,
        files={"train": len(sides.train), "held_out": len(sides.held_out)},
        videos={name: loader.videos for name, loader in sizes.items()},
        windows={name: loader.rows for name, loader in sizes.items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, data)


def with_sides(digest: str, sides: Sides) -> str:
    """The digest of a checkpoint: of a training, and of the files that it learns from."""
    return hashlib.sha256(f"{digest}{sides.sha256}".encode()).hexdigest()


def _stored(path: Path) -> tuple[Sides, str] | None:
    """What is stored and the training that it is of, None if nothing is."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    sides = Sides.from_json(data, str(path))
    return sides, str(json.loads(data).get("training", ""))
