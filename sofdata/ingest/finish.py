"""The last step of an ingest: the tables and `dataset.json`, all derived from plan and ledger."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sofdata import __version__
from sofdata.config import IngestConfig
from sofdata.faults import reached
from sofdata.ingest.plan import Plan
from sofdata.shards.commit import read_record
from sofdata.shards.layout import DATASET, INDEX, REJECTS, VIDEOS, WIDS
from sofdata.shards.parquet import write_table
from sofdata.shards.schema import (
    Counts,
    DatasetRecord,
    LedgerRecord,
    index_schema,
    rejects_schema,
    videos_schema,
)
from sofdata.shards.stats import summarise
from sofdata.storage import Tree

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
    time and comes out the same.
    """
    units = [unit.id for unit in plan.units]

    def records() -> Iterator[LedgerRecord]:
        return (read_record(dest, unit) for unit in units)

    write_table(dest, INDEX, index_schema(), index_rows(records()))
    reached("finish: index written")
    write_table(dest, REJECTS, rejects_schema(), reject_rows(plan, records()))
    reached("finish: rejects written")
    write_table(dest, VIDEOS, videos_schema(), video_rows(plan, records()))
    reached("finish: videos written")
    dest.write(WIDS, wids_index(records()))
    reached("finish: shards listed")
    changes = {
        "complete": True,
        "counts": count(plan, records(), dataset.counts.ignored_files),
        "flow": summarise(record.statistics for record in records()),
    }
    complete = dataset.model_copy(update=changes)
    dest.write(DATASET, complete.to_json())
    reached("finish: dataset completed")
    return complete


def count(plan: Plan, records: Iterable[LedgerRecord], ignored: dict[str, int]) -> Counts:
    """Count how everything ended; `ignored` are the files that are no part of the corpus."""
    status: Counter[str] = Counter(rejected=len(plan.refused))
    reasons = Counter(refused.reason for refused in plan.refused)
    window_reasons: Counter[str] = Counter()
    windows = shards = size = 0
    for record in records:
        status.update(video.status for video in record.videos)
        reasons.update(video.reason for video in record.videos if video.reason)
        window_reasons.update(window.reason for window in record.rejected_windows)
        windows += len(record.windows)
        if record.shard:
            shards += 1
            size += record.shard.size_bytes
    return Counts(
        videos=plan.videos,
        done=status["done"],
        rejected=status["rejected"],
        quarantined=status["quarantined"],
        windows=windows,
        windows_rejected=window_reasons.total(),
        shards=shards,
        bytes=size,
        reasons=dict(sorted(reasons.items())),
        window_reasons=dict(sorted(window_reasons.items())),
        ignored_files=ignored,
    )


def index_rows(records: Iterable[LedgerRecord]) -> Iterator[dict[str, Any]]:
    """The rows of `index.parquet`."""
    for record in records:
        name = record.shard.name if record.shard else ""
        for window in record.windows:
            yield {"shard": name, **window.model_dump()}


def reject_rows(plan: Plan, records: Iterable[LedgerRecord]) -> Iterator[dict[str, Any]]:
    """The rows of `rejects.parquet`."""
    for refused in plan.refused:
        yield {
            "kind": "video",
            "status": "rejected",
            "video": refused.id,
            "reason": refused.reason,
            "detail": refused.detail,
            "decoder": "",
            "tries": 0,
            "unit": "",
        }
    for record in records:
        for video in record.videos:
            if video.status != "done":
                kept = ("status", "reason", "detail", "decoder", "tries")
                row = video.model_dump(include=set(kept))
                yield {"kind": "video", "video": video.id, "unit": record.unit, **row}
        for window in record.rejected_windows:
            yield {
                "kind": "window",
                "status": "rejected",
                **window.model_dump(),
                "detail": "",
                "decoder": "",
                "tries": 0,
                "unit": record.unit,
            }


def video_rows(plan: Plan, records: Iterable[LedgerRecord]) -> Iterator[dict[str, Any]]:
    """The rows of `videos.parquet`, one for each row of the plan."""
    for refused in plan.refused:
        yield {
            "id": refused.id,
            "status": "rejected",
            "reason": refused.reason,
            "detail": refused.detail,
            "decoder": "",
            "tries": 0,
            "frames": 0,
            "decode_errors": 0,
            "salvaged": "",
            "covered_s": 0.0,
            "windows": 0,
            "windows_rejected": 0,
            "unit": "",
        }
    for record in records:
        for video in record.videos:
            row = video.model_dump()
            row["windows_rejected"] = sum(video.windows_rejected.values())
            yield {**row, "unit": record.unit}


def wids_index(records: Iterable[LedgerRecord]) -> bytes:
    """The index that `wids` reads; its URLs are relative to itself."""
    shards = [
        {
            "url": record.shard.name,
            "nsamples": record.shard.samples,
            "filesize": record.shard.size_bytes,
            "md5sum": record.shard.md5,
        }
        for record in records
        if record.shard
    ]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}
    return json.dumps(index, sort_keys=True, indent=1).encode()


def provenance(config: IngestConfig) -> dict[str, Any]:
    """Versions that the result may depend on."""
    packages = {}
    for package in RECORDED_PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "sofdata": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": packages,
        "estimator": config.flow.estimator,
        "weights_sha256": config.flow.weights_sha256,
    }
