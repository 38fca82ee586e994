"""What lies at a destination before an ingest, and what may be done with it."""

from __future__ import annotations

import os
from collections.abc import Iterable

from sofdata.errors import ConfigError, InputError
from sofdata.ingest.config import IngestConfig, stored_config
from sofdata.ingest.finish import provenance
from sofdata.ingest.generation import read_ledger
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import FLAG, UNKNOWN, split_digests, with_stored
from sofdata.ingest.plan import IngestPlan
from sofdata.shards.layout import DATASET, FILES, INDEX, PLAN, REJECTS, SHARDS, VIDEOS, WIDS
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import Counts, DatasetActions, DatasetRecord, LedgerRecord
from sofdata.shards.wids import listed_shards
from sofdata.storage.local import SCRATCH
from sofdata.storage.lock import LOCK
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec
from sofdata.video.decord_reader import require_decord

APPEND = "append"  # the one operation that goes on with an ingested dataset
OURS = (SCRATCH, LOCK, PLAN, FILES)


def check_places(source: Tree, dest: Tree) -> None:
    """Raise `ConfigError` if the destination lies in the source, or holds something else."""
    if dest.is_local and source.is_local:
        inside = os.path.join(os.path.realpath(dest.root), "")
        if inside.startswith(os.path.join(os.path.realpath(source.root), "")):
            raise ConfigError(f"{dest.name} lies inside {source.name}; choose a folder beside it")
    same_store = not dest.is_local and dest.url.split("://")[0] == source.url.split("://")[0]
    if same_store and f"{dest.root}/".startswith(f"{source.root}/"):
        raise ConfigError(f"{dest.name} lies inside {source.name}; choose a folder beside it")
    if dest.is_local and os.path.exists(dest.root) and not os.path.isdir(dest.root):
        raise ConfigError(f"{dest.name} is a file; the destination must be a folder")
    if dest.url.startswith(("http://", "https://")):
        raise ConfigError(f"{dest.name}: HTTP is read only; write to a path, s3:// or gs://")
    dest.check_bucket()
    # Listed before it is looked for: another driver may begin the same dataset just now.
    others = [name for name in dest.names("") if name not in OURS]
    if others and read_dataset(dest) is None and not _has_units(dest):
        raise ConfigError(
            f"{dest.name} holds other files and no {DATASET}; choose an empty or a new folder"
        )


def _has_units(dest: Tree) -> bool:
    """Whether a place without `dataset.json` holds ledger records: then it has lost it."""
    return next(read_ledger(dest), None) is not None


def check_can_run(config: IngestConfig, dest: Tree) -> None:
    """Raise `ConfigError` for what could not work on any video."""
    if config.video.decoder == "decord":
        require_decord()
    if dest.url.startswith("memory://") and config.run.engine != "inline":
        raise ConfigError("memory:// is not shared by processes: use '--engine inline' with it")


def check_files(dest: Tree) -> None:
    """Raise `ConfigError` if a file that a complete dataset needs is not there."""
    try:
        missing = sorted(listed_shards(dest).keys() - set(dest.names(SHARDS)))
    except FileNotFoundError:
        missing = [WIDS]
    except InputError as error:
        raise ConfigError(str(error)) from None
    missing += [name for name in (INDEX, REJECTS, VIDEOS) if not dest.exists(name)]
    if missing:
        raise ConfigError(
            f"{dest.name} is complete by its records, but lacks {', '.join(missing[:3])}; "
            "'sofdata verify --repair' queues again what is lost"
        )


def with_stored_batch(config: IngestConfig, dest: Tree) -> IngestConfig:
    """A config whose `flow.batch_pairs` "auto" is the number that a dataset was begun with.

    What fits into another GPU's memory is another number, and would be another configuration.
    """
    if config.flow.batch_pairs != "auto" or (stored := read_dataset(dest)) is None:
        return config
    pairs = stored_config(stored.config).flow.batch_pairs
    return config.model_copy(update={"flow": config.flow.model_copy(update={"batch_pairs": pairs})})


def check_same_units(records: Iterable[LedgerRecord], job: UnitJob, mix: bool) -> None:
    """Raise `ConfigError` for units whose `dataset.json` is lost, if they were made
    with another configuration or other libraries.

    mix: go on with other libraries.
    """
    digest = job.config.digest()
    for record in records:
        if record.config_sha256 != digest:
            raise ConfigError(
                f"{job.dest.name} has lost its {DATASET}, and unit {record.unit} was made with "
                "another configuration; use the same one, or another destination"
            )
        if not mix and {*split_digests(record.libraries)} - {UNKNOWN, *job.libraries}:
            raise ConfigError(
                f"{job.dest.name} has lost its {DATASET}, and unit {record.unit} was made with "
                f"other libraries than those here; add '{FLAG}' to mix them, or use another "
                "destination"
            )


def check_ingested(stored: DatasetRecord, dest: Tree, appends: bool) -> None:
    """Raise `ConfigError` for a dataset that was made of others: it has no source to ingest; and,
    unless a corpus is appended, for one of several corpora.
    """
    for step in stored.lineage or ():
        if step.operation != APPEND:
            raise ConfigError(
                f"{dest.name} was made of other datasets ({step.command}), and an ingest would "
                "undo that: ingest into another folder, then make it again or merge both"
            )
        if not appends:
            raise ConfigError(
                f"{dest.name} holds several corpora, and an ingest of one would lose the others: "
                "'sofdata append SOURCE DEST' goes on with any of them (--update where it changed)"
            )


def check_same_actions(stored: DatasetRecord, actions: ActionSpec | None, dest: Tree) -> None:
    """Raise `ConfigError` if the source's actions are no longer what the dataset says."""
    found = _describe(actions)
    if stored.actions != found:
        raise ConfigError(
            f"the actions of the source are now {found}, those in {dest.name} are "
            f"{stored.actions}; use another destination"
        )


def new_record(job: UnitJob, plan: IngestPlan, before: DatasetRecord | None) -> DatasetRecord:
    """What `dataset.json` says of a plan before it is carried out. before: what it says now."""
    extras = plan.extras
    return DatasetRecord(
        complete=False,
        corpus=job.corpus,
        config=job.config.content(),
        config_sha256=job.config.digest(),
        counts=Counts(
            videos=plan.videos,
            ignored_files=dict(sorted(extras.ignored.items())),
            label_files=extras.label_files,
            unused_rows=dict(sorted(extras.unused_rows.items())),
        ),
        flow={},
        provenance=before.provenance if before else provenance(job.config),
        libraries=with_stored(before, job.libraries),
        notes=list(extras.notes),
        actions=_describe(job.actions),
        lineage=before.lineage if before else None,
    )


def _describe(actions: ActionSpec | None) -> DatasetActions | None:
    if actions is None:
        return None
    return DatasetActions(names=list(actions.names), dimension=actions.dimension, fps=actions.fps)
