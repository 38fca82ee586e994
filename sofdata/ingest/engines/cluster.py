"""The Ray engine: one actor a core runs whole units, so that pixels never cross nodes.

With `run.flow_actors`, decode workers hand pairs of frames to flow actors of their own node (one
GPU each when flow runs on CUDA) and decode the next chunk while the flow of the last is computed.
Nodes may join and die during the run: `sofdata.ingest.engines.pool` follows them.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any

from sofdata.errors import ConfigError, Interrupted, TransientError
from sofdata.ingest.engines.batches import batch_s
from sofdata.ingest.engines.pool import Pool, PoolMember
from sofdata.ingest.engines.queue import Queue, queue_of, raise_if_final
from sofdata.ingest.engines.splitting import Splits
from sofdata.ingest.events import Event, Ready, UnitDone, UnitRetried
from sofdata.ingest.job import UnitJob
from sofdata.ingest.units import Unit
from sofdata.system.cores import cores
from sofdata.system.extras import require

OBJECT_STORE_BYTES = 512 << 20
NO_ROOM = (
    "Ray has no room for frames and flow between its worker and its flow actor; free some where "
    "Ray keeps its files (/tmp/ray, or RAY_TMPDIR)"
)
IDLE_S = 0.2
MANY, TURN_S = 100, 0.1


def run_ray(units: Iterable[Unit], job: UnitJob) -> Iterator[Event]:
    """Run units on Ray actors, on this machine or on the cluster at `run.address`.

    A unit whose worker dies, or that fails with a `TransientError`, is run again, three times in
    all; one whose node is lost, ten times (see `Queue.retry`). Any other error ends the run.
    """
    with ray_session(job.config.run.address, job.config.run.workers):
        yield from _drive(queue_of(units), Pool(job), job)


@contextmanager
def ray_session(address: str | None, workers: int | None) -> Iterator[None]:
    """Connect to the Ray at `address`, or start one for so many workers; stop what was started.

    Raises `ConfigError` where Ray is not installed or refuses the token, and `TransientError` where
    it does not start.
    """
    require("ray", "ray", "a run on Ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else workers starve beside other work
    # Else a disk that is 95 % full, however large, is one on which its store may put nothing.
    os.environ.setdefault("RAY_local_fs_capacity_threshold", "1.0")
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
                num_cpus=workers or cores(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
    except SystemExit:  # Ray's own answer to SIGTERM while it starts
        _restore(handlers)  # before the same signal arrives again
        ray.shutdown()
        raise Interrupted from None
    except Exception as error:  # noqa: BLE001 - where its daemons die, Ray raises just that
        ray.shutdown()
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        if "AuthToken" in str(error):
            raise ConfigError(
                f"{where} wants another token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
                "RAY_AUTH_TOKEN_PATH to the one it was started with (docs/cluster.md)"
            ) from None
        raise TransientError(
            f"could not start {where}: {error}; '--engine processes' runs without Ray, and "
            "RAY_TMPDIR sets where it keeps its files (a short path)"
        ) from None
    try:
        _restore(handlers)
        with redirect_stdout(sys.stderr):  # what Ray prints must not spoil a result
            yield
    except SystemError as error:  # what Ray makes of an exception that a signal's handler raises
        if isinstance(error.__cause__, Interrupted):
            raise Interrupted from None
        raise
    finally:
        ray.shutdown()


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    """Put the handlers of signals back in whose place Ray has put its own."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check_address(address: str) -> None:
    """Raise `ConnectionError` at once where nothing answers, which Ray would wait for."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", or a form that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(f"nothing answers there ({error})") from None


def _drive(queue: Queue, pool: Pool, job: UnitJob) -> Iterator[Event]:
    """Keep every worker busy with one unit, or with a part of a long video, until all are done.

    Raises `TransientError` with a diagnosis if for `run.stall_s` not one video ends, or if for
    `run.start_up_s` there is no worker.
    """
    run = job.config.run
    progress_s = worked_s = time.monotonic()
    splits, is_ready = Splits(), False
    while queue:
        queue.wake()
        yield from pool.look(len(queue), splits.wanted())
        while queue.waiting and (taken := pool.take()):
            if not is_ready:
                is_ready = True
                yield Ready()
            _start(queue, *taken, batch_s(pool.size))
        if not queue.waiting:
            _help(splits, pool)
        if not queue.waiting and not queue.later:
            pool.release_idle(splits.wanted())
        now = time.monotonic()
        worked_s = now if queue.under_way or not queue.waiting else worked_s
        if now - worked_s > run.start_up_s:
            raise TransientError(_nobody(pool, run.start_up_s))
        if now - progress_s > run.stall_s:
            raise TransientError(_stalled(queue, pool, run.stall_s))
        for call in _answers([*queue.under_way, *splits.helping, *pool.starting]):
            if call in queue.under_way:
                progress_s = time.monotonic()
                yield from _advance(queue, pool, splits, call)
            elif call in splits.helping:
                _take_help(splits, pool, call)
            else:
                yield from pool.admit(call)


def _answers(calls: list[Any]) -> list[Any]:
    """The calls that have something to say; waits for the first for a second at most.

    To look through a thousand calls takes Ray some 5 ms. So where there are many, all that is said
    within `TURN_S` is taken at once: nothing beside the time that a unit takes.
    """
    import ray

    if not calls:
        time.sleep(IDLE_S)
        return []
    if len(calls) < MANY:
        ready, _ = ray.wait(calls, num_returns=1, timeout=1.0)
    else:
        ready, _ = ray.wait(calls, num_returns=len(calls), timeout=TURN_S)
    answers: list[Any] = ready
    return answers


def _start(queue: Queue, worker: PoolMember, flow_actors: Sequence[Any], every_s: float) -> None:
    unit = queue.waiting.popleft()
    stream = worker.run.remote(unit, flow_actors, every_s)
    queue.under_way[stream] = (unit, worker)


def _help(splits: Splits, pool: Pool) -> None:
    """Let the workers without work help with the long videos of their nodes."""
    for place in splits.wanted():
        while (split := splits.next_at(place)) and (taken := pool.take(place)):
            worker, flow_actors = taken
            splits.begin(worker.actor.help.remote(split.video, flow_actors), split, worker)


def _take_help(splits: Splits, pool: Pool, call: Any) -> None:
    """Take what a worker has come to that has helped with a long video, or has failed to.

    No unit fails for it: the worker that has the video does without.
    """
    import ray

    try:
        more = ray.get(call)
    except ray.exceptions.RayTaskError:  # the worker itself is well
        pool.give_back(splits.end(call, more=False))
    except ray.exceptions.RayError:
        pool.drop(splits.lose(call))
    else:
        pool.give_back(splits.end(call, more))


def _advance(queue: Queue, pool: Pool, splits: Splits, stream: Any) -> Iterator[Event]:
    """Take the next events of a unit, or its end, or its failure."""
    import ray

    unit, worker = queue.under_way[stream]
    try:
        batch = ray.get(next(stream))
    except StopIteration:
        del queue.under_way[stream]
        pool.give_back(worker)
    except ray.exceptions.RayError as error:
        del queue.under_way[stream]
        yield from pool.look(len(queue) + 1, at_once=True)  # has its node died?
        retried = UnitRetried(unit.id, _retry_or_raise(error, unit, queue, pool, worker))
        splits.follow(retried)
        yield retried
    else:
        assert worker.place is not None
        for event in batch:
            if not splits.follow(event, worker.place.node):
                yield _with_node(event, worker.place.address)


def _with_node(event: Event, address: str) -> Event:
    return replace(event, node=address) if isinstance(event, UnitDone) else event


def _retry_or_raise(
    error: Exception, unit: Unit, queue: Queue, pool: Pool, worker: PoolMember
) -> str:
    """Queue a failed unit again, and say why it failed; raises if it may not be run again."""
    import ray

    cause = getattr(error, "cause", None)
    if cause is not None and not isinstance(cause, ray.exceptions.RayError):
        raise_if_final(cause, unit, error)
    if isinstance(error, ray.exceptions.RayTaskError):  # the worker itself is well
        pool.give_back(worker)
    else:
        pool.drop(worker)
    assert worker.place is not None
    lost = isinstance(error, ray.exceptions.ActorUnavailableError) or not pool.is_alive(worker)
    if isinstance(cause, ray.exceptions.RayActorError):
        pool.drop_flow(getattr(cause, "actor_id", None))
        why, lost = "its flow actor died", True
    elif isinstance(cause, ray.exceptions.OutOfDiskError | ray.exceptions.ObjectStoreFullError):
        why = NO_ROOM
    elif lost:
        why = f"its node {worker.place.address} is lost"
    else:
        why = str(cause) if cause else "its worker process died"
    queue.retry(unit, why, lost)
    return why


def _nobody(pool: Pool, start_up_s: float) -> str:
    """What a run without workers says."""
    return (
        f"for {start_up_s:.0f} s Ray had no worker for the units that wait ({pool.describe()}). "
        "Ask for fewer (--workers), see what else holds the cluster or whether its nodes are "
        "gone, or wait longer (run.start_up_s); the same command resumes"
    )


def _stalled(queue: Queue, pool: Pool, stall_s: float) -> str:
    """What a run that makes no progress was doing."""
    return (
        f"no video has ended for {stall_s:.0f} s. Under way: {queue.describe()}. Ray: "
        f"{pool.describe()}. Is a node lost, or a storage stuck? The same command resumes; "
        "run.stall_s sets the patience"
    )
