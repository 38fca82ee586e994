"""The actors of a Ray run: as many as the cluster has room for, while nodes come and go.

Ray places them. A worker that dies is not restarted in its place but dropped, and the next look at
the cluster asks for another, wherever there is room then.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sofdata.errors import SofdataError, TransientError
from sofdata.ingest.engines.actors import FlowActor, Place, UnitWorker
from sofdata.ingest.engines.nodes import (
    Node,
    demand_of,
    helpers_to_start,
    read_nodes,
    workers_to_start,
)
from sofdata.ingest.events import Event, NodeJoined, NodeLost
from sofdata.ingest.job import UnitJob

LOOK_EVERY_S = 2.0
NOBODY: Mapping[str, int] = MappingProxyType({})
TRIES = 3
ALL = ""  # stands for the node of flow actors that serve all nodes


@dataclass(eq=False, slots=True)
class PoolMember:
    """An actor of ours and where it runs.

    serves: of a flow actor, the id of the node whose workers use it, or `ALL`; None for a worker.
    node: of a worker that is to start on a certain one, its id.
    place: None until it has started.
    """

    actor: Any
    serves: str | None = None
    place: Place | None = None
    node: str | None = None
    _run: Any = None

    @property
    def run(self) -> Any:
        """The call of a worker that runs a unit, made once: options take Ray longer than a call."""
        if self._run is None:
            self._run = self.actor.run.options(num_returns="streaming")
        return self._run

    @property
    def what(self) -> str:
        return "workers" if self.serves is None else "flow actors"


class Pool:
    """The workers and flow actors of one run.

    To take a worker or to give one back takes as long with a thousand as with one; a look at the
    cluster, every few seconds, goes through all of them.
    """

    def __init__(self, job: UnitJob) -> None:
        self._job = job
        self._demand = demand_of(job.config.run, job.config.flow)
        self._nodes: dict[str, Node] = {}
        self._starting: dict[Any, PoolMember] = {}
        self._free: deque[PoolMember] = deque()
        self._busy: set[PoolMember] = set()
        self._flow: dict[str, list[PoolMember]] = {}  # by what they serve
        self._joined: set[str] = set()  # the nodes that have joined
        self._failed_starts = 0
        self._most = 1
        self._looked_s = float("-inf")

    @property
    def starting(self) -> list[Any]:
        """The start-up calls under way, to be waited for; `admit` takes each that has ended."""
        return list(self._starting)

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._free) + len(self._busy)

    def look(
        self, units: int, helpers: Mapping[str, int] = NOBODY, at_once: bool = False
    ) -> Iterator[Event]:
        """Look at the cluster, every few seconds or at once, and ask it for what is missing.

        units: that are not done yet. helpers: how many workers could help on some nodes, by id.
        Raises `TransientError` where this machine is the cluster, and Ray has died on it: unlike a
        cluster of others, which may come back, there is nothing to wait for.
        """
        if not at_once and time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        yield from self._follow_nodes()
        self._ask_for_workers(units)
        for node, most in helpers.items():
            self._ask_for_helpers(node, most)
        self._ask_for_flow()
        self._looked_s = time.monotonic()

    def admit(self, started: Any) -> Iterator[Event]:
        """Take up an actor whose start-up call has ended.

        Raises the error of one that cannot work as things are, which no other could either.
        """
        import ray

        member = self._starting.pop(started)
        try:
            member.place = ray.get(started)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SofdataError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:  # it died, perhaps with its node
            self._count_failed_start(error)
            return
        self._failed_starts = 0
        if member.serves is not None:
            self._flow.setdefault(member.serves, []).append(member)
            return
        self._free.append(member)
        if member.place.node not in self._joined:
            self._joined.add(member.place.node)
            if self._job.config.run.address:
                yield NodeJoined(member.place.address)
            self._looked_s = float("-inf")  # this node may need flow actors

    def take(self, node: str | None = None) -> tuple[PoolMember, list[Any]] | None:
        """A worker without work, and the flow actors that it is to use; None if there is none.

        node: id of the one that it must be on.
        """
        for _ in range(len(self._free)):
            worker = self._free.popleft()
            if node is not None and not _is_on(worker, node):
                self._free.append(worker)
                continue
            flow = self._flow.get(self._side(worker), []) if self._demand.apart else []
            if flow or not self._demand.apart:
                self._busy.add(worker)
                return worker, [member.actor for member in flow]
            self._free.append(worker)  # no flow actor of its node is up yet
        return None

    def give_back(self, worker: PoolMember) -> None:
        """A worker has done what it was taken for."""
        self._busy.discard(worker)
        self._free.append(worker)

    def drop(self, worker: PoolMember) -> None:
        """A worker is dead or out of reach."""
        import ray

        self._busy.discard(worker)
        self._looked_s = float("-inf")  # there may be room for another
        ray.kill(worker.actor)  # if it is only out of reach, it may still run

    def drop_flow(self, actor_id: str | None) -> None:
        """A flow actor is dead."""
        self._keep_flow(lambda member: member.actor._actor_id.hex() != actor_id)

    def release_idle(self, spared: Collection[str] = ()) -> None:
        """End the workers without work, so that a cluster can let their nodes go.

        spared: ids of nodes whose workers may soon have some.
        """
        import ray

        if not self._job.config.run.address:
            return
        for _ in range(len(self._free)):
            worker = self._free.popleft()
            if any(_is_on(worker, node) for node in spared):
                self._free.append(worker)
            else:
                ray.kill(worker.actor)

    def is_alive(self, worker: PoolMember) -> bool:
        """Whether a worker's node was there at the last look."""
        return worker.place is not None and worker.place.node in self._nodes

    def describe(self) -> str:
        """The cluster in words, for a diagnosis."""
        import ray

        free = ray.available_resources()
        flow = self._demand.flow
        parts = [f"{len(self._nodes)} nodes", f"{free.get('CPU', 0):.0f} CPUs free"]
        parts += [f"{free.get(flow, 0):.2f} {flow} free"] if flow else []
        waiting = Counter(member.what for member in self._starting.values())
        parts += [f"{number} {what} starting" for what, number in sorted(waiting.items())]
        return ", ".join(parts)

    def _side(self, worker: PoolMember) -> str:
        """What the flow actors of a worker serve."""
        assert worker.place is not None
        return worker.place.node if self._demand.own else ALL

    def _follow_nodes(self) -> Iterator[Event]:
        import ray

        alive = read_nodes(ray.nodes())
        lost = [node for id_, node in self._nodes.items() if id_ not in alive]
        self._nodes = alive
        if lost and not alive and not self._job.config.run.address:
            raise TransientError(
                "Ray, which was started for this run, has died on this machine; rerun the "
                "command to continue from what is committed"
            )
        for node in lost:
            if node.id in self._joined:
                self._joined.discard(node.id)
                yield NodeLost(node.address)
        self._free = deque(worker for worker in self._free if self.is_alive(worker))
        self._keep_flow(self.is_alive)

    def _keep_flow(self, is_kept: Callable[[PoolMember], bool]) -> None:
        """Forget the flow actors that are not to be kept."""
        kept = {side: list(filter(is_kept, members)) for side, members in self._flow.items()}
        self._flow = {side: members for side, members in kept.items() if members}

    def _ask_for_workers(self, units: int) -> None:
        import ray

        eligible = self._demand.eligible(self._nodes.values())
        unplaced = sum(member.serves is None for member in self._starting.values())
        running = len(self._free) + len(self._busy) + unplaced
        missing = workers_to_start(
            self._job.config.run,
            cores=sum(node.whole("CPU") for node in eligible),
            free_cores=int(ray.available_resources().get("CPU", 0)),
            running=running,
            unplaced=unplaced,
            units=units,
        )
        self._most = max(self._most, running + missing)
        if not missing:
            return
        remote = ray.remote(**self._demand.worker_options())(UnitWorker)
        for _ in range(missing):
            actor = remote.options(scheduling_strategy="SPREAD").remote(self._job)
            self._starting[actor.start.remote()] = PoolMember(actor)

    def _ask_for_helpers(self, node: str, most: int) -> None:
        """Fill a node with workers, `most` of them, since they could help with a long video there.

        No cluster grows for them: those that find no room now are not asked for.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if node not in self._nodes:
            return
        starting = [member for member in self._starting.values() if member.serves is None]
        members = [*self._free, *self._busy, *starting]
        there = sum(_is_on(member, node) for member in members)
        unplaced = sum(member.node is None for member in starting)
        missing = helpers_to_start(
            self._job.config.run,
            cores=self._nodes[node].whole("CPU"),
            free_cores=int(ray.available_resources().get("CPU", 0)) - len(starting),
            running=len(members),
            there=there + unplaced,
            most=most,
        )
        self._most = max(self._most, len(members) + missing)
        remote = ray.remote(**self._demand.worker_options())(UnitWorker)
        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        for _ in range(missing):
            actor = remote.options(scheduling_strategy=strategy).remote(self._job)
            self._starting[actor.start.remote()] = PoolMember(actor, node=node)

    def _ask_for_flow(self) -> None:
        there = Counter(member.serves for member in self._starting.values())
        there.update({side: len(members) for side, members in self._flow.items()})
        if not self._demand.apart:
            return
        if not self._demand.own:
            wanted = {ALL: self._demand.flow_in_all(self._nodes.values())}
        else:
            nodes = [self._nodes[id_] for id_ in sorted(self._joined) if id_ in self._nodes]
            wanted = {node.id: self._demand.flow_on(node) for node in nodes}
        for side, number in wanted.items():
            for _ in range(number - there[side]):
                self._start_flow(side)

    def _start_flow(self, side: str) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where: Any = "SPREAD"
        lives: dict[str, Any] = {}
        if side != ALL:  # it shares its workers' fate; the others must not be waited for
            where = NodeAffinitySchedulingStrategy(side, soft=False)
            lives = {"max_restarts": -1, "max_task_retries": TRIES}
        remote = ray.remote(**self._demand.flow_options(), **lives)(FlowActor)
        actor = remote.options(scheduling_strategy=where).remote(
            self._job.config, self._job.libraries
        )
        self._starting[actor.start.remote()] = PoolMember(actor, side)

    def _count_failed_start(self, error: Exception) -> None:
        """Raise `TransientError` where actors keep dying before they have started."""
        self._failed_starts += 1
        if self._failed_starts > TRIES * self._most:
            raise TransientError(
                f"{self._failed_starts} actors in a row died while they started: {error}"
            ) from None


def _is_on(worker: PoolMember, node: str) -> bool:
    """Whether a worker runs on a node, or is about to."""
    return node == (worker.place.node if worker.place else worker.node)
