"""The Ray engine: one actor a core runs whole units, so that pixels never cross nodes.

With `run.flow_actors`, decode workers hand pairs of frames to flow actors of their own node (one
GPU each when flow runs on CUDA) and decode the next chunk while the flow of the last is computed.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sofdata.config import IngestConfig
from sofdata.errors import (
    ContractError,
    Interrupted,
    SofdataError,
    StorageError,
    TransientError,
)
from sofdata.flow.estimator import make_estimator
from sofdata.ingest.decoders import InProcess, Isolated
from sofdata.ingest.events import Event, Ready, UnitRetried
from sofdata.ingest.plan import Unit
from sofdata.ingest.process import Flow, FlowSource, Images, LocalFlow
from sofdata.ingest.unit import Decoder, Job, run_unit

UNIT_TRIES = 3
START_UP_S = 300.0
OBJECT_STORE_BYTES = 512 << 20


class UnitWorker:
    """Actor: runs units, one at a time, and tells of each video as it ends."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._flow: FlowSource | None = None
        opens = Isolated if job.config.run.isolate else InProcess
        self._decoder: Decoder = opens(job.config)

    def node(self) -> str:
        """Id of the node on which this worker runs."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def prepare(self, flow_actors: list[Any]) -> None:
        """Load the flow model, or take turns with others at the flow actors of this node."""
        for place in (self._job.source, self._job.dest):
            place.connect()
        if flow_actors:
            self._flow = RemoteFlow(flow_actors)
        else:
            self._flow = LocalFlow(make_estimator(self._job.config.flow))

    def run(self, unit: Unit, flow_actors: list[Any]) -> Iterator[Event]:
        """Run a unit; a restarted worker prepares itself again."""
        if self._flow is None:
            self.prepare(flow_actors)
        assert self._flow is not None
        yield from run_unit(unit, self._job, self._flow, self._decoder)


class FlowActor:
    """Actor: estimates flow for the workers of its node."""

    def __init__(self, config: IngestConfig) -> None:
        self._estimator = make_estimator(config.flow)

    def name(self) -> str:
        return self._estimator.name

    def estimate(self, first: Images, second: Images) -> Flow:
        return self._estimator.estimate(first, second)


class RemoteFlow:
    """Sends pairs to flow actors in turn; one chunk is under way while another is waited for."""

    depth = 1

    def __init__(self, actors: list[Any]) -> None:
        import ray

        self.name = ray.get(actors[0].name.remote())
        self._actors = deque(actors)

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]:
        import ray

        self._actors.rotate(1)
        answer = self._actors[0].estimate.remote(first, second)
        return lambda: ray.get(answer)


def run_ray(units: Iterable[Unit], job: Job) -> Iterator[Event]:
    """Run units on Ray actors, on this machine or on the cluster at `run.address`.

    A unit whose worker dies, or that fails with a `TransientError`, is run again, `UNIT_TRIES`
    times in all. Any other error ends the run.
    """
    with ray_session(job.config.run.address, job.config.run.workers):
        workers = _start_workers(job)
        yield Ready()
        yield from _drive(deque(units), workers, job.config.run.stall_s)


@contextmanager
def ray_session(address: str | None, workers: int | None) -> Iterator[None]:
    """Connect to the Ray at `address`, or start one for so many workers; stop what was started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else workers starve beside other work
    import ray

    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address:
            _check_address(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",  # whatever else runs here
                num_cpus=workers or os.cpu_count(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
    except SystemExit:  # Ray's own answer to SIGTERM while it starts
        ray.shutdown()
        raise Interrupted from None
    except Exception as error:  # noqa: BLE001 - where its daemons die, Ray raises just that
        ray.shutdown()
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        raise TransientError(
            f"could not start {where}: {error}; '--engine inline' runs without Ray, and RAY_TMPDIR "
            "sets where it keeps its files (a short path)"
        ) from None
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray has put its own in their place
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `ConnectionError` at once where nothing answers, which Ray would wait for."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", or a form that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(f"nothing answers there ({error})") from None


def _wait(answers: list[Any], what: str) -> list[Any]:
    """The results of actor calls. Raises `TransientError` if they take too long, or their error."""
    import ray

    ready, late = ray.wait(answers, num_returns=len(answers), timeout=START_UP_S)
    if late:
        free = ray.available_resources()
        raise TransientError(
            f"{len(ready)} of {len(answers)} {what} started within {START_UP_S:.0f} s; Ray has "
            f"{free.get('CPU', 0):.0f} CPUs and {free.get('GPU', 0):.0f} GPUs free. Ask for fewer "
            "workers (--workers), or see what else holds the cluster"
        )
    try:
        return list(ray.get(answers))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SofdataError):
            raise error.cause from None
        raise


def _start_workers(job: Job) -> list[tuple[Any, list[Any]]]:
    """Start workers and, if asked for, the flow actors of their nodes, and wait for all."""
    import ray

    run = job.config.run
    number = run.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    remote = ray.remote(num_cpus=1, max_restarts=-1)(UnitWorker)
    actors = [remote.remote(job) for _ in range(number)]
    nodes = _wait([actor.node.remote() for actor in actors], "workers")
    flow = {node: _start_flow(job.config, node) for node in sorted(set(nodes))}
    workers = [(actor, flow[node]) for actor, node in zip(actors, nodes, strict=True)]
    _wait([actor.prepare.remote(flow_actors) for actor, flow_actors in workers], "workers")
    return workers


def _start_flow(config: IngestConfig, node: str) -> list[Any]:
    """The flow actors of one node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    on_gpu = config.flow.device.startswith("cuda")
    number = config.run.flow_actors or int(on_gpu)
    remote = ray.remote(
        num_cpus=0,
        num_gpus=int(on_gpu),
        max_restarts=-1,
        max_task_retries=UNIT_TRIES,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )(FlowActor)
    return [remote.remote(config) for _ in range(number)]


def _drive(
    waiting: deque[Unit], workers: list[tuple[Any, list[Any]]], stall_s: float
) -> Iterator[Event]:
    """Keep every worker busy with one unit until all are done.

    Raises `TransientError` that names the units under way if for `stall_s` not one video ends.
    """
    import ray

    free = deque(workers)
    under_way: dict[Any, tuple[Unit, tuple[Any, list[Any]]]] = {}
    tries: dict[str, int] = {}
    progress_s = time.monotonic()
    while waiting or under_way:
        while waiting and free:
            unit, worker = waiting.popleft(), free.popleft()
            actor, flow_actors = worker
            stream = actor.run.options(num_returns="streaming").remote(unit, flow_actors)
            under_way[stream] = (unit, worker)
        ready, _ = ray.wait(list(under_way), num_returns=1, timeout=1.0)
        if ready:
            progress_s = time.monotonic()
        elif time.monotonic() - progress_s > stall_s:
            raise TransientError(_diagnosis([unit for unit, _ in under_way.values()], stall_s))
        for stream in ready:
            unit, worker = under_way[stream]
            try:
                yield ray.get(next(stream))
            except StopIteration:
                del under_way[stream]
                free.append(worker)
            except ray.exceptions.RayError as error:
                del under_way[stream]
                free.append(worker)
                tries[unit.id] = tries.get(unit.id, 0) + 1
                yield UnitRetried(unit.id, _retry_or_raise(error, unit, tries[unit.id]))
                waiting.append(unit)


def _retry_or_raise(error: Exception, unit: Unit, tries: int) -> str:
    """Why a failed unit may be run again; raises if it may not."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, SofdataError) and not isinstance(cause, TransientError):
        raise cause
    if isinstance(cause, OSError):  # not the destination's, which would be a StorageError
        raise StorageError(f"unit {unit.id}: {cause}; does its node have room for temporary files?")
    if cause is not None and not isinstance(cause, SofdataError):
        raise ContractError(f"unit {unit.id} failed: {cause!r}\n{error}") from None
    why = str(cause) if cause else "its worker process died"
    if tries >= UNIT_TRIES:
        videos = ", ".join(video.id for video in unit.videos[:3])
        raise TransientError(f"unit {unit.id} ({videos}, ...) failed {tries} times: {why}")
    time.sleep(0.5 * tries)
    return why


def _diagnosis(units: list[Unit], stall_s: float) -> str:
    """What a run that makes no progress was doing."""
    import ray

    doing = "; ".join(f"unit {unit.id} ({unit.videos[0].id}, ...)" for unit in units)
    free = ray.available_resources()
    return (
        f"no video has ended for {stall_s:.0f} s. Under way: {doing}. Ray has "
        f"{free.get('CPU', 0):.0f} CPUs free on {len(ray.nodes())} nodes. Is a node lost, or a "
        "storage stuck? The same command resumes; run.stall_s sets the patience"
    )
