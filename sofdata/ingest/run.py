"""`ingest`: the whole way from a source to a complete dataset; running it again resumes it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sofdata import __version__
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError, InputError, StorageError, WorseError
from sofdata.flow.estimator import resolve
from sofdata.ingest.changes import (
    check_accounts_for,
    check_can_be_read,
    check_is_the_source,
    find_changes,
)
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.destination import (
    check_can_run,
    check_files,
    check_places,
    check_same_actions,
    check_same_config,
    check_same_units,
    new_record,
)
from sofdata.ingest.events import Event, NodeLost, Ready, UnitDone, UnitKept, VideoDone
from sofdata.ingest.finish import finish
from sofdata.ingest.generation import (
    Generation,
    has_next,
    quarantined_units,
    read_generation,
    read_ledger,
    save_generation,
    with_earlier,
)
from sofdata.ingest.inline import run_inline
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import (
    compare_libraries,
    libraries_digest,
    used_libraries,
    with_stored,
)
from sofdata.ingest.plan import Plan, load_plan, make_plan
from sofdata.ingest.units import Unit
from sofdata.shards.commit import committed_units
from sofdata.shards.layout import DATASET, NEXT_DATASET, RUNS
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.lock import Lock, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ingest that is planned but not yet run.

    generation: what it works towards. waiting: the units without a commit record, the largest
    first. complete: what lies at the destination, if nothing is left to do.
    """

    job: UnitJob
    corpus: str
    why: str
    generation: Generation
    waiting: tuple[Unit, ...]
    complete: DatasetRecord | None

    @property
    def plan(self) -> Plan:
        """All inputs."""
        return self.generation.plan

    @property
    def ended(self) -> int:
        """Number of videos that need no work any more."""
        return self.plan.videos - sum(len(unit.videos) for unit in self.waiting)

    @property
    def resumed(self) -> int:
        """Number of units that are committed."""
        return len(self.plan.units) - len(self.waiting)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an ingest has done. `work_s` runs from the first worker's start to the last commit.

    taken_over: videos of the units that were run whose earlier result stands.
    kept: what would have become worse and was therefore left as it was, a sentence each.
    nodes: units that each node of a cluster has run; lost: the nodes that were lost on the way.
    """

    dataset: DatasetRecord
    units_run: int
    units_resumed: int
    frames: int
    start_up_s: float
    work_s: float
    taken_over: int = 0
    kept: tuple[str, ...] = ()
    nodes: dict[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


@contextmanager
def working_on(
    source: Tree, dest: Tree, config: IngestConfig, write: bool = True
) -> Iterator[None]:
    """Hold the lock of a destination from the plan to the end, so that what is planned is run.

    write: False for a dry run, which needs no lock. Raises as `prepare` for places that cannot be.
    """
    check_places(source, dest)
    with only_driver(dest, "ingest", config.run.lock) if write else nullcontext():
        yield


def prepare(
    source: Tree,
    dest: Tree,
    config: IngestConfig,
    corpus: str,
    *,
    write: bool = True,
    update: bool = False,
    retry_quarantined: bool = False,
    yes: bool = False,
    other_libraries: bool = False,
) -> Prepared:
    """List the corpus, make the plan, and compare it with what lies at the destination.

    write: store the plan; False for a dry run, which changes nothing.
    update: if the source has changed, plan what is there now; units that have not changed stay.
    retry_quarantined: run those units again in which a video was quarantined.
    yes: update also from a source that shares less than half of the planned videos, or in which
        some cannot be used any more; and take what is worse than a result that is damaged.
    other_libraries: go on with other libraries than those that the units so far were made with.

    Raises `ConfigError` before any work if the destination holds something else, another
    configuration or, without `update`, was planned from another source; and where there is work,
    if it was made with other libraries, unless `other_libraries` says to go on.
    """
    check_places(source, dest)
    check_can_run(config, dest)
    on_cluster = config.run.engine == "ray" and config.run.address is not None
    config = config.model_copy(update={"flow": resolve(config.flow, runs_here=not on_cluster)})
    adapter, why = find_corpus(source, corpus, config.manifest)
    listing = list_source(adapter, source, config.with_actions)
    if source.is_file():
        source = source.parent()
    now = make_plan(source, listing, config)
    with only_driver(dest, "ingest", config.run.lock) if write else nullcontext():
        stored = read_dataset(dest)
        if stored:
            check_same_config(stored, config, dest)
            check_same_actions(stored, listing.actions, dest)
        with _mendable():
            known = read_generation(dest)
        if known and known.staged:
            check_same_config(known.record, config, dest)
            check_same_actions(known.record, listing.actions, dest)
        compared = compare_libraries(
            known.record if known else stored, config, dest.name, bool(known and known.done)
        )
        allowed, mixes = compared.allowed(other_libraries), bool(compared.differing)
        job = UnitJob(source, dest, config, adapter.name, listing.actions, libraries=allowed)
        job = replace(job, mixes=mixes, takes_worse=yes)
        if stored is None and known is None:
            check_same_units(read_ledger(dest), job, other_libraries)
        with _mendable():
            generation = _settle(job, known, now, update, yes)
        if retry_quarantined:
            with _mendable():
                generation = generation.run_again(quarantined_units(dest, generation))
        waiting = generation.waiting
        if waiting or generation is not known:
            compared.check(other_libraries)
        if write:
            dest.clear_scratch()  # what a killed driver left, even if it had nothing left to do
            if generation is not known or not generation.saved:
                save_generation(dest, generation)
    # What is left in next/ is of a generation that is in place, or that was given up before it was
    # ready. It may have shards, which `finish` retires.
    finished = not waiting and not generation.staged and not has_next(dest)
    complete = read_dataset(dest) if finished else None
    if complete and complete.complete:
        check_files(dest)
    return Prepared(
        job=replace(job, ledger=generation.ledger),
        corpus=adapter.name,
        why=why,
        generation=replace(generation, plan=replace(generation.plan, beside=now.beside)),
        waiting=waiting,
        complete=complete if complete and complete.complete else None,
    )


def execute(prepared: Prepared, on_event: Callable[[Event], None]) -> Summary:
    """Run the units that are not committed and complete the dataset.

    on_event: told of every video and unit as it ends.

    Interrupted at any moment, the same call goes on from the units that are committed. Raises
    `ConfigError` if another driver is at work on the same destination, or has planned it anew
    since, `StorageError` if another has taken over its lock, and `WorseError` if the earlier result
    of a damaged unit was better than what its videos give now: then nothing is replaced.
    """
    job = prepared.job
    with only_driver(job.dest, "ingest", job.config.run.lock) as lock:
        generation = _as_planned(prepared)
        name = _note_start(job, lock)
        generation = _note_libraries(job, generation)
        summary = _execute(job, generation, on_event, lock)
        _note_end(job, name, summary)
    return summary


@contextmanager
def _mendable() -> Iterator[None]:
    """Say what mends a file of the dataset that turns out to be damaged in this block."""
    try:
        yield
    except InputError as error:
        raise InputError(
            f"{error}; 'sofdata verify --repair' mends that, then run the same command again"
        ) from None


def _settle(
    job: UnitJob, known: Generation | None, now: Plan, update: bool, yes: bool
) -> Generation:
    """The generation to work towards: the known one as long as the source is what it was."""
    dest = job.dest
    if known is None:
        committed, stored = committed_units(dest), read_dataset(dest)
        check_accounts_for(read_ledger(dest), now, job.source.name, dest.name, update, yes)
        return Generation(now, new_record(job, now, stored), frozenset(committed))
    changes = find_changes(known.plan, now)
    if not changes:
        return known
    if not update:
        raise ConfigError(
            f"the source is not what {dest.name} was planned from: {changes}. '--update' takes in "
            "what changed and keeps the rest; or use another destination"
        )
    if not yes:
        check_is_the_source(load_plan(dest) or known.plan, now, job.source.name, dest.name)
        check_can_be_read(known.plan, now, job.source.name, dest.name)
    return replace(
        known,
        plan=now,
        record=new_record(job, now, known.record),
        staged=known.staged or known.record.complete,
    )


def _as_planned(prepared: Prepared) -> Generation:
    """The generation of an ingest as it stands now. Raises `ConfigError` if it is another one."""
    dest = prepared.job.dest
    now = read_generation(dest)
    planned = [unit.id for unit in prepared.plan.units]
    same = now is not None and planned == [unit.id for unit in now.plan.units]
    if now is None or not same or now.ledger != prepared.job.ledger:
        raise ConfigError(
            f"{dest.name} was planned anew or completed by another command since this one looked "
            "at it; run the command again"
        )
    return now


def _note_libraries(job: UnitJob, generation: Generation) -> Generation:
    """Let a generation explain the libraries of the units that are about to be made."""
    libraries = with_stored(generation.record, job.libraries)
    if not generation.waiting or libraries == generation.record.libraries:
        return generation
    record = generation.record.model_copy(update={"libraries": libraries})
    job.dest.write(NEXT_DATASET if generation.staged else DATASET, record.to_json())
    return replace(generation, record=record)


def _execute(
    job: UnitJob, generation: Generation, on_event: Callable[[Event], None], lock: Lock
) -> Summary:
    started = time.monotonic()
    ready_at = ended_at = started
    frames = taken_over = 0
    nodes: Counter[str] = Counter()
    lost: list[str] = []
    kept: list[str] = []
    worse: list[str] = []
    with _mendable():
        units = with_earlier(job.dest, generation)
    with closing(_events(units, job)) as events:  # so that Ray stops before we go on
        for event in events:
            if isinstance(event, Ready):
                ready_at = time.monotonic()
            elif isinstance(event, VideoDone) and event.taken_over:
                taken_over += 1
            elif isinstance(event, VideoDone):
                frames += event.video.frames
            elif isinstance(event, UnitDone):
                lock.check()
                kept += event.kept
                nodes.update([event.node] if event.node else [])
            elif isinstance(event, UnitKept):
                worse += event.worse
            elif isinstance(event, NodeLost):
                lost.append(event.node)
            ended_at = time.monotonic()
            on_event(event)
    if worse:
        raise WorseError(
            f"what {job.dest.name} held of {len(worse)} videos is damaged, but better than what "
            f"they give now ({'; '.join(worse[:SHOWN])}). It is kept, and the dataset is not "
            "complete: see that the source can be read, and raise limits if they were reached; "
            "then run the same command again, or with --yes to take what they give now"
        )
    lock.check()
    done = read_generation(job.dest)
    if done is None:
        raise StorageError(f"{job.dest.name} has lost its plan or dataset.json during the ingest")
    if done.waiting:
        raise StorageError(
            f"{len(done.waiting)} ledger records of {job.dest.name} are gone that were written; "
            "run the same command again"
        )
    with _mendable():
        dataset = finish(job.dest, done)
    job.dest.clear_scratch()
    return Summary(
        dataset=dataset,
        units_run=len(units),
        units_resumed=len(generation.plan.units) - len(units),
        frames=frames,
        start_up_s=ready_at - started,
        work_s=ended_at - ready_at,
        taken_over=taken_over,
        kept=tuple(kept),
        nodes=dict(sorted(nodes.items())),
        lost=tuple(lost),
    )


def _events(units: tuple[Unit, ...], job: UnitJob) -> Generator[Event, None, None]:
    if job.config.run.engine == "inline" or not units:
        yield from run_inline(units, job)
    else:
        from sofdata.ingest.cluster import run_ray

        yield from run_ray(units, job)


def _note_start(job: UnitJob, lock: Lock) -> str:
    """Keep what is known of this run: `runs/` alone differs from run to run."""
    began = datetime.now(UTC)
    name = f"{RUNS}/{began.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{os.urandom(2).hex()}.json"
    record = {
        "began": began.isoformat(timespec="seconds"),
        "source": job.source.name,
        "sofdata": __version__,
        "libraries": libraries_digest(used_libraries(job.config)),
        "other_libraries": job.mixes,
        "run": job.config.run.model_dump(mode="json"),
        "lock": lock.kind,
        "cores": cores(),
        "machine": platform.platform(),
    }
    job.dest.write(name, json.dumps(record, indent=1).encode())
    return name


def _note_end(job: UnitJob, name: str, summary: Summary) -> None:
    record = json.loads(job.dest.read(name))
    record |= {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "units_run": summary.units_run,
        "units_resumed": summary.units_resumed,
        "videos_taken_over": summary.taken_over,
        "kept": list(summary.kept),
        "frames": summary.frames,
        "start_up_s": round(summary.start_up_s, 3),
        "work_s": round(summary.work_s, 3),
        "nodes": summary.nodes,
        "lost": list(summary.lost),
    }
    job.dest.write(name, json.dumps(record, indent=1).encode())
