"""`ingest`: the whole way from a source to a complete dataset; running it again resumes it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from sofdata import __version__
from sofdata.config import IngestConfig, differing_keys
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.flow.estimator import resolve
from sofdata.ingest.events import Event, Ready, VideoDone
from sofdata.ingest.finish import finish, provenance
from sofdata.ingest.inline import run_inline
from sofdata.ingest.plan import Plan, Unit, load_plan, make_plan, save_plan
from sofdata.ingest.unit import Job
from sofdata.shards.commit import committed_units
from sofdata.shards.layout import DATASET, RUNS
from sofdata.shards.schema import Counts, DatasetRecord
from sofdata.storage import SCRATCH, Tree


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ingest that is planned but not yet run.

    waiting: the units without a commit record, the largest first.
    complete: what lies at the destination, if nothing is left to do.
    """

    job: Job
    corpus: str
    why: str
    notes: tuple[str, ...]
    plan: Plan
    waiting: tuple[Unit, ...]
    complete: DatasetRecord | None

    @property
    def resumed(self) -> int:
        """Number of units that an earlier run has committed."""
        return len(self.plan.units) - len(self.waiting)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an ingest has done."""

    dataset: DatasetRecord
    units_run: int
    units_resumed: int
    frames: int
    start_up_s: float
    work_s: float


def prepare(
    source: Tree, dest: Tree, config: IngestConfig, corpus: str, write: bool = True
) -> Prepared:
    """List the corpus, make the plan, and compare it with what lies at the destination.

    write: store the plan; False for a dry run, which changes nothing.

    Raises `ConfigError` before any work if the destination holds something else, another
    configuration or another plan.
    """
    _check_places(source, dest)
    config = config.model_copy(update={"flow": resolve(config.flow)})
    stored = read_dataset(dest)
    if stored:
        _check_same_config(stored, config, dest)
    adapter, why = find_corpus(source, corpus)
    listing = adapter.listing(source)
    plan = make_plan(source, listing, config)
    known = load_plan(dest)
    if known is not None:
        _check_same_plan(known, plan, dest)
    elif write:
        _begin(dest, plan, adapter.name, config)
    done = committed_units(dest)
    waiting = [unit for unit in plan.units if unit.id not in done]
    waiting.sort(key=lambda unit: -unit.size_bytes)  # the longest first, so that none is last
    return Prepared(
        job=Job(source, dest, config),
        corpus=adapter.name,
        why=why,
        notes=listing.notes,
        plan=plan,
        waiting=tuple(waiting),
        complete=stored if stored and stored.complete and not waiting else None,
    )


def execute(prepared: Prepared, on_event: Callable[[Event], None]) -> Summary:
    """Run the units that are not committed and complete the dataset.

    on_event: told of every video and unit as it ends.

    Interrupted at any moment, the same call goes on from the units that are committed.
    """
    job, started = prepared.job, time.monotonic()
    ready_at, frames = started, 0

    with closing(_events(prepared)) as events:  # so that Ray stops before we go on
        for event in events:
            if isinstance(event, Ready):
                ready_at = time.monotonic()
            elif isinstance(event, VideoDone):
                frames += event.video.frames
            on_event(event)
    work_s = time.monotonic() - ready_at
    dataset = finish(job.dest, prepared.plan, prepared.corpus, job.config)
    job.dest.clear_scratch()
    summary = Summary(
        dataset=dataset,
        units_run=len(prepared.waiting),
        units_resumed=prepared.resumed,
        frames=frames,
        start_up_s=ready_at - started,
        work_s=work_s,
    )
    _record_run(job, summary)
    return summary


def read_dataset(dest: Tree) -> DatasetRecord | None:
    """`dataset.json` of a destination; None if there is none.

    Raises `ConfigError` if it is not one of ours.
    """
    try:
        return DatasetRecord.model_validate_json(dest.read(DATASET))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ConfigError(
            f"{DATASET} in {dest.name} does not fit schema version 1: {error}"
        ) from None


def _events(prepared: Prepared) -> Generator[Event, None, None]:
    units, job = prepared.waiting, prepared.job
    if job.config.run.engine == "inline" or not units:
        yield from run_inline(units, job)
    else:
        from sofdata.ingest.cluster import run_ray

        yield from run_ray(units, job)


def _check_places(source: Tree, dest: Tree) -> None:
    if dest.is_local and source.is_local:
        inside = os.path.join(os.path.realpath(dest.root), "")
        if inside.startswith(os.path.join(os.path.realpath(source.root), "")):
            raise ConfigError(f"{dest.name} lies inside {source.name}; choose a folder beside it")
    if dest.is_local and os.path.exists(dest.root) and not os.path.isdir(dest.root):
        raise ConfigError(f"{dest.name} is a file; the destination must be a folder")
    if read_dataset(dest) is None and _foreign_files(dest):
        raise ConfigError(
            f"{dest.name} holds other files and no {DATASET}; choose an empty or a new folder"
        )


def _foreign_files(dest: Tree) -> bool:
    return any(name != SCRATCH for name in dest.names(""))


def _check_same_config(stored: DatasetRecord, config: IngestConfig, dest: Tree) -> None:
    differences = list(differing_keys(config.content(), stored.config))
    if differences:
        raise ConfigError(
            f"{dest.name} was made with another configuration: {'; '.join(differences)}. "
            "Use the same one to resume, or another destination"
        )


def _check_same_plan(known: Plan, plan: Plan, dest: Tree) -> None:
    before = {row["id"]: row for row in known.rows()}
    now = {row["id"]: row for row in plan.rows()}
    if before == now:
        return
    counts = {
        "new": len(now.keys() - before.keys()),
        "gone": len(before.keys() - now.keys()),
        "changed": sum(before[id_] != now[id_] for id_ in before.keys() & now.keys()),
    }
    told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    raise ConfigError(
        f"the source is not what {dest.name} was planned from ({told}); "
        "restore it, or ingest into another destination"
    )


def _begin(dest: Tree, plan: Plan, corpus: str, config: IngestConfig) -> None:
    """Write an incomplete `dataset.json`, then the plan: the destination is now ours."""
    dataset = DatasetRecord(
        complete=False,
        corpus=corpus,
        config=config.content(),
        config_sha256=config.digest(),
        counts=Counts(videos=plan.videos, ignored_files=dict(sorted(plan.ignored.items()))),
        flow={},
        provenance=provenance(config),
    )
    dest.write(DATASET, dataset.to_json())
    save_plan(dest, plan)


def _record_run(job: Job, summary: Summary) -> None:
    """Keep what is known of this run: the only file of a dataset that differs from run to run."""
    ended = datetime.now(UTC)
    record: dict[str, Any] = {
        "ended": ended.isoformat(timespec="seconds"),
        "source": job.source.name,
        "sofdata": __version__,
        "run": job.config.run.model_dump(mode="json"),
        "cores": os.cpu_count(),
        "machine": platform.platform(),
        "units_run": summary.units_run,
        "units_resumed": summary.units_resumed,
        "frames": summary.frames,
        "start_up_s": round(summary.start_up_s, 3),
        "work_s": round(summary.work_s, 3),
    }
    name = f"{ended.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.json"
    job.dest.write(f"{RUNS}/{name}", json.dumps(record, indent=1).encode())
