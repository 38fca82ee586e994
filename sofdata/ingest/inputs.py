"""The inputs of a plan: rows of a table, each made a value when something asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

from sofdata.corpora.cells import (
    NO_LABELS,
    annotations_of,
    annotations_text,
    labels_of,
    labels_text,
)
from sofdata.corpora.entries import actions_of, span_of
from sofdata.errors import ContractError, InputError
from sofdata.types import VideoRef

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Refused:
    """An input that is rejected before any work: no file, a dangling link, a folder, ..."""

    id: str
    uri: str
    size_bytes: int
    reason: str
    detail: str


Input = VideoRef | Refused

# What the cells of a row that cannot be read raise.
DAMAGES = (ValueError, KeyError, TypeError, AttributeError, ContractError)


def video_of(row: dict[str, Any]) -> VideoRef:
    """A row of a plan as a video. Raises one of `DAMAGES` where its cells are none."""
    return VideoRef(
        id=row["id"],
        uri=row["uri"],
        size_bytes=row["size_bytes"],
        fingerprint=row["fingerprint"],
        span_s=span_of(row),
        text=row["text"],
        labels=labels_of(row["labels"]),
        actions=actions_of(row),
        annotations=annotations_of(row.get("annotations")),
    )


def refused_of(row: dict[str, Any]) -> Refused:
    """A row of a plan as an input that was refused."""
    return Refused(row["id"], row["uri"], row["size_bytes"], row["problem"], row["detail"])


def input_of(row: dict[str, Any]) -> Input:
    """A row of a plan as what it is."""
    return refused_of(row) if row["problem"] else video_of(row)


def row_of(item: Input) -> dict[str, Any]:
    """What a plan stores of an input, but for its unit."""
    if isinstance(item, Refused):
        blank = {"fingerprint": "", "text": "", "labels": NO_LABELS}
        reason = {"problem": item.reason, "detail": item.detail}
        return {"id": item.id, "uri": item.uri, "size_bytes": item.size_bytes, **blank, **reason}
    start_s, end_s = item.span_s or (None, None)
    actions = asdict(item.actions) if item.actions else {}
    return {
        "id": item.id,
        "uri": item.uri,
        "size_bytes": item.size_bytes,
        "fingerprint": item.fingerprint,
        "span_start_s": start_s,
        "span_end_s": end_s,
        "text": item.text,
        "labels": labels_text(item.labels),
        "problem": "",
        "detail": "",
        "annotations": annotations_text(item.annotations) if item.annotations else None,
        **{f"actions_{name}": value for name, value in actions.items()},
    }


class PlannedVideos(Sequence[VideoRef]):
    """Some rows of a plan as videos, made anew each time that they are asked for.

    A million of them at once take gigabytes; a worker that gets them gets plain values.
    """

    __slots__ = ("_rows", "_table")

    def __init__(self, table: pa.Table, rows: NDArray[np.int64]) -> None:
        self._table = table
        self._rows = rows

    @classmethod
    def joined(cls, parts: Sequence[PlannedVideos]) -> PlannedVideos:
        """The videos of several of one plan: what is asked of all at once costs little each."""
        import numpy as np

        return cls(parts[0]._table, np.concatenate([each._rows for each in parts]))

    @property
    def ids(self) -> list[str]:
        """The id of each."""
        return [id for (id,) in self.values("id")]

    def annotated(self) -> tuple[VideoRef, ...]:
        """Those of which the corpus says something about stretches."""
        there = [text is not None for (text,) in self.values("annotations")]
        return tuple(self._make(self._rows[there])) if any(there) else ()

    def values(self, *names: str) -> Iterator[Any]:
        """Some cells of each row, as a tuple."""
        columns = (self._table[name].take(self._rows).to_pylist() for name in names)
        return zip(*columns, strict=True)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> VideoRef: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[VideoRef, ...]: ...

    def __getitem__(self, at: int | slice) -> VideoRef | tuple[VideoRef, ...]:
        if isinstance(at, slice):
            return tuple(self._make(self._rows[at]))
        number = range(len(self))[at]
        return next(self._make(self._rows[number : number + 1]))

    def __iter__(self) -> Iterator[VideoRef]:
        return self._make(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlannedVideos):
            return NotImplemented
        mine, others = self._table.take(self._rows), other._table.take(other._rows)
        return bool(mine.equals(others))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[tuple[VideoRef, ...]], tuple[list[VideoRef]]]:
        """What travels to other processes: the videos alone, as a tuple."""
        return tuple, (list(self),)

    def __repr__(self) -> str:
        return f"PlannedVideos({len(self)})"

    def _make(self, rows: NDArray[np.int64]) -> Iterator[VideoRef]:
        for row in self._table.take(rows).to_pylist():
            try:
                yield video_of(row)
            except DAMAGES as error:
                what = f"{type(error).__name__}: {str(error)[:200]}"
                raise InputError(f"the plan is damaged: {row['id']}: {what}") from None
