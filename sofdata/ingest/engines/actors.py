"""What runs in the workers of an engine: units, parts of long videos, and for Ray their flow."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sofdata.errors import ConfigError
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.engines.batches import BATCH_S, Batch, batches
from sofdata.ingest.engines.decoders import InProcess, Isolated
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import Libraries, own_digest
from sofdata.ingest.splitting.split import PartWorker, VideoSplit
from sofdata.ingest.stages import Flow, FlowSource, Images, LocalFlow
from sofdata.ingest.unit import run_unit
from sofdata.ingest.units import Unit
from sofdata.shards.layout import DATASET
from sofdata.storage.tree import Tree
from sofdata.system.allocation import keep_some_memory
from sofdata.video.isolate import DecoderProcess


@dataclass(frozen=True, slots=True)
class Place:
    """Where an actor runs: the id of its node in Ray, and the node's address."""

    node: str
    address: str


class UnitWorker:
    """Runs units, one at a time: as an actor of Ray, or in a process of `engines.worker`.

    process: what decodes for it, if that was launched before; it is ended where it is not wanted.
    """

    def __init__(self, job: UnitJob, process: DecoderProcess | None = None) -> None:
        self._job = job
        self._flow: FlowSource | None = None
        self._decoder: Isolated | InProcess
        if job.config.run.isolate and job.maker is None:
            self._decoder = Isolated(job.config, process, divides=True)
        else:
            self._decoder = InProcess(job.config, divides=True)
            if process:
                process.close()

    def start(self) -> Place:
        """Prepare an actor of Ray, and return where it runs.

        Raises `ConfigError` where the node does not see the source or the destination, or has
        other versions of what decides the bytes.
        """
        place = here()
        if self._job.maker is None:
            _check_sees(self._job.source, "", place)
        _check_sees(self._job.dest, DATASET, place)
        self.prepare(
            place.address, not self._job.config.run.flow_is_elsewhere(self._job.config.flow)
        )
        return place

    def prepare(self, where: str, estimates_flow: bool) -> None:
        """Connect to the stores, and load the flow model if this worker estimates flow itself.

        where: the address of its node, "" for this machine.

        Raises `ConfigError` where it has other versions of what decides the bytes.
        """
        keep_some_memory()
        if self._job.maker is not None:
            self._job.dest.connect()
            return
        self._decoder.launch()  # imports what it needs while this process does the same
        own_digest(self._job.config, self._job.libraries, where)
        for tree in (self._job.source, self._job.dest):
            tree.connect()
        if estimates_flow:
            self._flow = LocalFlow(make_estimator(self._job.config.flow))

    def run(
        self, unit: Unit, flow_actors: Sequence[Any] = (), every_s: float = BATCH_S
    ) -> Iterator[Batch]:
        """Run a unit, with flow by the actors given, or by this worker if there are none.

        every_s: time between two batches; see `batch_s`.

        Yields batches of events: the videos as they end, and at last how the unit ended.
        """
        if self._job.maker is not None:
            yield from batches(self._job.maker(unit, self._job), every_s)
            return
        flow = self._flow_from(flow_actors)
        parts = PartWorker(self._job.config, self._decoder, flow)
        yield from batches(run_unit(unit, self._job, flow, self._decoder, parts), every_s)

    def help(self, split: VideoSplit, flow_actors: Sequence[Any] = ()) -> bool:
        """Do a part of a long video that another worker of this node has open, if there is one.

        Returns whether it makes sense to ask again.
        """
        flow = self._flow_from(flow_actors)
        libraries = own_digest(self._job.config, self._job.libraries)
        return PartWorker(self._job.config, self._decoder, flow).help(split, libraries)

    def _flow_from(self, flow_actors: Sequence[Any]) -> FlowSource:
        flow = RemoteFlow(flow_actors) if flow_actors else self._flow
        assert flow is not None
        return flow

    def close(self) -> None:
        """End the process that decodes for this worker."""
        self._decoder.close()


class FlowActor:
    """Actor: estimates flow for the workers of its node, or of all."""

    def __init__(self, config: IngestConfig, libraries: Mapping[str, Libraries]) -> None:
        self._config = config
        self._libraries = libraries

    def start(self) -> Place:
        """Load the model, and return where this actor runs.

        Raises `ConfigError` where its node has other libraries than the driver.
        """
        place = here()
        own_digest(self._config, self._libraries, place.address)
        self.name()
        return place

    def name(self) -> str:
        """Name of the estimator."""
        return self._estimator.name

    def estimate(self, first: Images, second: Images) -> Flow:
        """Flow of N pairs."""
        return self._estimator.estimate(first, second)

    @cached_property
    def _estimator(self) -> Estimator:  # not in __init__, from where its errors come back garbled
        return make_estimator(self._config.flow)


class RemoteFlow:
    """Sends pairs to flow actors in turn; one chunk is under way while another is waited for."""

    depth = 1

    def __init__(self, actors: Sequence[Any]) -> None:
        import ray

        self.name = ray.get(actors[0].name.remote())
        self._actors = deque(actors)
        self._actors.rotate(os.getpid())  # workers begin at different ones

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]:
        import ray

        self._actors.rotate(1)
        answer = self._actors[0].estimate.remote(first, second)
        return lambda: ray.get(answer)


def here() -> Place:
    """The place of the actor that asks."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    return Place(node, str(ray.util.get_node_ip_address()))


def _check_sees(tree: Tree, rel: str, place: Place) -> None:
    """Without this, a node that lacks a mount would quarantine every video as unreadable."""
    if tree.is_local and not tree.exists(rel):
        raise ConfigError(
            f"node {place.address} has no {tree.path(rel)}: a local path must lie on a file system "
            "that all nodes share, at the same place; or use an object store (s3://...)"
        )
