"""What a Ray cluster offers at one moment, and how many actors it has room for: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.flow.config import FlowConfig
from sofdata.ingest.config import RunConfig

# A worker that must lie beside its flow actors takes this much of what marks their nodes, so that
# Ray puts it there, and a cluster that scales adds such a node for it. A flow actor takes so much
# that no second one fits beside it.
WORKER_SHARE, FLOW_SHARE = 0.001, 0.75
GPU = "GPU"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive, and what it has in all."""

    id: str
    address: str
    resources: Mapping[str, float]

    def whole(self, resource: str) -> int:
        """How many whole ones it has of a resource."""
        return int(self.resources.get(resource, 0))


@dataclass(frozen=True, slots=True)
class Demand:
    """What the actors of a run ask of Ray.

    flow: the resource that marks nodes with flow actors; None if any node will do.
    flow_actors: for each node, or in all where workers do not use those of their own node; 0 for
        one for each that there is of `flow`.
    apart: whether workers estimate no flow themselves.
    own: whether workers use the flow actors of their own node only.
    """

    flow: str | None
    flow_actors: int
    apart: bool
    own: bool

    def worker_options(self) -> dict[str, Any]:
        """Options of a worker for Ray."""
        beside = self.flow if self.own else None
        return {"num_cpus": 1, **share_of(beside, WORKER_SHARE)}

    def flow_options(self) -> dict[str, Any]:
        """Options of a flow actor for Ray."""
        return {"num_cpus": 0, **share_of(self.flow, FLOW_SHARE)}

    def eligible(self, nodes: Iterable[Node]) -> list[Node]:
        """The nodes on which workers may run."""
        if not (self.own and self.flow):
            return list(nodes)
        return [node for node in nodes if node.whole(self.flow)]

    def flow_on(self, node: Node) -> int:
        """Flow actors that belong on a node, where workers use those of their own."""
        if not self.apart:
            return 0
        if self.flow is None:
            return self.flow_actors
        return min(self.flow_actors or node.whole(self.flow), node.whole(self.flow))

    def flow_in_all(self, nodes: Iterable[Node]) -> int:
        """Flow actors of a cluster, where all workers use all; at least one, as a demand on Ray."""
        there = sum(node.whole(self.flow) for node in nodes) if self.flow else 0
        return max(self.flow_actors or there, 1)


def demand_of(run: RunConfig, flow: FlowConfig) -> Demand:
    """What a run asks of Ray; `flow` is resolved."""
    resource = run.flow_resource or (GPU if flow.device == "cuda" else None)
    return Demand(
        flow=resource,
        flow_actors=run.flow_actors,
        apart=run.flow_is_elsewhere(flow),
        own=run.flow_nodes == "own",
    )


def share_of(resource: str | None, share: float) -> dict[str, Any]:
    """Ray's option for a share of a resource."""
    if resource is None:
        return {}
    return {"num_gpus": share} if resource == GPU else {"resources": {resource: share}}


def read_nodes(rows: Iterable[Mapping[str, Any]]) -> dict[str, Node]:
    """The nodes alive, by id, of what `ray.nodes()` returns."""
    return {
        row["NodeID"]: Node(row["NodeID"], row["NodeManagerAddress"], row["Resources"])
        for row in rows
        if row["Alive"]
    }


def workers_to_start(
    run: RunConfig, *, cores: int, free_cores: int, running: int, unplaced: int, units: int
) -> int:
    """How many more workers to ask Ray for.

    cores, free_cores: of the nodes on which workers may run, and of those what Ray has not given
        away. running: workers there are, `unplaced` of which wait for room or start up.
    units: that are left to do.

    With `run.workers`, as many as are missing, whether there is room or not: they are the demand by
    which a cluster scales. Otherwise as many as there is room for.
    """
    if run.workers is not None:
        return max(0, min(run.workers, units) - running)
    return max(0, min(units - running, cores - running, free_cores - unplaced))


def helpers_to_start(
    run: RunConfig, *, cores: int, free_cores: int, running: int, there: int, most: int
) -> int:
    """How many workers to start on a node whose long videos `most` could work on.

    cores: of the node. free_cores: of the cluster, that nothing has or is about to take.
    running: workers there are in all, `there` of them on this node, or perhaps so.
    """
    allowed = cores if run.workers is None else run.workers - running
    return max(0, min(most - there, cores - there, free_cores, allowed))
