"""`ingest`: the whole way from a source to a complete dataset; running it again resumes it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sofdata import __version__
from sofdata.config import IngestConfig
from sofdata.cores import cores
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError, StorageError
from sofdata.flow.estimator import resolve
from sofdata.ingest.changes import find_changes, merge
from sofdata.ingest.destination import (
    begin,
    check_can_run,
    check_files,
    check_places,
    check_same_actions,
    check_same_config,
    mark_incomplete,
    read_dataset,
)
from sofdata.ingest.events import Event, NodeLost, Ready, UnitDone, VideoDone
from sofdata.ingest.finish import finish
from sofdata.ingest.inline import run_inline
from sofdata.ingest.lock import only_driver
from sofdata.ingest.plan import Plan, Unit, load_plan, make_plan
from sofdata.ingest.unit import Job
from sofdata.shards.commit import committed_units, read_record, remove_unit
from sofdata.shards.layout import RUNS
from sofdata.shards.schema import DatasetRecord
from sofdata.storage import Tree


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ingest that is planned but not yet run.

    waiting: the units without a commit record, the largest first.
    complete: what lies at the destination, if nothing is left to do.
    """

    job: Job
    corpus: str
    why: str
    plan: Plan
    waiting: tuple[Unit, ...]
    complete: DatasetRecord | None

    @property
    def ended(self) -> int:
        """Number of videos that need no work any more."""
        return self.plan.videos - sum(len(unit.videos) for unit in self.waiting)

    @property
    def resumed(self) -> int:
        """Number of units that an earlier run has committed."""
        return len(self.plan.units) - len(self.waiting)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an ingest has done. `work_s` runs from the first worker's start to the last commit.

    nodes: units that each node of a cluster has run; lost: the nodes that were lost on the way.
    """

    dataset: DatasetRecord
    units_run: int
    units_resumed: int
    frames: int
    start_up_s: float
    work_s: float
    nodes: dict[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def prepare(
    source: Tree,
    dest: Tree,
    config: IngestConfig,
    corpus: str,
    *,
    write: bool = True,
    update: bool = False,
    retry_quarantined: bool = False,
) -> Prepared:
    """List the corpus, make the plan, and compare it with what lies at the destination.

    write: store the plan; False for a dry run, which changes nothing.
    update: if the source has changed, plan what is new or changed, and keep all other units.
    retry_quarantined: run those units again in which a video was quarantined.

    Raises `ConfigError` before any work if the destination holds something else, another
    configuration or, without `update`, was planned from another source.
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
    with only_driver(dest) if write else nullcontext():
        stored = read_dataset(dest)
        if stored:
            check_same_config(stored, config, dest)
            check_same_actions(stored, listing.actions, dest)
        job = Job(source, dest, config, adapter.name, listing.actions)
        plan = _settle(job, now, write, update)
        if write:
            dest.clear_scratch()  # what a killed driver left, even if it had nothing left to do
        done = committed_units(dest)
        if retry_quarantined:
            done -= _reopen_quarantined(dest, plan, done, write)
    waiting = [unit for unit in plan.units if unit.id not in done]
    waiting.sort(key=lambda unit: -unit.size_bytes)  # the longest first, so that none is last
    complete = read_dataset(dest) if not waiting else None
    if complete and complete.complete:
        check_files(dest)
    return Prepared(
        job=job,
        corpus=adapter.name,
        why=why,
        plan=plan,
        waiting=tuple(waiting),
        complete=complete if complete and complete.complete else None,
    )


def execute(prepared: Prepared, on_event: Callable[[Event], None]) -> Summary:
    """Run the units that are not committed and complete the dataset.

    on_event: told of every video and unit as it ends.

    Interrupted at any moment, the same call goes on from the units that are committed. Raises
    `ConfigError` if another driver is at work on the same destination.
    """
    job = prepared.job
    with only_driver(job.dest):
        name = _note_start(job)
        summary = _execute(prepared, on_event)
        _note_end(job, name, summary)
    return summary


