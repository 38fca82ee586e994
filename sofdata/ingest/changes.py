"""A source that is no longer what a dataset was planned from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sofdata.corpora.cells import annotations_of, labels_of
from sofdata.errors import ConfigError
from sofdata.ingest.generation import known_inputs
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.units import video_inputs
from sofdata.shards.schema import LedgerRecord
from sofdata.types import VideoRef

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 3
UNREADABLE = ("dangling_link", "empty", "unreadable", "unreadable_folder")
LEAST_SHARED = 0.5


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids of the inputs that are new, gone, or not what they were."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.changed)

    def __str__(self) -> str:
        parts = {"new": self.new, "gone": self.gone, "changed": self.changed}
        return ", ".join(f"{len(ids)} {what} ({_few(ids)})" for what, ids in parts.items() if ids)


def find_changes(known: IngestPlan, now: IngestPlan) -> Changes:
    """Compare the inputs of two plans, regardless of units."""
    import pyarrow.compute as pc

    before, after = known.table.drop_columns("detail"), now.table.drop_columns("detail")
    if before.equals(after):  # a glance at columns, and nearly always all
        return Changes((), (), ())
    at = pc.index_in(after["id"], before["id"])
    stays = pc.is_valid(at)
    gone = pc.invert(pc.is_in(before["id"], after["id"]))
    return Changes(
        new=tuple(after["id"].filter(pc.invert(stays)).to_pylist()),
        gone=tuple(before["id"].filter(gone).to_pylist()),
        changed=tuple(_changed(before.take(at.drop_null()), after.filter(stays))),
    )


def _changed(before: pa.Table, after: pa.Table) -> Iterator[str]:
    """The ids of rows in which two tables differ that have the same ids in the same order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    differ = pa.chunked_array([pa.array([False] * len(after), pa.bool_())])
    for name in after.schema.names:
        one, other = before[name], after[name]
        unlike = pc.fill_null(pc.not_equal(one, other), False)
        differ = pc.or_(differ, pc.or_(unlike, pc.xor(pc.is_null(one), pc.is_null(other))))
    pairs = zip(_rows(before.filter(differ)), _rows(after.filter(differ)), strict=True)
    for row, other_row in pairs:
        if _parsed(row) != _parsed(other_row):
            yield row["id"]


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with values for JSON: of these several texts may say the same."""
    labels, annotations = labels_of(row["labels"]), annotations_of(row["annotations"])
    return {**row, "labels": labels, "annotations": annotations}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def shared(known: IngestPlan, now: IngestPlan) -> int:
    """How many of the planned videos are there now with the same content.

    What the corpus says of them does not matter. Those that were refused when they were planned
    count if they are there.
    """
    import pyarrow.compute as pc

    columns = ["id", "size_bytes", "fingerprint", "problem"]
    before, after = known.table.select(columns), now.table.select(columns)
    at = pc.index_in(before["id"], after["id"])
    same = pc.equal(before["problem"], "")
    for name in columns[1:]:
        same = pc.and_(same, pc.fill_null(pc.equal(before[name], after[name].take(at)), False))
    refused = pc.and_(pc.not_equal(before["problem"], ""), pc.is_valid(at))
    return int(pc.sum(pc.or_(same, refused)).as_py() or 0)


def check_is_the_source(known: IngestPlan, now: IngestPlan, source: str, dest: str) -> None:
    """Raise `ConfigError` if a source shares less than half of the planned videos.

    It is the wrong folder then, more often than not, and an update would retire what was done.
    """
    same = shared(known, now)
    if same < LEAST_SHARED * known.videos:
        raise ConfigError(
            f"{source} holds {same} of the {known.videos} videos that {dest} was planned from, and "
            f"{now.videos - same} others: is it the right source? '--update' would retire the "
            f"results of {known.videos - same} videos; '--update --yes' does so"
        )


def check_can_be_read(known: IngestPlan, now: IngestPlan, source: str, dest: str) -> None:
    """Raise `ConfigError` if videos that were planned are still listed, but none to be used.

    A disk that fails or is not mounted looks like that: links that dangle, empty files, folders
    that cannot be entered. Files that are gone do not: to remove some is what updates are for.
    """
    lost = tuple(f"{id} ({reason})" for id, reason in _lost(known, now))
    if lost:
        raise ConfigError(
            f"{len(lost)} of the {known.videos} videos that {dest} was planned from cannot be used "
            f"in {source} now: {_few(lost)}. '--update' would retire their results: see "
            "that the source is whole; '--update --yes' takes it as it is"
        )


def check_accounts_for(
    records: Iterable[LedgerRecord], now: IngestPlan, names: tuple[str, str], mode: Mode
) -> None:
    """Raise `ConfigError` if a source does not hold the videos of a dataset that has lost its plan.

    records: of its committed units. names: of source and destination. With `Mode.UPDATE` half of
    the videos are enough, and none with `Mode.FORCE` as well, as where there is a plan to compare.
    """
    source, dest = names
    lost, videos = [], 0

    @cache
    def there() -> dict[str, VideoRef]:
        return {video.id: video for video in now.all_videos()}

    for record in records:
        videos += len(record.videos)
        if record.unit in now.units.ids:
            continue
        inputs = known_inputs(record, there())
        lost += [
            video.id
            for video in record.videos
            if video.id not in there() or inputs.get(video.id) != video_inputs(there()[video.id])
        ]
    enough = Mode.FORCE in mode or len(lost) <= LEAST_SHARED * videos
    if not lost or (Mode.UPDATE in mode and enough):
        return
    raise ConfigError(
        f"{dest} has lost its plan, and {source} does not hold {len(lost)} of the {videos} videos "
        f"that it has results of, as they were ({_few(tuple(lost))}): is it the right source? "
        "'--update' retires the results of what is gone or changed, '--update --yes' even if that "
        "is more than half"
    )


def _lost(known: IngestPlan, now: IngestPlan) -> Iterator[tuple[str, str]]:
    """The planned videos, by id, that cannot be used now, and why."""
    import pyarrow as pa
    import pyarrow.compute as pc

    problem, size = now.table["problem"], now.table["size_bytes"]
    empty = pc.and_(pc.equal(problem, ""), pc.equal(size, 0))
    bad = now.table.filter(pc.or_(empty, pc.is_in(problem, pa.array(UNREADABLE))))
    reasons = {row["id"]: row["problem"] or "empty" for row in _rows(bad.select(["id", "problem"]))}
    if not reasons:
        return
    folders = tuple(f"{id}/" for id, why in reasons.items() if why == "unreadable_folder")
    planned = known.table.filter(pc.equal(known.table["problem"], ""))
    for batch in planned.select(["id", "size_bytes"]).to_batches():
        for id, size_bytes in zip(*(column.to_pylist() for column in batch), strict=True):
            if (id in reasons and size_bytes) or (folders and id.startswith(folders)):
                yield id, reasons.get(id, "unreadable_folder")


def _few(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
