"""A dataset that is made of others, committed like an ingest: units, ledger, resume, finish.

    parents ─► plan, maker ─► `prepare_derived` ─► `execute` of `sofdata.ingest.run`

Whoever makes one says what it is to be (`Derivation`); its destination is locked, its units are
made by any engine, each is committed by its ledger record, and an interrupted run goes on from
these. Nothing is ever written to a parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from sofdata.config.overrides import once
from sofdata.config.recipes import load_section
from sofdata.edits.carried import carry_split
from sofdata.edits.origins import OriginTable
from sofdata.edits.parents import Parent
from sofdata.edits.sources import source_of
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, RunConfig, stored_config
from sofdata.ingest.destination import check_can_run, check_places
from sofdata.ingest.engines.choice import Choice, check_engine
from sofdata.ingest.events import Event
from sofdata.ingest.generation import Generation, read_generation
from sofdata.ingest.job import UnitJob, UnitMaker
from sofdata.ingest.libraries import Libraries, known_libraries
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.resolve import apply_plan, naming_repair
from sofdata.ingest.run import Prepared, Summary, complete_record, execute
from sofdata.ingest.work import work_of
from sofdata.shards.commit import committed_units
from sofdata.shards.layout import DATASET
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord, LineageStep
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree

MIB = 1 << 20
PROCESSES_FROM_BYTES = 256 * MIB  # of shards, from which starting workers takes the lesser time


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """What a dataset is to become that is made of others.

    parents: what it is made of; at least one. plan: all inputs, cut into units. record: what
    `dataset.json` is to say, with its lineage, not complete.
    maker: makes a unit, in whatever process. origins: where the videos of the plan lie in the
    parents, row by row. libraries: what units may be computed with, {} where nothing is.
    """

    dest: Tree
    parents: tuple[Parent, ...]
    plan: IngestPlan
    record: DatasetRecord
    maker: UnitMaker
    origins: OriginTable
    libraries: dict[str, Libraries]

    @property
    def made_by(self) -> LineageStep:
        """The step that makes it."""
        assert self.record.lineage
        return self.record.lineage[-1]


def run_config(
    engine: str | None = None, workers: int | None = None, lock: str = "auto"
) -> RunConfig:
    """How a derivation is run; the engine is chosen by the amount of data where none is given."""
    given = {"engine": engine, "workers": workers, "lock": lock}
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    return load_section(RunConfig, None, once(settings))


def check_new(dest: Tree, parents: Sequence[Tree]) -> None:
    """Raise `ConfigError` where a dataset cannot be made of these at a place: it is one of them,
    lies in one of them or around it, or holds something else.
    """
    for parent in parents:
        if _place(dest) == _place(parent):
            raise ConfigError(
                f"the new dataset would take the place of {parent.name}, which it is made of, and "
                "which stays as it is: choose a new folder"
            )
        if _place(parent).startswith(f"{_place(dest)}/"):
            raise ConfigError(
                f"{parent.name} lies inside {dest.name}; choose a new folder beside it"
            )
        check_places(parent, dest)


Follow = Callable[[Prepared], AbstractContextManager[Callable[[Event], None]]]


def quietly(prepared: Prepared) -> AbstractContextManager[Callable[[Event], None]]:
    """Follow nothing."""
    return nullcontext(lambda event: None)


def derive(
    derivation: Derivation,
    run: RunConfig,
    follow: Follow = quietly,
) -> Summary:
    """Make a dataset of others, or go on with it.

    follow: is told what is about to be done, and gives what is called with every event.

    Returns what was done: `units_run` is 0 where nothing was left to do. Raises `ConfigError`
    where the destination is in use or holds another dataset, before anything is written.
    """
    dest, doing = derivation.dest, derivation.made_by.operation
    with only_driver(dest, doing, run.lock):
        prepared = prepare_derived(derivation, run)
        if prepared.complete:
            units = len(prepared.plan.units)
            done = Summary(prepared.complete, 0, units, frames=0, start_up_s=0.0, work_s=0.0)
        else:
            with follow(prepared) as on_event:
                done = execute(prepared, on_event)
        carry_split(derivation.parents, derivation.plan, derivation.origins, dest)
        return done


def prepare_derived(derivation: Derivation, run: RunConfig) -> Prepared:
    """Compare what is to be made with what lies at the destination, and store its plan there.

    Raises `ConfigError` if that holds anything else than an earlier part of the same.
    """
    dest = derivation.dest
    check_new(dest, [parent.tree for parent in derivation.parents])
    with naming_repair():
        known = read_generation(dest)
    generation = _begun(derivation) if known is None else _resumed(derivation, known)
    waiting = generation.waiting
    engine = _engine(derivation, run)
    config = _config(derivation, run.model_copy(update={"engine": engine.engine}))
    check_engine(config)
    check_can_run(config, dest)
    held = apply_plan(dest, generation, known)
    job = UnitJob(
        source=_source(derivation.parents[0]),
        dest=dest,
        config=config,
        corpus=derivation.record.corpus,
        ledger=generation.ledger,
        libraries=derivation.libraries,
        maker=derivation.maker,
        doing=derivation.made_by.operation,
    )
    return Prepared(
        job=job,
        corpus=derivation.record.corpus,
        why=derivation.made_by.operation,
        generation=generation,
        waiting=waiting,
        work=work_of(waiting),
        engine=engine,
        complete=None if waiting else complete_record(dest, generation),
        held=held,
        origins=derivation.origins,
    )


def _begun(derivation: Derivation) -> Generation:
    """The first generation, of a place that holds nothing, or this dataset without its plan."""
    dest, stored = derivation.dest, read_dataset(derivation.dest)
    committed = committed_units(dest)
    if stored is not None:
        _check_same(derivation, stored)
    elif committed:  # of which nobody knows any more what they hold
        raise ConfigError(
            f"{dest.name} has lost its {DATASET}, and what else it holds says nothing of what was "
            "selected: remove it, or choose a new folder"
        )
    done = frozenset(committed) & derivation.plan.units.ids
    return Generation(derivation.plan, derivation.record, done)


def _resumed(derivation: Derivation, known: Generation) -> Generation:
    """The generation that lies there, if it is of the same making."""
    _check_same(derivation, known.record)
    if known.plan.units.cut.ids != derivation.plan.units.cut.ids:
        raise ConfigError(
            f"{derivation.dest.name} was begun by the same command, but of other units: it was "
            "made by another version of sofdata; choose a new folder"
        )
    return known


def _check_same(derivation: Derivation, stored: DatasetRecord) -> None:
    dest, wanted = derivation.dest.name, derivation.made_by
    found = stored.lineage[-1] if stored.lineage else None
    if found is None:
        raise ConfigError(f"{dest} holds another dataset, made by an ingest; choose a new folder")
    theirs = [parent.identity for parent in found.parents]
    if found.operation == wanted.operation and theirs != [each.identity for each in wanted.parents]:
        raise ConfigError(
            f"{dest} was made by '{found.command}' of other datasets, or of these before they were "
            "changed; choose a new folder"
        )
    if (found.operation, found.settings) != (wanted.operation, wanted.settings):
        raise ConfigError(
            f"{dest} holds another dataset, made by '{found.command}'; choose a new folder"
        )


def _engine(derivation: Derivation, run: RunConfig) -> Choice:
    """Where the user leaves the choice: this process, unless there is much to copy."""
    if run.engine != "auto":
        return Choice(run.engine, "run.engine asks for it")
    if run.address is not None:
        return Choice("ray", "on Ray, for run.address")
    trees = [derivation.dest, *(parent.tree for parent in derivation.parents)]
    if any(tree.url.startswith("memory://") for tree in trees):
        return Choice("inline", "in this process, which alone sees memory://")
    size = sum(parent.record.counts.bytes for parent in derivation.parents)
    if (run.workers or 1) > 1 or (run.workers is None and size >= PROCESSES_FROM_BYTES):
        return Choice("processes", f"with processes of this machine: {size / MIB:.0f} MiB")
    return Choice("inline", f"in this process: {size / MIB:.0f} MiB")


def _config(derivation: Derivation, run: RunConfig) -> IngestConfig:
    return stored_config(derivation.record.config).model_copy(update={"run": run})


def _source(parent: Parent) -> Tree:
    """Where the videos lie, for a `replay`; where that is not known, the parent itself."""
    return source_of(parent.tree) or parent.tree


def _place(tree: Tree) -> str:
    """The same for the same folder, by whatever path it is given."""
    if tree.is_local:
        return os.path.realpath(tree.root).rstrip("/")
    return f"{tree.url.split('://')[0]}://{tree.root}".rstrip("/")


def with_plan(record: DatasetRecord, plan: IngestPlan) -> DatasetRecord:
    """A record of a plan that is about to be carried out."""
    counts = record.counts.model_copy(update={"videos": plan.videos})
    return record.model_copy(update={"complete": False, "counts": counts})


def parents_libraries(parents: Sequence[Parent]) -> dict[str, Libraries]:
    """What computed the units of all parents, by digest."""
    found: dict[str, Libraries] = {}
    for parent in parents:
        found |= known_libraries(parent.record)
    return found
