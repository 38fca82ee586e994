"""The tables and counts of a dataset made row by row, through pydantic: slow, plain, and apart from
how `sofdata.ingest` makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sofdata.ingest.plan import IngestPlan
from sofdata.shards.schema import (
    LedgerRecord,
    VideoRecord,
    index_schema,
    rejects_schema,
    videos_schema,
)
from sofdata.shards.stats import Merged

Row = dict[str, Any]
GROUP = 1 << 16
SCHEMAS: dict[str, Callable[[], pa.Schema]] = {
    "index.parquet": index_schema,
    "rejects.parquet": rejects_schema,
    "videos.parquet": videos_schema,
}


def write_tables(folder: Path, plan: IngestPlan, records: Iterable[LedgerRecord]) -> None:
    """Write the three tables of these records, in this order, to a folder."""
    rows: dict[str, list[Row]] = {
        "index.parquet": [],
        "rejects.parquet": [
            {"kind": "video", "video": each.id, **_refused(each)} for each in plan.refused
        ],
        "videos.parquet": [{"id": each.id, **_refused(each), **_NONE} for each in plan.refused],
    }
    for record in records:
        rows["index.parquet"] += _index(record)
        rows["rejects.parquet"] += _rejects(record)
        rows["videos.parquet"] += _videos(record)
    for name, each in rows.items():
        schema = SCHEMAS[name]()
        with pq.ParquetWriter(folder / name, schema) as writer:
            for start in range(0, len(each), GROUP):
                writer.write_table(pa.Table.from_pylist(each[start : start + GROUP], schema))


def counts(plan: IngestPlan, records: Iterable[LedgerRecord]) -> Row:
    """What `dataset.json` counts of them."""
    videos, records = [video for record in records for video in record.videos], list(records)
    rejected = [window for record in records for window in record.rejected_windows]
    shards = [record.shard for record in records if record.shard]
    reasons = Counter(video.reason for video in videos if video.reason)
    reasons.update(each.reason for each in plan.refused)
    return {
        "videos": plan.videos,
        "done": sum(video.status == "done" for video in videos),
        "rejected": sum(video.status == "rejected" for video in videos) + len(plan.refused),
        "quarantined": sum(video.status == "quarantined" for video in videos),
        "windows": sum(len(record.windows) for record in records),
        "windows_rejected": len(rejected),
        "shards": len(shards),
        "bytes": sum(shard.size_bytes for shard in shards),
        "salvaged": sum(video.status == "done" and video.salvaged != "" for video in videos),
        "spans_cut": sum(video.missing_s > 0 for video in videos),
        "frames": sum(video.frames for video in videos),
        "frames_lost": sum(video.frames_lost for video in videos),
        "frames_undated": sum(video.frames_undated for video in videos),
        "reasons": dict(sorted(reasons.items())),
        "window_reasons": dict(sorted(Counter(window.reason for window in rejected).items())),
    }


def flow(records: Iterable[LedgerRecord]) -> Row:
    """What `dataset.json` says of all flow."""
    merged = Merged()
    for record in records:
        merged.add(record.statistics)
    return merged.summary()


_NONE: Row = {
    "frames": 0,
    "decode_errors": 0,
    "frames_lost": 0,
    "frames_undated": 0,
    "missing_s": 0.0,
    "salvaged": "",
    "covered_s": 0.0,
    "windows": 0,
    "windows_rejected": 0,
}


def _refused(refused: Any) -> Row:
    row = {"status": "rejected", "reason": refused.reason, "detail": refused.detail}
    return row | {"decoder": "", "tries": 0, "unit": ""}


def _index(record: LedgerRecord) -> list[Row]:
    name = record.shard.name if record.shard else ""
    labels = {video.id: _labels(video) for video in record.videos}
    return [
        {"shard": name, **window.model_dump(), "labels": labels.get(window.source)}
        for window in record.windows
    ]


def _rejects(record: LedgerRecord) -> list[Row]:
    named = {"status", "reason", "detail", "decoder", "tries"}
    videos = [
        {"kind": "video", "video": video.id, "unit": record.unit} | video.model_dump(include=named)
        for video in record.videos
        if video.status != "done"
    ]
    fixed = {"kind": "window", "status": "rejected", "detail": "", "decoder": "", "tries": 0}
    windows = [
        {**fixed, "unit": record.unit, **window.model_dump()} for window in record.rejected_windows
    ]
    return videos + windows


def _videos(record: LedgerRecord) -> list[Row]:
    return [
        {
            **video.model_dump(),
            "windows_rejected": sum(video.windows_rejected.values()),
            "unit": record.unit,
            "labels": _labels(video),
        }
        for video in record.videos
    ]


def _labels(video: VideoRecord) -> list[tuple[str, str]] | None:
    return None if video.labels is None else sorted(video.labels.items())
