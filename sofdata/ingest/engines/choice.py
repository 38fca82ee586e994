"""Which engine runs the units of an ingest, and whether it can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.ingest.config import IngestConfig, RunConfig
from sofdata.shards.layout import DATASET
from sofdata.storage.tree import Tree
from sofdata.system.extras import install, is_installed, require
from sofdata.ui.text import clock

if TYPE_CHECKING:  # a command looks here before it imports what it works with
    from sofdata.ingest.engines.crew import EarlyWorkers
    from sofdata.ingest.events import Event
    from sofdata.ingest.job import UnitJob
    from sofdata.ingest.units import Unit
    from sofdata.ingest.work import Work

# Work of the default settings, core seconds a second of video: 0.06 for rendered clips at 12 fps
# with still stretches (`benchmarks/ingest_stages.py`), more for larger frames that all move. Where
# it is far more, as with learned flow on a CPU, processes do what Ray would have done as fast.
CORE_S_PER_VIDEO_S = 0.1
RAY_START_S = 4.0  # import, start and shutdown of Ray on two cores, beyond those of processes
RAY_START_SHARE = 0.02  # of the work, that its start may cost
RAY_FROM_S = RAY_START_S / RAY_START_SHARE

WITHOUT_RAY = (
    f"Ray is not installed ({install('ray')}): working with processes of this machine alone"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that runs an ingest: "ray", "processes" or "inline"; and why, a line."""

    engine: str
    why: str


def check_engine(config: IngestConfig) -> None:
    """Raise `ConfigError` where settings need Ray that is not installed, or that an engine lacks.

    To be called before any work; `choose` then knows what there is to do.
    """
    run = config.run
    needs = _needs_ray(run)
    if run.engine == "auto" and needs:
        require("ray", "ray", needs[0])
    if run.engine == "ray":
        require("ray", "ray", "run.engine=ray", "use run.engine=processes")
    if run.engine == "processes" and needs:
        raise ConfigError(f"{needs[0]} is for Ray's workers, and run.engine is processes: use ray")


def may_use_ray(run: RunConfig) -> bool:
    """Whether Ray may be what runs it: then a command is split in two before it opens anything."""
    return run.engine == "ray" or (run.engine == "auto" and is_installed("ray"))


def may_use_processes(run: RunConfig) -> bool:
    """Whether processes of this machine may be what runs it."""
    return run.engine == "processes" or (run.engine == "auto" and not _needs_ray(run))


def may_start_early(run: RunConfig, dest: Tree) -> bool:
    """Whether workers are worth starting before there is a plan: there will be work for them.

    Not where a dataset stands, of which nothing may be left to do, nor beside an object store,
    whose answers take longer than the start.
    """
    return may_use_processes(run) and dest.is_local and not dest.exists(DATASET)


def choose(run: RunConfig, flow: FlowConfig, work: Work, cores: int, has_ray: bool) -> Choice:
    """The engine for so much work.

    `auto` takes Ray where a setting asks for what only Ray has, where flow is on a GPU, which then
    has one actor rather than a model a worker, and where the work is long beside Ray's start.
    Every engine makes the same bytes.

    flow: resolved. cores: of this machine. has_ray: whether it is installed.
    """
    if run.engine != "auto":
        return Choice(run.engine, "run.engine asks for it")
    if needs := _needs_ray(run):
        return Choice("ray", f"on Ray, for {needs[0]}")
    on_gpu = flow.device == "cuda"
    core_s = CORE_S_PER_VIDEO_S * work.seconds() / (run.workers or cores)
    is_long = core_s >= RAY_FROM_S
    if not has_ray and (is_long or on_gpu):
        return Choice("processes", WITHOUT_RAY)
    if on_gpu:
        return Choice("ray", "on Ray, whose actors keep flow on the GPU")
    about = f"about {clock(core_s)} of work a core"
    if is_long:
        return Choice("ray", f"on Ray: {about}")
    return Choice(
        "processes", f"with processes of this machine: {about} (Ray from {clock(RAY_FROM_S)} on)"
    )


def engine_of(
    config: IngestConfig, early: EarlyWorkers | None = None
) -> Callable[[Iterable[Unit], UnitJob], Iterator[Event]]:
    """What runs the units. Imports only what the engine needs.

    config: with the engine of a `Choice`. early: workers that were started before; an engine that
    has no use for them ends them.
    """
    if early is not None and config.run.engine != "processes":
        early.end()
    if config.run.engine == "inline":
        from sofdata.ingest.engines.inline import run_inline

        return run_inline
    if config.run.engine == "processes":
        from sofdata.ingest.engines.processes import run_processes

        return partial(run_processes, early=early)
    from sofdata.ingest.engines.cluster import run_ray

    return run_ray


def _needs_ray(run: RunConfig) -> list[str]:
    """The settings, other than the engine, that mean something to Ray only."""
    given = {
        "run.address": run.address is not None,
        "run.flow_actors": run.flow_actors > 0,
        "run.flow_resource": run.flow_resource is not None,
    }
    return [name for name, is_given in given.items() if is_given]
