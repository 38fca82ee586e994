"""The tables of a dataset: which rows follow from the plan, and which from each ledger record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sofdata.ingest.inputs import Refused
from sofdata.ingest.plan import IngestPlan
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.layout import INDEX, REJECTS, VIDEOS
from sofdata.shards.parquet import batches
from sofdata.shards.schema import index_schema, rejects_schema, videos_schema
from sofdata.windows.quality import stored_columns

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its file, its columns, and where its rows come from, in this order.

    refused: the rows of inputs that were refused before any work. made_of: columns, in the order
    of the schema, and how many rows they have; those of a record, some rows after the others. A
    value in place of a column is that of all rows.
    """

    name: str
    schema: Callable[[], pa.Schema]
    refused: Callable[[Iterable[Refused]], Iterable[Row]]
    made_of: Callable[[LedgerColumns], Iterable[tuple[int, list[Any]]]]

    def refused_rows(self, plan: IngestPlan) -> Iterator[pa.RecordBatch]:
        """The rows that follow from the plan."""
        return batches(self.refused(plan.refused), self.schema())

    def record_rows(self, record: LedgerColumns) -> Iterator[pa.RecordBatch]:
        """The rows that follow from a ledger record."""
        import pyarrow as pa

        schema = self.schema()
        for number, columns in self.made_of(record):
            arrays = [
                each
                if isinstance(each, pa.Array)
                else pa.repeat(pa.scalar(each, field.type), number)
                for field, each in zip(schema, columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _index(names: Sequence[str], record: LedgerColumns) -> Iterator[tuple[int, list[Any]]]:
    import pyarrow.compute as pc

    windows, videos = record.windows, record.videos
    of_video = pc.index_in(windows["source"], value_set=videos["id"])
    made = {
        "shard": record.shard.name if record.shard else "",
        "labels": videos["labels"].take(of_video),
    }
    yield windows.num_rows, [made[name] if name in made else windows[name] for name in names]


def _refused_rejects(refused: Iterable[Refused]) -> Iterator[Row]:
    return ({"kind": "video", "video": each.id, **_refused(each)} for each in refused)


def _rejects(record: LedgerColumns) -> Iterator[tuple[int, list[Any]]]:
    import pyarrow.compute as pc

    lost = record.videos.filter(pc.not_equal(record.videos["status"], "done"))
    named = [lost[name] for name in ("reason", "detail", "decoder", "tries")]
    yield (
        lost.num_rows,
        ["video", lost["status"], lost["id"], None, None, None, *named, record.unit],
    )
    windows = record.rejected_windows
    named = [windows[name] for name in ("video", "window", "start_s", "end_s", "reason")]
    yield windows.num_rows, ["window", "rejected", *named, "", "", 0, record.unit]


def _refused_videos(refused: Iterable[Refused]) -> Iterator[Row]:
    none: Row = {"frames": 0, "decode_errors": 0, "frames_lost": 0, "frames_undated": 0}
    none |= {"missing_s": 0.0, "salvaged": "", "covered_s": 0.0}
    none |= {"windows": 0, "windows_rejected": 0}
    return ({"id": each.id, **_refused(each), **none} for each in refused)


def _videos(record: LedgerColumns) -> Iterator[tuple[int, list[Any]]]:
    videos = record.videos
    names = videos_schema().names
    yield (
        videos.num_rows,
        [record.unit if name == "unit" else videos[name] for name in names],
    )


def _refused(refused: Refused) -> Row:
    return {
        "status": "rejected",
        "reason": refused.reason,
        "detail": refused.detail,
        "decoder": "",
        "tries": 0,
        "unit": "",
    }


def tables_of(config: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a dataset. config: as `dataset.json` has it, which decides their columns."""
    schema = partial(index_schema, stored_columns(config))
    return (
        Table(INDEX, schema, lambda refused: (), partial(_index, schema().names)),
        Table(REJECTS, rejects_schema, _refused_rejects, _rejects),
        Table(VIDEOS, videos_schema, _refused_videos, _videos),
    )
