"""The tables of a dataset: which rows follow from the plan, and which from each ledger record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sofdata.ingest.inputs import Refused
from sofdata.ingest.plan import IngestPlan
from sofdata.shards.layout import INDEX, REJECTS, VIDEOS
from sofdata.shards.schema import (
    LedgerRecord,
    VideoRecord,
    index_schema,
    rejects_schema,
    videos_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
NOT_DONE = {"status", "reason", "detail", "decoder", "tries"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its file, its columns, and where its rows come from, in this order."""

    name: str
    schema: Callable[[], pa.Schema]
    refused_rows: Callable[[IngestPlan], Iterable[Row]]
    record_rows: Callable[[LedgerRecord], Iterable[Row]]


def _index_rows(record: LedgerRecord) -> list[Row]:
    name = record.shard.name if record.shard else ""
    labels = {video.id: _labels(video) for video in record.videos}
    return [
        {"shard": name, **window.model_dump(), "labels": labels.get(window.source)}
        for window in record.windows
    ]


def _refused_rejects(plan: IngestPlan) -> list[Row]:
    return [{"kind": "video", "video": refused.id, **_refused(refused)} for refused in plan.refused]


def _rejects(record: LedgerRecord) -> list[Row]:
    rows = [
        {"kind": "video", "video": video.id, "unit": record.unit}
        | video.model_dump(include=NOT_DONE)
        for video in record.videos
        if video.status != "done"
    ]
    fixed = {"kind": "window", "status": "rejected", "detail": "", "decoder": "", "tries": 0}
    return rows + [
        {**fixed, "unit": record.unit, **window.model_dump()} for window in record.rejected_windows
    ]


def _refused_videos(plan: IngestPlan) -> list[Row]:
    none: Row = {"frames": 0, "decode_errors": 0, "frames_lost": 0, "frames_undated": 0}
    none |= {"missing_s": 0.0, "salvaged": "", "covered_s": 0.0}
    none |= {"windows": 0, "windows_rejected": 0}
    return [{"id": refused.id, **_refused(refused), **none} for refused in plan.refused]


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


def _refused(refused: Refused) -> Row:
    return {
        "status": "rejected",
        "reason": refused.reason,
        "detail": refused.detail,
        "decoder": "",
        "tries": 0,
        "unit": "",
    }


TABLES = (
    Table(INDEX, index_schema, lambda plan: [], _index_rows),
    Table(REJECTS, rejects_schema, _refused_rejects, _rejects),
    Table(VIDEOS, videos_schema, _refused_videos, _videos),
)
