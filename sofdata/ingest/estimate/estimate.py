"""`estimate`: what an ingest will take, from a seeded sample that is run and thrown away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import resolve
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.estimate.crew import Measurers, OnProgress, measurers
from sofdata.ingest.estimate.figures import Figure
from sofdata.ingest.estimate.guess import Guess, Header, guess
from sofdata.ingest.estimate.meter import Measured
from sofdata.ingest.estimate.population import Population, population_of
from sofdata.ingest.estimate.sampling import Choice, Numbers, choose
from sofdata.ingest.estimate.spans import Taken, cpu_s, parts_of, taken
from sofdata.ingest.estimate.totals import Looked, Totals, looked, totals
from sofdata.ingest.estimate.wall import (
    Wall,
    at_once,
    lengths_s,
    pieces_s,
    scheduled,
    videos_s,
    wall,
)
from sofdata.ingest.generation import with_earlier
from sofdata.ingest.job import UnitJob
from sofdata.ingest.run import Prepared
from sofdata.storage.temporary import temporary_folder
from sofdata.storage.tree import Tree
from sofdata.system.extras import is_installed
from sofdata.types import VideoRef
from sofdata.ui.brief import Brief

SAMPLE = 20
HEADERS = 10  # that are read, for each video that is measured
STAND_IN = "dis"  # estimates flow in the sample where the GPUs that will are elsewhere
TRAILER_BYTES = 6144  # of a shard, on average: its end mark, and what fills up its last record


@dataclass(frozen=True, slots=True)
class Sampled:
    """A video of the sample.

    parts: what was measured of it; one, or spans. weight: for how many videos it stands.
    """

    ref: VideoRef
    parts: tuple[Measured, ...]
    took: Taken
    weight: float

    @property
    def ended(self) -> str:
        """ "done", or why not."""
        good = [part for part in self.parts if part.record.status == "done"]
        return "done" if good else self.parts[0].record.reason

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all of it."""
        return cpu_s(self.took.values)


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """What was measured, and how.

    headers: that were read. processes: that measured at once. took_s: all of it.
    """

    seed: int
    videos: tuple[Sampled, ...]
    headers: int
    processes: int
    took_s: float

    def __repr__(self) -> str:
        return f"Sample({len(self.videos)} videos, seed {self.seed})"

    @property
    def reasons(self) -> dict[str, int]:
        """How many of the videos are not done, by reason."""
        ended = Counter(video.ended for video in self.videos if video.ended != "done")
        return dict(ended.most_common())

    @property
    def unusable(self) -> float:
        """Share of all videos that, by the sample, will not be done."""
        weight = sum(video.weight for video in self.videos)
        return sum(video.weight for video in self.videos if video.ended != "done") / weight


@dataclass(frozen=True, slots=True, repr=False)
class Estimate(Brief):
    """What an ingest will take and give; ranges are those of sampling, at 95 %.

    sample: what was measured.
    videos: that are work. carried: whose earlier results are taken over.
    seconds, windows: of video; that will be written. bytes: of all shards, kept flow included.
    fetched_bytes: of remote files that are read, 0 where all are here.
    cpu_hours: of the workers.
    gpu_hours, pairs: of frames; None where flow is on CPUs, the hours also where no GPU is here.
    wall: None where nobody knows how many workers there will be.
    on_cluster_s: the work on as many cores like these as there are workers, where this machine has
        fewer; else None.
    """

    sample: Sample
    videos: int
    carried: int
    seconds: Figure
    windows: Figure
    bytes: Figure
    fetched_bytes: int
    cpu_hours: Figure
    gpu_hours: Figure | None
    pairs: Figure | None
    wall: Wall | None
    on_cluster_s: Figure | None


@dataclass(frozen=True, slots=True)
class NoEstimate:
    """Nothing can be said. why: a sentence."""

    why: str
    sample: Sample | None = None


@dataclass(slots=True)
class _Run:
    """One estimate under way."""

    prepared: Prepared
    population: Population
    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def config(self) -> IngestConfig:
        return self.prepared.job.config

    @property
    def flow_apart(self) -> bool:
        return self.config.flow.device == "cuda"


def estimate(
    prepared: Prepared,
    sample: int = SAMPLE,
    seed: int = 0,
    planning_s: float = 0.0,
    on_progress: OnProgress = lambda done, total: None,
) -> Estimate | NoEstimate:
    """Measure a sample of the videos that an ingest is yet to work on.

    prepared: by `prepare` with `dry_run`. sample: how many videos; large ones are more likely.
    planning_s: what it took to come here, which the ingest will take as well.
    on_progress: called with how many videos are measured, and of how many.

    Nothing is written but below a temporary folder, which is removed. Takes as long as the sample
    does in the ingest, of videos of more than a minute twice ten seconds. Raises what keeps workers
    from starting, and what storage raises.
    """
    job = prepared.job
    units = with_earlier(job.dest, prepared.generation)
    population = population_of(units)
    if not len(population):
        return NoEstimate("no video is left to work on")
    began_s = time.monotonic()
    gpus = _gpus(job.config)
    with temporary_folder() as folder:
        measuring = _measuring_job(job, folder, gpus)
        processes = at_once(job.config, len(units), prepared.work.seconds())
        with measurers(measuring, min(1, processes) if gpus else processes) as crew:
            run = _Run(prepared, population, seed)
            first, headers = _look(run, crew, sample)
            videos, second = _measure(run, crew, first, headers, sample, on_progress)
            start_up_s = crew.start_up_s
    took = Sample(seed, videos, len(headers), crew.processes, time.monotonic() - began_s)
    complete = len(videos) == len(population)
    if not _tells(videos, complete):
        return NoEstimate(_all_bad(took, complete), took)
    found = totals(first, second, [video.took for video in videos])
    work, lengths = videos_s(population, first, found), lengths_s(population, first)
    pieces = pieces_s(population, work, lengths, job.config.run)
    return _estimate(run, took, found, pieces, (planning_s, start_up_s))


