"""Where the videos of a new dataset lie in those that it is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.edits.parents import Parent
from sofdata.errors import ContractError
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.units import Earlier, Unit
from sofdata.shards.layout import LEDGER, ledger_name

if TYPE_CHECKING:
    import pyarrow as pa

NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Origin(Earlier):
    """A ledger record of a parent that holds some of a unit's videos.

    dataset: the number of the parent. ids: of videos that have another id there, that one, by the
    id that they have here.
    """

    dataset: int = 0
    ids: Mapping[str, str] = field(default_factory=dict, compare=False)

    def id_of(self, video: str) -> str:
        """The id that a video has in the parent."""
        return self.ids.get(video, video)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where each row of a plan lies: the number of its parent and of its unit there, int32, and
    the id that it has there. `NOWHERE` for rows that are made of nothing.
    """

    parent: NDArray[np.int32]
    unit: NDArray[np.int32]
    ids: pa.ChunkedArray

    @classmethod
    def of(cls, plan: IngestPlan, parent: int = 0) -> Places:
        """Of the rows of a parent's own plan."""
        cut, unit = plan.units.cut, np.full(plan.videos, NOWHERE, np.int32)
        unit[cut.rows] = np.repeat(np.arange(len(cut.ids), dtype=np.int32), np.diff(cut.starts))
        return cls(np.full(plan.videos, parent, np.int32), unit, plan.table["id"])


@dataclass(frozen=True, slots=True, eq=False)
class OriginTable:
    """Where the videos of a plan lie in the parents.

    places: row by row of the plan's table. more: second ones of some rows, of which windows are
    taken that the first place lacks.
    """

    parents: Sequence[Parent]
    places: Places
    more: Mapping[int, tuple[int, int, str]] = field(default_factory=dict)

    def attach(self, plan: IngestPlan, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """The units with the records that their videos lie in, those of the first places first."""
        cut = plan.units.cut
        if plan.videos != len(self.places.unit):
            raise ContractError("places of another plan")
        bounds = dict(zip(cut.ids, itertools.pairwise(cut.starts.tolist()), strict=True))
        return tuple(
            replace(unit, earlier=tuple(self._origins(cut.rows[slice(*bounds[unit.id])], unit)))
            for unit in units
        )

    def check(self) -> None:
        """Raise `ConfigError` if a parent is no longer what it was."""
        for parent in self.parents:
            parent.check()

    def _origins(self, rows: NDArray[np.int64], unit: Unit) -> Iterator[Origin]:
        there = self.places.ids.take(rows).to_pylist()
        parents, units = self.places.parent[rows].tolist(), self.places.unit[rows].tolist()
        first = list(zip(unit.video_ids, parents, units, there, strict=True))
        second = [
            (id, *self.more[row])
            for id, row in zip(unit.video_ids, rows.tolist(), strict=True)
            if row in self.more
        ]
        for found in (first, second):
            by_record: dict[tuple[int, int], dict[str, str]] = {}
            for id, parent, number, name in found:
                if number != NOWHERE:
                    by_record.setdefault((parent, number), {})[id] = name
            for (parent, number), ids in by_record.items():
                yield self._origin(parent, number, ids)

    def _origin(self, parent: int, number: int, ids: dict[str, str]) -> Origin:
        name = self.parents[parent].plan.units.cut.ids[number]
        return Origin(
            f"{LEDGER}/{ledger_name(name)}",
            frozenset(ids),
            dataset=parent,
            ids={id: other for id, other in ids.items() if other != id},
        )
