"""The last step of an ingest: the tables and `dataset.json`, all derived from plan and ledger."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from typing import Any

from sofdata import __version__
from sofdata.config import IngestConfig
from sofdata.faults import reached
from sofdata.ingest.libraries import (
    merged_provenance,
    recorded,
    split_digests,
    with_sets_note,
)
from sofdata.ingest.plan import Plan
from sofdata.ingest.tables import TABLES
from sofdata.shards.commit import read_records
from sofdata.shards.layout import DATASET, WIDS
from sofdata.shards.parquet import TableFile
from sofdata.shards.schema import Counts, DatasetRecord, LedgerRecord, ShardRecord
from sofdata.shards.stats import Merged
from sofdata.storage import Tree
from sofdata.versions import installed

# What could change a byte of the result without any change of ours.
RECORDED_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "av",
    "decord",
    "ptlflow",
    "torch",
)


def finish(dest: Tree, plan: Plan, dataset: DatasetRecord) -> DatasetRecord:
    """Write index, rejects, videos, the wids index and, last, a complete `dataset.json`.

    dataset: what `dataset.json` said when the plan was made.

    Everything here follows from the plan and the ledger, so that it can be made again at any
    time and comes out the same. Each ledger record is read once and forgotten.
    """
    account = Account(plan)
    with dest.scratch() as folder:
        files = {
            table: TableFile(os.path.join(folder, table.name), table.schema()) for table in TABLES
        }
        for table, file in files.items():
            file.write(table.refused_rows(plan))
        for record in read_records(dest, (unit.id for unit in plan.units)):
            account.add(record)
            for table, file in files.items():
                file.write(table.record_rows(record))
        for table, file in files.items():
            file.finish()
            dest.put(file.path, table.name)
            reached(f"finish: {table.name} written")
    dest.write(WIDS, account.wids_index())
    reached("finish: shards listed")
    libraries = recorded(dataset, account.digests)
    changes = {
        "complete": True,
        "counts": account.counts(dataset.counts),
        "flow": account.flow(),
        "libraries": libraries,
        "provenance": merged_provenance(dataset.provenance, libraries),
        "notes": with_sets_note(dataset.notes, libraries),
    }
    complete = dataset.model_copy(update=changes)
    dest.write(DATASET, complete.to_json())
    reached("finish: dataset completed")
    return complete


class Account:
    """Counts how everything ended, record by record."""

    def __init__(self, plan: Plan) -> None:
        self._videos = plan.videos
        self._status: Counter[str] = Counter(rejected=len(plan.refused))
        self._reasons = Counter(refused.reason for refused in plan.refused)
        self._window_reasons: Counter[str] = Counter()
        self._windows = 0
        self._parts: Counter[str] = Counter()
        self._shards: list[ShardRecord] = []
        self._flow = Merged()
        self.digests: set[str] = set()  # of the libraries that computed the units

    def add(self, record: LedgerRecord) -> None:
        """Count a unit. Units come in the order of the plan."""
        self._status.update(video.status for video in record.videos)
        self._reasons.update(video.reason for video in record.videos if video.reason)
        for video in record.videos:
            self._parts["salvaged"] += video.status == "done" and bool(video.salvaged)
            self._parts["spans_cut"] += video.missing_s > 0
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
