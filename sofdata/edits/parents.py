"""The datasets that another is made of: opened, and recognised later by what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError
from sofdata.ingest.destination import check_files
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.loading.catalog import open_record
from sofdata.shards.layout import PLAN, WIDS
from sofdata.shards.schema import DatasetRecord, LineageStep, ParentRecord
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.versions import __version__

NEW = "NEW"  # in the command of a lineage: where the dataset lies, which may move
MOST_LISTED = 1 << 28  # bytes of shards/index.json, of a million shards


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """A complete dataset that another is made of. identity: as of `identity_of`."""

    tree: Tree
    record: DatasetRecord
    plan: IngestPlan
    identity: str

    @property
    def name(self) -> str:
        return self.tree.name

    def described(self) -> ParentRecord:
        """What a lineage says of it."""
        return described(self.tree, self.record, self.identity)

    def check(self) -> None:
        """Raise `ConfigError` if it is no longer what it was when it was opened."""
        if identity_of(self.tree, open_record(self.tree)) != self.identity:
            raise ConfigError(
                f"{self.name} has changed while it was read, so that what was made of it is of two "
                "states of it. Nothing was completed: choose a new folder and run the command again"
            )


def described(tree: Tree, record: DatasetRecord, identity: str) -> ParentRecord:
    """A dataset as a lineage names it."""
    return ParentRecord(
        name=tree.name,
        identity=identity,
        config_sha256=record.config_sha256,
        videos=record.counts.videos,
        windows=record.counts.windows,
    )


def open_parent(tree: Tree) -> Parent:
    """Open a dataset to make another of it. Nothing of it is locked, or will be changed.

    Raises `ConfigError` where there is none, or one that is not complete or lacks files.
    """
    record = open_record(tree)
    check_files(tree)
    plan = load_plan(tree)
    if plan is None:
        raise ConfigError(
            f"{tree.name} lacks {PLAN}; 'sofdata verify --repair' says how it is made again"
        )
    return Parent(tree, record, plan, identity_of(tree, record))


def identity_of(tree: Tree, record: DatasetRecord) -> str:
    """sha256 of what decides what a dataset holds: configuration, counts and hashes of shards."""
    try:
        listed = read_small(tree, WIDS, MOST_LISTED).decode()
    except FileNotFoundError:
        listed = ""
    counts = record.counts.model_dump(mode="json", exclude_unset=True)
    return json_digest([record.config_sha256, counts, listed])


def lineage_of(
    operation: str, command: str, settings: dict[str, Any], parents: Sequence[Parent]
) -> list[LineageStep]:
    """The lineage of a dataset made of others: theirs, each step once, and the one that made it."""
    steps = list[LineageStep]()
    for parent in parents:
        steps += [step for step in parent.record.lineage or () if step not in steps]
    made = LineageStep(
        operation=operation,
        command=command,
        settings=settings,
        parents=[parent.described() for parent in parents],
        sofdata=__version__,
    )
    return [*steps, made]
