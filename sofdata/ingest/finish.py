"""The last step of an ingest: the tables and `dataset.json`, all derived from plan and ledger."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from typing import Any

from sofdata.errors import StorageError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.generation import (
    Generation,
    clear_next,
    clear_records,
    next_shards,
    read_records,
)
from sofdata.ingest.libraries import (
    merged_provenance,
    recorded,
    split_digests,
    with_sets_note,
)
from sofdata.ingest.plan import IngestPlan, save_plan
from sofdata.ingest.tables import TABLES
from sofdata.shards.commit import committed_units
from sofdata.shards.layout import (
    DATASET,
    LEDGER,
    NEXT_LEDGER,
    QUARANTINE,
    SHARDS,
    WIDS,
    is_shard_name,
    ledger_name,
)
from sofdata.shards.parquet import TableWriter
from sofdata.shards.sample import quarantine_name
from sofdata.shards.schema import Counts, DatasetRecord, LedgerRecord, ShardRecord
from sofdata.shards.stats import Merged
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
            table: TableWriter(os.path.join(folder, table.name), table.schema()) for table in TABLES
        }
        for table, file in files.items():
            file.write(table.refused_rows(plan))
        for record in read_records(dest, generation):
            account.add(record)
            for table, file in files.items():
                file.write(table.record_rows(record))
        for file in files.values():
            file.finish()
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


def _check_shards(dest: Tree, account: Account) -> None:
    """Raise `StorageError` if a shard is gone that a record names: nothing else would notice."""
    if missing := sorted({*account.shards} - {*dest.names(SHARDS)}):
        raise StorageError(
            f"{dest.name} lacks {len(missing)} shards that its ledger names ({missing[0]}): put "
            "them back, or 'sofdata verify --repair' queues their units again; then rerun the "
            "command"
        )


def _put_in_place(dest: Tree, generation: Generation) -> None:
    """Bring the records and the plan of a generation that lies in `next/` to their places."""
    if not generation.staged:
        return
    for unit in sorted(committed_units(dest, NEXT_LEDGER)):
        name = ledger_name(unit)
        dest.write(f"{LEDGER}/{name}", dest.read(f"{NEXT_LEDGER}/{name}"))
        fault_point("finish: record in place")
    save_plan(dest, generation.plan)
    fault_point("finish: plan in place")


def _retire(dest: Tree, plan: IngestPlan, account: Account) -> None:
    """Remove records, shards and notes that no unit of the plan has; all that has replaced them
    is committed. Only files that have our names are touched.
    """
    planned = {unit.id for unit in plan.units}
    for unit in sorted(committed_units(dest) - planned):
        dest.remove(f"{LEDGER}/{ledger_name(unit)}")
        fault_point("finish: record retired")
    known = {*account.shards} | next_shards(dest)
    for name in sorted({*filter(is_shard_name, dest.names(SHARDS))} - known):
        dest.remove(f"{SHARDS}/{name}")
        fault_point("finish: shard retired")
    for name in sorted({*dest.names(QUARANTINE)} - account.quarantine_notes):
        dest.remove(f"{QUARANTINE}/{name}")


class Account:
    """Counts how everything ended, record by record."""

    def __init__(self, plan: IngestPlan) -> None:
        self._videos = plan.videos
        self._status: Counter[str] = Counter(rejected=len(plan.refused))
        self._reasons = Counter(refused.reason for refused in plan.refused)
        self._window_reasons: Counter[str] = Counter()
        self._windows = 0
        self._parts: Counter[str] = Counter()
        self._shards: list[ShardRecord] = []
        self._flow = Merged()
        self.quarantine_notes: set[str] = set()
        self.digests: set[str] = set()  # of the libraries that computed the units

    def add(self, record: LedgerRecord) -> None:
        """Count a unit. Units come in the order of the plan."""
        self._status.update(video.status for video in record.videos)
        self._reasons.update(video.reason for video in record.videos if video.reason)
        for video in record.videos:
            self._parts["salvaged"] += video.status == "done" and bool(video.salvaged)
            self._parts["spans_cut"] += video.missing_s > 0
            if video.status == "quarantined":
                self.quarantine_notes.add(quarantine_name(video.id))
            for name in ("frames", "frames_lost", "frames_undated"):
                self._parts[name] += getattr(video, name)
        self._window_reasons.update(window.reason for window in record.rejected_windows)
        self._windows += len(record.windows)
        self._flow.add(record.statistics)
        self.digests.update(split_digests(record.libraries))
        if record.shard:
            self._shards.append(record.shard)

    @property
    def windows(self) -> int:
        return self._windows

    @property
    def shards(self) -> list[str]:
        """Names of the shards."""
        return [shard.name for shard in self._shards]

    def counts(self, listed: Counts) -> Counts:
        """The counts. listed: those of what the source holds beside its videos are taken over."""
        return Counts(
            videos=self._videos,
            done=self._status["done"],
            rejected=self._status["rejected"],
            quarantined=self._status["quarantined"],
            windows=self._windows,
            windows_rejected=self._window_reasons.total(),
            shards=len(self._shards),
            bytes=sum(shard.size_bytes for shard in self._shards),
            reasons=dict(sorted(self._reasons.items())),
            window_reasons=dict(sorted(self._window_reasons.items())),
            ignored_files=listed.ignored_files,
            label_files=listed.label_files,
            unused_rows=listed.unused_rows,
            **self._parts,
        )

    def flow(self) -> dict[str, Any]:
        """Statistics of all stored flow."""
        return self._flow.summary()

    def wids_index(self) -> bytes:
        """The index that `wids` reads; its URLs are relative to itself."""
        shards = [
            {
                "url": shard.name,
                "nsamples": shard.samples,
                "filesize": shard.size_bytes,
                "md5sum": shard.md5,
            }
            for shard in self._shards
        ]
        index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}
        return json.dumps(index, sort_keys=True, indent=1).encode()


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