def _measuring_job(job: UnitJob, folder: str, gpus: int | None) -> UnitJob:
    """A job whose results are thrown away; without the GPUs that it needs, a stand-in estimates."""
    config = job.config
    if gpus == 0:
        flow = config.flow
        plain = FlowConfig(estimator=STAND_IN).model_dump(include={"device", "estimator", "dis"})
        given = flow.model_dump(exclude={"checkpoint", "weights_sha256", "model_size"} | {*plain})
        config = config.model_copy(update={"flow": resolve(FlowConfig(**{**given, **plain}))})
    return replace(job, config=config, dest=Tree(folder), libraries={})


def _gpus(config: IngestConfig) -> int | None:
    """How many GPUs are here for flow that runs on them; None where flow is on CPUs."""
    if config.flow.device != "cuda":
        return None
    if not is_installed("torch"):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _look(run: _Run, crew: Measurers, sample: int) -> tuple[Looked, dict[int, Header | None]]:
    """The first phase: the headers of some videos, by their places among all."""
    chosen = choose(run.population.sizes, HEADERS * sample, run.rng)
    refs = [run.population.video(place) for place in chosen.places]
    headers = crew.headers(refs)
    guesses = [
        guess(ref, header, run.config) if header else None
        for ref, header in zip(refs, headers, strict=True)
    ]
    found = dict(zip(chosen.places.tolist(), headers, strict=True))
    return looked(chosen, guesses, run.population.sizes), found


def _measure(
    run: _Run,
    crew: Measurers,
    first: Looked,
    headers: dict[int, Header | None],
    sample: int,
    on_progress: OnProgress,
) -> tuple[tuple[Sampled, ...], Choice]:
    """The second phase: some of these, whole or in spans."""
    second = first.choose(sample, run.rng)
    places = first.chosen.places[second.places].tolist()
    refs = [run.population.video(place) for place in places]
    parts = [parts_of(ref, headers[at], run.seed) for ref, at in zip(refs, places, strict=True)]
    order = np.argsort(-first.cost[second.places], kind="stable").tolist()
    asked = [(number, part) for number in order for part in parts[number]]
    measured = crew.measure([part for _, part in asked], on_progress)
    by_video: dict[int, list[Measured]] = {}
    for (number, _), each in zip(asked, measured, strict=True):
        by_video.setdefault(number, []).append(each)
    weights = first.weights[second.places] / second.chances
    videos = []
    for number, ref in enumerate(refs):
        at = int(second.places[number])
        expected = Guess(**{name: float(each.values[at]) for name, each in first.known.items()})
        found = tuple(by_video[number])
        whole = taken(found, headers[places[number]], expected, run.config, run.flow_apart)
        videos.append(Sampled(ref, found, whole, float(weights[number])))
    return tuple(videos), second


def _estimate(
    run: _Run, sample: Sample, found: Totals, pieces: Numbers, times: tuple[float, float]
) -> Estimate:
    config, population = run.config, run.population
    shards = (2 if config.flow.keep else 1) * len(population.units)
    gpus = _gpus(config)
    cpu = found.cpu_s if gpus is None else found.cpu_without_flow_s
    times_ = wall(run.prepared.job, len(population.units), pieces, found, times, gpus or 0)
    more = times_ is not None and times_.cores is not None and times_.workers > times_.cores
    on_cluster = scheduled(found.wall_s, pieces, times_.workers) if times_ and more else None
    return Estimate(
        sample=sample,
        videos=len(population),
        carried=population.carried,
        seconds=found.seconds,
        windows=found.windows,
        bytes=found.bytes.plus(TRAILER_BYTES * shards),
        fetched_bytes=0 if run.prepared.job.source.is_local else population.files_bytes,
        cpu_hours=cpu.times(1 / 3600),
        gpu_hours=found.in_flow_s.times(1 / 3600) if gpus else None,
        pairs=None if gpus is None else found.pairs,
        wall=times_,
        on_cluster_s=on_cluster,
    )


def _tells(videos: Sequence[Sampled], complete: bool) -> bool:
    """Whether anything follows from the sample. complete: it is all that there is to work on.

    Videos without a window, such as still ones, were worked on, too: of all of them that is known.
    """
    worked_on = any(part.record.frames for video in videos for part in video.parts)
    return any(video.ended == "done" for video in videos) or (complete and worked_on)


def _all_bad(sample: Sample, complete: bool) -> str:
    reasons = ", ".join(f"{reason} {number}" for reason, number in sample.reasons.items())
    many, of = len(sample.videos), "left to work on" if complete else "of the sample"
    which = f"the one video {of}" if many == 1 else f"all {many} videos {of}"
    more = "" if complete else ", or take a larger sample (--sample) or another one (--seed)"
    return (
        f"{which} cannot be used ({reasons}): there is nothing to measure. Look into one of them"
        f"{more}"
    )
