"""Which generation an ingest works towards, and its storing before any work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sofdata.errors import ConfigError, InputError
from sofdata.ingest.changes import (
    check_accounts_for,
    check_can_be_read,
    check_is_the_source,
    find_changes,
)
from sofdata.ingest.destination import new_record
from sofdata.ingest.generation import (
    Generation,
    HeldPlan,
    quarantined_units,
    read_ledger,
    save_generation,
)
from sofdata.ingest.job import UnitJob
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.shards.commit import committed_units
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree


def resolve_plan(job: UnitJob, known: Generation | None, now: IngestPlan, mode: Mode) -> Generation:
    """The generation to work towards: `known` itself as long as there is nothing else to do.

    known: what the destination holds or is being made to hold. now: the plan of the source as it
    is. Nothing is written. Raises `ConfigError` where the source has changed in a way that `mode`
    does not allow.
    """
    generation = _begun(job, now, mode) if known is None else _updated(job, known, now, mode)
    if Mode.RETRY in mode:
        return generation.run_again(quarantined_units(job.dest, generation))
    return generation


def apply_plan(dest: Tree, generation: Generation, known: Generation | None) -> HeldPlan:
    """Store the generation to work towards, unless it is the known one and stored as it is.

    Returns its plan as it is stored.
    """
    dest.clear_scratch()  # what a killed driver left, even if it had nothing left to do
    if generation is not known or not generation.saved:
        save_generation(dest, generation)
    return HeldPlan.of(dest, generation)


@contextmanager
def naming_repair() -> Iterator[None]:
    """Name the command that repairs a file of the dataset if it turns out damaged in this block."""
    try:
        yield
    except InputError as error:
        raise InputError(
            f"{error}; 'sofdata verify --repair' repairs it, then rerun the command"
        ) from None


def _begun(job: UnitJob, now: IngestPlan, mode: Mode) -> Generation:
    """The first generation of a destination, which may hold units though it has lost its plan."""
    dest = job.dest
    committed, stored = committed_units(dest), read_dataset(dest)
    check_accounts_for(read_ledger(dest), now, (job.source.name, dest.name), mode)
    return Generation(now, new_record(job, now, stored), frozenset(committed))


def _updated(job: UnitJob, known: Generation, now: IngestPlan, mode: Mode) -> Generation:
    dest = job.dest
    changes = find_changes(known.plan, now)
    if not changes:
        return known
    if Mode.UPDATE not in mode:
        raise ConfigError(
            f"the source is not what {dest.name} was planned from: {changes}. '--update' takes in "
            "what changed and keeps the rest; or use another destination"
        )
    if Mode.FORCE not in mode:
        # Against the plan that stands: an update under way may have lost most of it already.
        check_is_the_source(load_plan(dest) or known.plan, now, job.source.name, dest.name)
        check_can_be_read(known.plan, now, job.source.name, dest.name)
    return replace(
        known,
        plan=now,
        record=new_record(job, now, known.record),
        staged=known.staged or known.record.complete,  # what is complete stays until it is replaced
    )