def _settle(job: Job, now: Plan, write: bool, update: bool) -> Plan:
    """The plan to work by: the stored one as long as the source is what it was."""
    dest = job.dest
    known = load_plan(dest)
    if known is None:
        if write:
            begin(job, now)
        return now
    changes = find_changes(known, now)
    if not changes:
        return replace(known, beside=now.beside)
    if not update:
        raise ConfigError(
            f"the source is not what {dest.name} was planned from: {changes}. '--update' takes in "
            "what changed and keeps the rest; or use another destination"
        )
    plan, retired = merge(known, now, job.config)
    if write:
        mark_incomplete(dest)
        for unit in retired:  # before the plan forgets them
            remove_unit(dest, unit.ordinal, unit.id)
        begin(job, plan)
    return plan


def _reopen_quarantined(dest: Tree, plan: Plan, done: set[str], write: bool) -> set[str]:
    """Ids of the committed units with a quarantined video; their records are removed."""
    reopened = set()
    for unit in plan.units:
        if unit.id in done:
            videos = read_record(dest, unit.id).videos
            if any(video.status == "quarantined" for video in videos):
                reopened.add(unit.id)
    if write and reopened:
        mark_incomplete(dest)
        for unit in plan.units:
            if unit.id in reopened:
                remove_unit(dest, unit.ordinal, unit.id)
    return reopened


def _execute(prepared: Prepared, on_event: Callable[[Event], None]) -> Summary:
    job, started = prepared.job, time.monotonic()
    ready_at = ended_at = started
    frames = 0
    nodes: Counter[str] = Counter()
    lost = []
    with closing(_events(prepared)) as events:  # so that Ray stops before we go on
        for event in events:
            if isinstance(event, Ready):
                ready_at = time.monotonic()
            elif isinstance(event, VideoDone):
                frames += event.video.frames
            elif isinstance(event, UnitDone) and event.node:
                nodes[event.node] += 1
            elif isinstance(event, NodeLost):
                lost.append(event.node)
            ended_at = time.monotonic()
            on_event(event)
    planned = read_dataset(job.dest)
    if planned is None:
        raise StorageError(f"{job.dest.name} has lost its dataset.json during the ingest")
    dataset = finish(job.dest, prepared.plan, planned)
    job.dest.clear_scratch()
    return Summary(
        dataset=dataset,
        units_run=len(prepared.waiting),
        units_resumed=prepared.resumed,
        frames=frames,
        start_up_s=ready_at - started,
        work_s=ended_at - ready_at,
        nodes=dict(sorted(nodes.items())),
        lost=tuple(lost),
    )


def _events(prepared: Prepared) -> Generator[Event, None, None]:
    units, job = prepared.waiting, prepared.job
    if job.config.run.engine == "inline" or not units:
        yield from run_inline(units, job)
    else:
        from sofdata.ingest.cluster import run_ray

        yield from run_ray(units, job)


def _note_start(job: Job) -> str:
    """Keep what is known of this run: `runs/` alone differs from run to run."""
    began = datetime.now(UTC)
    name = f"{RUNS}/{began.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{os.urandom(2).hex()}.json"
    record = {
        "began": began.isoformat(timespec="seconds"),
        "source": job.source.name,
        "sofdata": __version__,
        "run": job.config.run.model_dump(mode="json"),
        "cores": cores(),
        "machine": platform.platform(),
    }
    job.dest.write(name, json.dumps(record, indent=1).encode())
    return name


def _note_end(job: Job, name: str, summary: Summary) -> None:
    record = json.loads(job.dest.read(name))
    record |= {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "units_run": summary.units_run,
        "units_resumed": summary.units_resumed,
        "frames": summary.frames,
        "start_up_s": round(summary.start_up_s, 3),
        "work_s": round(summary.work_s, 3),
        "nodes": summary.nodes,
        "lost": list(summary.lost),
    }
    job.dest.write(name, json.dumps(record, indent=1).encode())
