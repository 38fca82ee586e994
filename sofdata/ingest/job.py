"""What all units of an ingest share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.libraries import Libraries
from sofdata.shards.layout import LEDGER
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec


@dataclass(frozen=True, slots=True)
class UnitJob:
    """What all units of an ingest share. It travels to every worker.

    corpus, actions: name of the corpus, and what its actions are where they were asked for.
    ledger: the folder of the destination to which units are committed.
    libraries: with what units may be computed, by digest; anything if empty. mixes: whether the
        user has chosen to go on with others than those that the units so far were made with.
    takes_worse: whether the user has chosen to take what is worse than a result that is damaged.
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
