"""How long an ingest will take by the clock: start, units on workers, tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sofdata.ingest.config import IngestConfig, RunConfig
from sofdata.ingest.engines.choice import RAY_START_S, may_start_early
from sofdata.ingest.estimate.figures import Figure
from sofdata.ingest.estimate.population import Population
from sofdata.ingest.estimate.sampling import Numbers
from sofdata.ingest.estimate.schedule import makespan_s
from sofdata.ingest.estimate.totals import Looked, Totals
from sofdata.ingest.job import UnitJob
from sofdata.system.cores import cores

# The end, s: of any dataset, stop and tables (0.2 by benchmarks/ingest_speed.py), and of each unit
# (1.4 ms with one clip by benchmarks/dry_run.py --finish, more with more); both rounded up.
FINISH_S, FINISH_UNIT_S = 0.3, 0.002


@dataclass(frozen=True, slots=True)
class Wall:
    """Seconds of the clock of a run.

    workers: that work at once. cores: of this machine; None where others will compute.
    planning_s: until the plan was made, in this run. start_up_s: from then on until workers are
        ready, which start earlier where they can.
    work: of all units on these workers. longest_s: of the longest unit. finishing_s: the tables.
    """

    workers: int
    cores: int | None
    planning_s: float
    start_up_s: float
    work: Figure
    longest_s: float
    finishing_s: float

    @property
    def total(self) -> Figure:
        """All together."""
        return self.work.plus(self.planning_s + self.start_up_s + self.finishing_s)


def workers_of(config: IngestConfig) -> int | None:
    """How many workers a run has; None where that is left to a cluster."""
    run = config.run
    if run.engine == "inline":
        return 1
    return run.workers or (None if run.address else cores())


def at_once(config: IngestConfig, units: int, seconds: float) -> int:
    """How many workers will be busy at once, as far as this machine can be as busy.

    seconds: of video, about: of long videos several workers do parts. 0: this process does it all.
    """
    if config.run.engine == "inline":
        return 0
    most = max(units, math.ceil(seconds / config.run.split.part_s) if _splits(config.run) else 0)
    return max(1, min(workers_of(config) or cores(), cores(), most))


def _splits(run: RunConfig) -> bool:
    return run.split.from_s is not None and run.engine != "inline"


def videos_s(population: Population, first: Looked, found: Totals) -> Numbers:
    """Worker seconds [N] of each video; together they are what all videos take."""
    rate = found.wall_s.value / max(float(population.sizes.sum()), 1e-9)
    videos = population.sizes * rate
    videos[first.chosen.places] = found.predicted_s
    whole = float(videos.sum())
    return videos * (found.wall_s.value / whole) if whole > 0 else videos


def lengths_s(population: Population, first: Looked) -> Numbers:
    """Seconds [N] that each video lasts, of those whose header was not read by their size."""
    known = first.known["seconds"]
    lengths = population.sizes * (known.total / max(float(population.sizes.sum()), 1e-9))
    lengths[first.chosen.places] = known.values
    return lengths


def pieces_s(population: Population, work_s: Numbers, lengths: Numbers, run: RunConfig) -> Numbers:
    """Worker seconds of what workers take one after the other: units, then parts of long videos.

    work_s, lengths: [N]; of each video. Long ones are shared with workers that have no unit; each
    leaves its unit one part.
    """
    from_s = run.split.from_s if _splits(run) else None
    is_long = lengths >= (np.inf if from_s is None else from_s)
    parts = np.where(is_long, np.ceil(lengths / run.split.part_s), 1).astype(np.int64)
    each = work_s / parts
    units = np.bincount(population.unit_of, each, len(population.units))
    shared = np.sort(np.repeat(each, parts - 1))[::-1]
    return np.concatenate([units, shared]).astype(np.float64)


def scheduled(work: Figure, pieces: Numbers, workers: int) -> Figure:
    """The work on so many workers, each piece on one, with the range of the work itself."""
    makespan = makespan_s(pieces.tolist(), workers)
    return work.times(makespan / work.value) if work.value > 0 else Figure.exact(makespan)


def with_gpus(on_workers: Figure, in_flow_s: Figure, gpus: int) -> Figure:
    """The longer of two things done at the same time: workers decode, GPUs estimate flow."""
    on_gpus = in_flow_s.times(1 / gpus)
    return on_gpus if on_gpus.value > on_workers.value else on_workers


def start_up_s(planning_s: float, starting_s: float, is_early: bool) -> float:
    """How long workers are waited for once there is a plan.

    starting_s: what their start takes all cores. is_early: whether they start with the command,
    and share the cores with the planning, which keeps one of them busy.
    """
    if not is_early:
        return starting_s
    return max(0.0, starting_s + planning_s / cores() - planning_s)


def wall(
    job: UnitJob,
    units: int,
    pieces: Numbers,
    found: Totals,
    times: tuple[float, float],
    gpus: int,
) -> Wall | None:
    """The wall time of a run, None where nobody knows how many workers it will have.

    pieces: by `pieces_s`. times: of planning and of starting workers, s. gpus: that
    estimate flow, 0 where the workers do.
    """
    run, workers = job.config.run, workers_of(job.config)
    if workers is None:
        return None
    here = None if run.address else cores()
    work = scheduled(found.wall_s, pieces, workers if here is None else min(workers, here))
    ray_s = RAY_START_S if run.engine == "ray" else 0.0
    return Wall(
        workers=workers,
        cores=here,
        planning_s=times[0],
        start_up_s=start_up_s(*times, may_start_early(run, job.dest)) + ray_s,
        work=with_gpus(work, found.in_flow_s, gpus) if gpus else work,
        longest_s=float(pieces.max(initial=0.0)),
        finishing_s=FINISH_S + FINISH_UNIT_S * units,
    )
