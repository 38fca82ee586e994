"""Which engine runs the units of an ingest, and whether it can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, RunConfig
from sofdata.system.extras import install, is_installed, require

if TYPE_CHECKING:  # a command looks here before it imports what it works with
    from sofdata.ingest.events import Event
    from sofdata.ingest.job import UnitJob
    from sofdata.ingest.units import Unit

WITHOUT_RAY = (
    f"Ray is not installed ({install('ray')}): working with processes of this machine alone"
)


def with_engine(config: IngestConfig) -> IngestConfig:
    """The configuration with the engine that `auto` means here: Ray if it is installed.

    Raises `ConfigError` where settings need Ray that is not installed, or that other engines do
    not have.
    """
    run = config.run
    needs = _needs_ray(run)
    if run.engine == "auto":
        if not is_installed("ray") and needs:
            require("ray", "ray", needs[0])
        chosen = "ray" if is_installed("ray") else "processes"
        return config.model_copy(update={"run": run.model_copy(update={"engine": chosen})})
    if run.engine == "ray":
        require("ray", "ray", "run.engine=ray", "use run.engine=processes")
    if run.engine == "processes" and needs:
        raise ConfigError(f"{needs[0]} is for Ray's workers, and run.engine is processes: use ray")
    return config


def engine_of(config: IngestConfig) -> Callable[[Iterable[Unit], UnitJob], Iterator[Event]]:
    """What runs the units; config: from `with_engine`. Imports only what the engine needs."""
    if config.run.engine == "inline":
        from sofdata.ingest.engines.inline import run_inline

        return run_inline
    if config.run.engine == "processes":
        from sofdata.ingest.engines.processes import run_processes

        return run_processes
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
