"""What all units of an ingest share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.libraries import Libraries
from sofdata.shards.layout import LEDGER
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec

if TYPE_CHECKING:
    from sofdata.ingest.events import UnitDone, VideoDone
    from sofdata.ingest.units import Unit


class UnitMaker(Protocol):
    """What makes units of something else than videos, such as of other datasets' shards.

    It travels to every worker, and is called there for one unit after the other.
    """

    def __call__(self, unit: Unit, job: UnitJob) -> Iterator[VideoDone | UnitDone]:
        """Turn a unit into a committed shard, as `sofdata.ingest.unit.run_unit` does."""


@dataclass(frozen=True, slots=True)
class UnitJob:
    """What all units of an ingest share. It travels to every worker.

    corpus, actions: name of the corpus, and what its actions are where they were asked for.
    ledger: the folder of the destination to which units are committed.
    libraries: with what units may be computed, by digest; anything if empty. mixes: whether the
        user has chosen to go on with others than those that the units so far were made with.
    takes_worse: whether the user has chosen to take what is worse than a result that is damaged.
    maker: what makes the units, if they are not made of videos; then no worker decodes.
    doing: what others are told who find the destination locked.
    """

    source: Tree
    dest: Tree
    config: IngestConfig
    corpus: str = ""
    actions: ActionSpec | None = None
    ledger: str = LEDGER
    libraries: Mapping[str, Libraries] = field(default_factory=dict)
    mixes: bool = False
    takes_worse: bool = False
    maker: UnitMaker | None = None
    doing: str = "ingest"
