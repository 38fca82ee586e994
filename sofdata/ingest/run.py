"""`ingest`: the whole way from a source to a complete dataset; running it again resumes it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError, StorageError, WorseError
from sofdata.flow.estimator import resolve
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.destination import (
    check_can_run,
    check_files,
    check_ingested,
    check_places,
    check_same_actions,
    check_same_units,
    with_stored_batch,
)
from sofdata.ingest.engines.choice import Choice, check_engine, choose, engine_of
from sofdata.ingest.engines.crew import EarlyWorkers
from sofdata.ingest.events import Event, NodeLost, Ready, UnitDone, UnitKept, UnitRetried, VideoDone
from sofdata.ingest.files import KnownFiles
from sofdata.ingest.finish import finish
from sofdata.ingest.generation import (
    Generation,
    HeldPlan,
    has_next,
    read_generation,
    read_ledger,
    with_earlier,
)
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import compare_libraries, with_stored
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan, make_plan
from sofdata.ingest.resolve import apply_plan, naming_repair, resolve_plan
from sofdata.ingest.runlog import log_end, log_start
from sofdata.ingest.same_config import check_same_config
from sofdata.ingest.units import Unit
from sofdata.ingest.work import Work, work_of
from sofdata.shards.layout import DATASET, NEXT_DATASET
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.lock import Lock, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.system.extras import is_installed
from sofdata.types import ActionSpec
from sofdata.ui.brief import Brief

SHOWN = 3


class Origins(Protocol):
    """Of what else than videos the units of a dataset are made."""

    def attach(self, plan: IngestPlan, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """The units of a plan, each with what a worker needs to know to make it."""

    def check(self) -> None:
        """Raise `ConfigError` if what they were made of has changed meanwhile."""


class Joins(Protocol):
    """How what a source holds becomes a part of a dataset that is there."""

    def knows(self, known: Generation) -> bool:
        """Whether it is a part of it already, begun or done."""

    def plan(self, now: IngestPlan, known: Generation, kind: str) -> IngestPlan:
        """The plan of all parts. now: of the source. kind: its corpus."""

    def record(self, begun: DatasetRecord, known: Generation) -> DatasetRecord:
        """The record of all parts. begun: as an ingest of the source alone would have it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ingest that is planned but not yet run.

    generation: what it works towards. waiting: the units without a commit record, the largest
    first. work: what they are. engine: what will run them, and why. complete: what lies at the
    destination, if nothing is left to do. held: its plan as it is stored, None where nothing was.
    origins: what units are made of that are not made of videos.
    """

    job: UnitJob
    corpus: str
    why: str
    generation: Generation
    waiting: tuple[Unit, ...]
    work: Work
    engine: Choice
    complete: DatasetRecord | None
    held: HeldPlan | None = None
    origins: Origins | None = None

    @property
    def plan(self) -> IngestPlan:
        """All inputs."""
        return self.generation.plan

    @property
    def videos_done(self) -> int:
        """Number of videos that need no work any more."""
        return self.plan.videos - self.work.videos

    @property
    def units_resumed(self) -> int:
        """Number of units that are committed."""
        return len(self.plan.units) - len(self.waiting)


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Brief):
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

    def figures(self) -> dict[str, Any]:
        """All but the dataset, as the log of the run holds it."""
        return {
            "units_run": self.units_run,
            "units_resumed": self.units_resumed,
            "videos_taken_over": self.taken_over,
            "kept": list(self.kept),
            "frames": self.frames,
            "start_up_s": round(self.start_up_s, 3),
            "work_s": round(self.work_s, 3),
            "nodes": self.nodes,
            "lost": list(self.lost),
        }


@contextmanager
def working_on(
    source: Tree, dest: Tree, config: IngestConfig, *, dry_run: bool = False
) -> Iterator[None]:
    """Hold the lock of a destination from the plan to the end, so that what is planned is run.

    dry_run: no lock is needed. Raises as `prepare` for places that cannot be.
    """
    check_places(source, dest)
    with _locked(dest, config, dry_run):
        yield


def prepare(
    source: Tree,
    dest: Tree,
    config: IngestConfig,
    corpus: str,
    *,
    mode: Mode = Mode.RESUME,
    dry_run: bool = False,
    other_libraries: bool = False,
    joins: Joins | None = None,
) -> Prepared:
    """List the corpus, make the plan, and compare it with what lies at the destination.

    mode: what may be done about a source that has changed, or videos that were quarantined.
    dry_run: change nothing; else the plan is stored.
    other_libraries: go on with other libraries than those that the units so far were made with.
    joins: how the source becomes a part of what the destination holds; None where it is all of it.

    Raises `ConfigError` before any work if the destination holds something else, another
    configuration or, without `Mode.UPDATE`, was planned from another source; and where there is
    work, if it was made with other libraries, unless `other_libraries` says to go on.
    """
    check_places(source, dest)
    check_engine(config)
    check_can_run(config, dest)
    config = with_stored_batch(config, dest)
    on_cluster = config.run.engine in ("auto", "ray") and config.run.address is not None
    config = config.model_copy(update={"flow": resolve(config.flow, runs_here=not on_cluster)})
    adapter, why = find_corpus(source, corpus, config.manifest, config.sequences)
    listed_ns = time.time_ns()
    listing = list_source(adapter, source, config.with_actions, config.with_state, config.sequences)
    source = source.parent() if source.is_file() else source
    with _locked(dest, config, dry_run):
        stored, known = _read_checked(dest, config, listing.actions, joins is not None)
        files = KnownFiles.load(dest)
        is_new_part = bool(joins and known and not joins.knows(known))
        mode |= Mode.UPDATE if is_new_part else Mode.RESUME
        # What is known of the files of another source says nothing of those of this one.
        trusted = KnownFiles.none() if config.run.checksum or is_new_part else files
        now = make_plan(source, listing, config, trusted, listed_ns)
        extras = now.extras
        if joins and known:
            now = joins.plan(now, known, adapter.name)
        made_with = known.record if known else stored
        compared = compare_libraries(made_with, config, dest.name, bool(known and known.done))
        job = UnitJob(
            source=source,
            dest=dest,
            config=config,
            corpus=adapter.name,
            actions=listing.actions,
            libraries=compared.allowed(other_libraries),
            mixes=bool(compared.differing),
            takes_worse=Mode.FORCE in mode,
        )
        if stored is None and known is None:
            check_same_units(read_ledger(dest), job, other_libraries)
        with naming_repair():
            generation = resolve_plan(job, known, now, mode)
        if joins and known and generation.plan is now:
            record = joins.record(generation.record, known)
            generation = replace(generation, record=record)
        waiting = generation.waiting
        if waiting or generation is not known:
            compared.check(other_libraries)
        held = None if dry_run else apply_plan(dest, generation, known)
        if not dry_run:
            now.files.save(dest, files)
    work = work_of(waiting)
    engine = choose(config.run, config.flow, work, cores(), is_installed("ray"))
    run = config.run.model_copy(update={"engine": engine.engine})
    config = config.model_copy(update={"run": run})
    return Prepared(
        job=replace(job, config=config, ledger=generation.ledger),
        corpus=adapter.name,
        why=why,
        generation=replace(generation, plan=replace(generation.plan, extras=extras)),
        waiting=waiting,
        work=work,
        engine=engine,
        complete=None if waiting else complete_record(dest, generation),
        held=held,
    )


def _locked(dest: Tree, config: IngestConfig, dry_run: bool) -> AbstractContextManager[object]:
    return nullcontext() if dry_run else only_driver(dest, "ingest", config.run.lock)


def _read_checked(
    dest: Tree, config: IngestConfig, actions: ActionSpec | None, appends: bool
) -> tuple[DatasetRecord | None, Generation | None]:
    """What `dataset.json` says and the generation under way, both of this configuration."""
    stored = read_dataset(dest)
    if stored:
        check_ingested(stored, dest, appends)
        check_same_config(stored, config, dest)
        check_same_actions(stored, actions, dest)
    with naming_repair():
        known = read_generation(dest)
    if known and known.staged:
        check_same_config(known.record, config, dest)
        check_same_actions(known.record, actions, dest)
    return stored, known


def complete_record(dest: Tree, generation: Generation) -> DatasetRecord | None:
    """What lies at the destination if nothing is left to do. Raises `ConfigError` if it is not.

    What is left in next/ is of a generation that is in place, or that was given up before it was
    ready. It may have shards, which `finish` retires.
    """
    if generation.staged or has_next(dest):
        return None
    record = read_dataset(dest)
    if record is None or not record.complete:
        return None
    check_files(dest)
    return record


def execute(
    prepared: Prepared, on_event: Callable[[Event], None], early: EarlyWorkers | None = None
) -> Summary:
    """Run the units that are not committed and complete the dataset.

    on_event: called with each event: a video ends, a unit is committed, a node is lost.
    early: workers that were started while it was planned, for an engine that uses them.

    Interrupted at any moment, the same call goes on from the units that are committed. Raises
    `ConfigError` if another driver is at work on the same destination, or has planned it again
    since, `StorageError` if another has taken over its lock, and `WorseError` if the earlier result
    of a damaged unit was better than what its videos give now: then nothing is replaced.
    """
    job = prepared.job
    with only_driver(job.dest, job.doing, job.config.run.lock) as lock:
        generation = _as_planned(prepared)
        log = log_start(job, lock, prepared.engine.why)
        generation = _note_libraries(job, generation)
        current = replace(prepared, generation=generation)
        summary = _execute(current, on_event, lock, early)
        log_end(job, log, summary.figures())
    return summary


def _as_planned(prepared: Prepared) -> Generation:
    """The generation of an ingest as it stands now. Raises `ConfigError` if it is another one."""
    dest = prepared.job.dest
    now = read_generation(dest, prepared.held)
    same = now is not None and now.plan.units.cut.ids == prepared.plan.units.cut.ids
    if now is None or not same or now.ledger != prepared.job.ledger:
        raise ConfigError(
            f"{dest.name} was planned again or completed by another command since this one looked "
            "at it; rerun the command"
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
    prepared: Prepared,
    on_event: Callable[[Event], None],
    lock: Lock,
    early: EarlyWorkers | None,
) -> Summary:
    job, generation = prepared.job, prepared.generation
    account = _Account()
    with naming_repair():
        units = with_earlier(job.dest, generation)
    if prepared.origins is not None:
        units = prepared.origins.attach(generation.plan, units)
    # Ray stops before the tables need its memory
    with _clean_if_stopped(job.dest), closing(_events(units, job, early)) as events:
        for event in events:
            if isinstance(event, UnitDone):
                lock.check()  # a lease that was lost means that another driver commits here, too
            account.add(event)
            on_event(event)
    if account.worse:
        raise WorseError(
            f"what {job.dest.name} held of {len(account.worse)} videos is damaged, but better than "
            f"what they give now ({'; '.join(account.worse[:SHOWN])}). It is kept, and the dataset "
            "is not complete: see that the source can be read, and raise limits if they were "
            "reached; then rerun the command, or with --yes to take what they give now"
        )
    lock.check()
    if prepared.origins is not None:
        prepared.origins.check()
    with naming_repair():
        dataset = finish(job.dest, _all_committed(job.dest, prepared.held))
    job.dest.clear_scratch()
    return account.summary(dataset, len(units), len(generation.plan.units))


@contextmanager
def _clean_if_stopped(dest: Tree) -> Iterator[None]:
    """Where work stops, remove what those workers had under way that had to be killed.

    In a store the next run does it: to look for such uploads takes as long as the store likes.
    """
    try:
        yield
    except BaseException:
        if dest.is_local:
            dest.clear_scratch()
        raise


def _all_committed(dest: Tree, held: HeldPlan | None) -> Generation:
    """The generation that was run, read again: what is put in place is what is stored."""
    done = read_generation(dest, held)
    if done is None:
        raise StorageError(f"{dest.name} has lost its plan or dataset.json during the ingest")
    if done.waiting:
        raise StorageError(
            f"{len(done.waiting)} ledger records of {dest.name} are gone that were written; "
            "rerun the command"
        )
    return done


class _Account:
    """Counts what a run does, event by event; what a unit did that starts again does not count."""

    def __init__(self) -> None:
        self.worse: list[str] = []
        self._kept: list[str] = []
        self._frames = self._taken_over = 0
        self._open: dict[str, tuple[int, int]] = {}  # the same, of each unit that is not done
        self._nodes: Counter[str] = Counter()
        self._lost: list[str] = []
        self._started_s = self._ready_s = self._ended_s = time.monotonic()

    def add(self, event: Event) -> None:
        self._ended_s = time.monotonic()
        if isinstance(event, Ready):
            self._ready_s = self._ended_s
        elif isinstance(event, VideoDone):
            frames, taken_over = self._open.get(event.unit, (0, 0))
            frames += 0 if event.taken_over else event.frames
            self._open[event.unit] = frames, taken_over + event.taken_over
        elif isinstance(event, UnitRetried):
            self._open.pop(event.unit, None)
        elif isinstance(event, UnitDone):
            self._close(event.unit)
            self._kept += event.kept
            self._nodes.update([event.node] if event.node else [])
        elif isinstance(event, UnitKept):
            self._close(event.unit)
            self.worse += event.worse
        elif isinstance(event, NodeLost):
            self._lost.append(event.node)

    def _close(self, unit: str) -> None:
        frames, taken_over = self._open.pop(unit, (0, 0))
        self._frames += frames
        self._taken_over += taken_over

    def summary(self, dataset: DatasetRecord, units_run: int, units: int) -> Summary:
        return Summary(
            dataset=dataset,
            units_run=units_run,
            units_resumed=units - units_run,
            frames=self._frames,
            start_up_s=self._ready_s - self._started_s,
            work_s=self._ended_s - self._ready_s,
            taken_over=self._taken_over,
            kept=tuple(self._kept),
            nodes=dict(sorted(self._nodes.items())),
            lost=tuple(self._lost),
        )


def _events(
    units: tuple[Unit, ...], job: UnitJob, early: EarlyWorkers | None
) -> Generator[Event, None, None]:
    if units:  # which a finish that was interrupted has none of
        yield from engine_of(job.config, early)(units, job)
