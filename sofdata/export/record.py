"""`export.json`: of what an export is, whether it is whole, and what was left out of it and why.

It is written before anything else, and completed after everything else. So an export that was
stopped is known by it, the same command goes on with it, and no folder of anybody else is written
into.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError
from sofdata.shards.layout import DATASET, INDEX
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.lock import LOCK
from sofdata.storage.tree import Tree
from sofdata.system.versions import __version__

EXPORT = "export.json"
MOST_BYTES = 64 << 20
SHOWN = 3
Format = Literal["lerobot", "hf"]


class LeftOut(BaseModel):
    """Windows that are in the dataset and not in the export: of one video, for one reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: str
    windows: int
    reason: str
    detail: str = ""


class ExportRecord(BaseModel):
    """What an export is.

    Every window of the dataset is in it or left out: `account.windows` = `windows_exported` +
    those of `left_out`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format
    complete: bool = Field(description="Whether all of it is there.")
    dataset: str = Field(description="Name of the dataset, without its folder.")
    identity: dict[str, Any] = Field(description="What decides the export: data and settings.")
    account: dict[str, int] = Field(default_factory=dict, description="Sums, by what.")
    left_out: list[LeftOut] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="What may be taken for wrong.")
    sofdata: str = __version__

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(self.model_dump(mode="json"), indent=1).encode() + b"\n"


def complete_dataset(tree: Tree) -> DatasetRecord:
    """The record of a dataset that can be exported. Raises `ConfigError`."""
    dataset = read_dataset(tree)
    if dataset is None:
        raise ConfigError(f"{tree.name} holds no {DATASET}: it is no dataset of sofdata")
    if not dataset.complete:
        raise ConfigError(f"{tree.name} is not complete: run what made it again, then export")
    if not dataset.counts.windows:
        raise ConfigError(f"{tree.name} holds no window: there is nothing to export")
    return dataset


def digest_of(tree: Tree) -> str:
    """sha256 of a dataset's record and index, which change with any of its windows."""
    found = hashlib.sha256()
    for name in (DATASET, INDEX):
        with tree.open(name) as stream:
            while data := stream.read(1 << 20):
                found.update(data)
    return found.hexdigest()


def name_of(tree: Tree) -> str:
    """What a dataset is called where its place says nothing: the last part of it."""
    return tree.name.rstrip("/").rsplit("/", 1)[-1]


def begin(out: Tree, wanted: ExportRecord) -> ExportRecord:
    """What stands at a destination: the finished export that is wanted, or an unfinished one.

    The latter is what is to be written there, `wanted` itself or an earlier run of it.

    Raises `ConfigError` where something else is there: other files, or another export.
    """
    found = read_export(out)
    if found is None:
        if rel := _something(out):
            raise ConfigError(
                f"{out.name} holds {rel:.100} and no {EXPORT}: an export goes into a folder that "
                "is new, empty or its own. Choose another"
            )
        out.write(EXPORT, wanted.to_json())
        return wanted
    if found.format != wanted.format:
        raise ConfigError(
            f"{out.name} holds an export to {found.format}, not {wanted.format}: choose another "
            "folder"
        )
    ours, theirs = ({**each.identity, "sofdata": each.sofdata} for each in (wanted, found))
    if differ := sorted(key for key in ours.keys() | theirs if ours.get(key) != theirs.get(key)):
        shown = "; ".join(
            f"{key}: {theirs.get(key)!r:.60} there, {ours.get(key)!r:.60} now"
            for key in differ[:SHOWN]
        )
        raise ConfigError(
            f"{out.name} holds an export of other data or settings ({shown}). Choose another "
            "folder, or remove it"
        )
    return found


def read_export(out: Tree) -> ExportRecord | None:
    """The record of an export; None where there is none. Raises `ConfigError` for another file."""
    try:
        return ExportRecord.model_validate_json(read_small(out, EXPORT, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"{out.name} is no folder that an export can be written to") from None
    except ValidationError:
        raise ConfigError(
            f"{EXPORT} of {out.name} was not written by 'sofdata export', or is damaged: choose "
            "another folder, or remove this one"
        ) from None


def _something(out: Tree) -> str:
    """The name of a file at a destination, "" of none."""
    if not out.exists():
        return ""
    if out.is_local and out.is_file():
        raise ConfigError(f"{out.name} is a file; an export is a folder")
    files = (item.rel for item in out.walk() if item.rel.split("/")[0] not in (LOCK, ".scratch"))
    return next(files, "")
