"""The last step of an ingest: the tables and `dataset.json`, all derived from plan and ledger."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from sofdata.errors import StorageError
from sofdata.ingest.account import Account
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.generation import (
    Generation,
    clear_next,
    clear_records,
    next_shards,
    read_records,
    several,
)
from sofdata.ingest.libraries import (
    merged_provenance,
    recorded,
    with_sets_note,
)
from sofdata.ingest.plan import IngestPlan, save_plan
from sofdata.ingest.tables import Table, tables_of
from sofdata.shards.commit import committed_units
from sofdata.shards.layout import (
    DATASET,
    FLOW,
    LEDGER,
    NEXT_LEDGER,
    QUARANTINE,
    SHARDS,
    WIDS,
    is_kept_name,
    is_shard_name,
    ledger_name,
)
from sofdata.shards.parquet import TableWriter
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.system.versions import __version__, installed

# What could change a byte of the result without any change to sofdata.
RECORDED_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "av",
    "decord",
    "ptlflow",
    "torch",
)


def finish(dest: Tree, generation: Generation, keep_next: bool = False) -> DatasetRecord:
    """Put a generation in place whose units are all committed, and retire what it replaces.

    Everything here follows from the plan and the ledger, so that it can be made again at any
    time and comes out the same: an interrupted finish is repeated from its beginning. What stood
    before stays whole until all tables are made, and is removed only once they are in place.
    Each ledger record is read once and forgotten.

    keep_next: leave what lies in `next/`, of a generation that has lost its plan, for another.
    """
    plan, account = generation.plan, Account(generation.plan)
    with dest.scratch() as folder:
        files = {
            table: TableWriter(os.path.join(folder, table.name), table.schema())
            for table in tables_of(generation.record.config)
        }
        _make_tables(dest, generation, account, files)
        _check_shards(dest, account)
        fault_point("finish: tables made")
        # Loaders refuse a dataset that is not complete: none sees the old tables with new records.
        incomplete = generation.record.model_copy(update={"complete": False})
        dest.write(DATASET, incomplete.to_json())
        fault_point("finish: dataset begun")
        _put_in_place(dest, generation)
        for table, file in files.items():
            dest.put(file.path, table.name)
            fault_point(f"finish: {table.name} written")
    dest.write(WIDS, account.wids_index())
    fault_point("finish: shards listed")
    if not keep_next:  # before `_retire`, which keeps the shards that records in next/ name
        clear_records(dest)
    _retire(dest, plan, account)
    fault_point("finish: retired")
    libraries = recorded(generation.record, account.digests)
    changes = {
        "complete": True,
        "counts": account.counts(generation.record.counts),
        "flow": account.flow(),
        "kept": account.kept(generation.record.config),
        "libraries": libraries,
        "provenance": merged_provenance(generation.record.provenance, libraries),
        "notes": with_sets_note(generation.record.notes, libraries),
    }
    complete = generation.record.model_copy(update=changes)
    dest.write(DATASET, complete.to_json())
    fault_point("finish: dataset completed")
    if not keep_next:
        clear_next(dest)
    return complete


def _make_tables(
    dest: Tree, generation: Generation, account: Account, files: Mapping[Table, TableWriter]
) -> None:
    """Write the rows of all tables and fill the account. No more than a row group is in memory."""
    for table, file in files.items():
        for rows in table.refused_rows(generation.plan):
            file.write(rows)
    for record in read_records(dest, generation):
        account.add(record)
        for table, file in files.items():
            for rows in table.record_rows(record):
                file.write(rows)
    for file in files.values():
        file.finish()


def _check_shards(dest: Tree, account: Account) -> None:
    """Raise `StorageError` if a shard is gone that a record names: nothing else would notice."""
    missing = sorted({*account.shards} - {*dest.names(SHARDS)})
    missing += sorted({*account.kept_shards} - {*dest.names(FLOW)}) if account.kept_shards else []
    if missing:
        raise StorageError(
            f"{dest.name} lacks {len(missing)} shards that its ledger names ({missing[0]}): put "
            "them back, or 'sofdata verify --repair' queues their units again; then rerun the "
            "command"
        )


def _put_in_place(dest: Tree, generation: Generation) -> None:
    """Bring the records and the plan of a generation that lies in `next/` to their places."""
    if not generation.staged:
        return

    def bring(unit: str) -> None:
        name = ledger_name(unit)
        dest.write(f"{LEDGER}/{name}", dest.read(f"{NEXT_LEDGER}/{name}"))

    for _ in several(dest, bring, sorted(committed_units(dest, NEXT_LEDGER))):
        fault_point("finish: record in place")
    save_plan(dest, generation.plan)
    fault_point("finish: plan in place")


def _retire(dest: Tree, plan: IngestPlan, account: Account) -> None:
    """Remove records, shards and notes that no unit of the plan has; all that has replaced them
    is committed. Only files that have our names are touched.
    """
    lost = sorted(committed_units(dest) - plan.units.ids)
    records = (f"{LEDGER}/{ledger_name(unit)}" for unit in lost)
    for _ in several(dest, dest.remove, records):
        fault_point("finish: record retired")
    known = {*account.shards} | next_shards(dest)
    shards = sorted({*filter(is_shard_name, dest.names(SHARDS))} - known)
    for _ in several(dest, dest.remove, (f"{SHARDS}/{name}" for name in shards)):
        fault_point("finish: shard retired")
    flow = sorted({*filter(is_kept_name, dest.names(FLOW))} - {*account.kept_shards} - known)
    for _ in several(dest, dest.remove, (f"{FLOW}/{name}" for name in flow)):
        fault_point("finish: kept flow retired")
    notes = sorted({*dest.names(QUARANTINE)} - account.quarantine_notes)
    for _ in several(dest, dest.remove, (f"{QUARANTINE}/{name}" for name in notes)):
        fault_point("finish: note removed")


def provenance(config: IngestConfig) -> dict[str, Any]:
    """Versions that the result may depend on."""
    return {
        "sofdata": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": installed(*RECORDED_PACKAGES),
        "estimator": config.flow.estimator,
        "weights_sha256": config.flow.weights_sha256,
    }
