"""What a run asks of a cluster, and how many workers it starts."""

from __future__ import annotations

from typing import Any

import pytest

from sofdata.flow.config import FlowConfig
from sofdata.ingest.config import RunConfig
from sofdata.ingest.engines.nodes import Demand, Node, demand_of, read_nodes, workers_to_start

CPU = FlowConfig(estimator="dis", device="cpu")
CUDA = FlowConfig(estimator="ptlflow:raft", device="cuda")
PLAIN = Node("a", "10.0.0.1", {"CPU": 8.0})
GPUS = Node("b", "10.0.0.2", {"CPU": 16.0, "GPU": 4.0})


def demand(flow: FlowConfig = CPU, **run: Any) -> Demand:
    return demand_of(RunConfig(**run), flow)


def test_only_nodes_that_are_alive_are_read() -> None:
    rows = [
        {"NodeID": "a", "NodeManagerAddress": "10.0.0.1", "Alive": True, "Resources": {"CPU": 8}},
        {"NodeID": "c", "NodeManagerAddress": "10.0.0.3", "Alive": False, "Resources": {}},
    ]
    assert {id_: node.whole("CPU") for id_, node in read_nodes(rows).items()} == {"a": 8}


def test_on_a_cpu_workers_ask_for_a_core_and_run_anywhere() -> None:
    asked = demand()
    assert asked.worker_options() == {"num_cpus": 1}
    assert asked.eligible([PLAIN, GPUS]) == [PLAIN, GPUS]
    assert asked.flow_on(GPUS) == 0


def test_on_cuda_workers_are_placed_beside_flow_actors_one_for_each_gpu() -> None:
    asked = demand(CUDA)
    assert asked.worker_options() == {"num_cpus": 1, "num_gpus": 0.001}
    assert asked.flow_options() == {"num_cpus": 0, "num_gpus": 0.75}
    assert asked.eligible([PLAIN, GPUS]) == [GPUS]
    assert (asked.flow_on(GPUS), asked.flow_on(PLAIN)) == (4, 0)
    assert demand(CUDA, flow_actors=2).flow_on(GPUS) == 2
    assert demand(CUDA, flow_actors=9).flow_on(GPUS) == 4


def test_with_flow_from_any_node_all_nodes_decode() -> None:
    asked = demand(CUDA, flow_nodes="any")
    assert asked.worker_options() == {"num_cpus": 1}
    assert asked.eligible([PLAIN, GPUS]) == [PLAIN, GPUS]
    assert asked.flow_in_all([PLAIN, GPUS]) == 4
    assert asked.flow_in_all([PLAIN]) == 1  # the demand that makes a cluster add a node


def test_a_resource_of_ones_own_marks_flow_nodes() -> None:
    asked = demand(flow_resource="flow")
    assert asked.flow_options() == {"num_cpus": 0, "resources": {"flow": 0.75}}
    assert asked.apart


@pytest.mark.parametrize(
    ("workers", "running", "unplaced", "free", "units", "expected"),
    [
        (None, 0, 0, 24, 100, 24),  # one for each core
        (None, 0, 0, 10, 100, 10),  # others hold the rest
        (None, 10, 10, 24, 100, 14),  # those that are asked for already will take their cores
        (None, 24, 0, 0, 100, 0),
        (None, 0, 0, 24, 3, 3),  # no more than there is work
        (64, 24, 0, 0, 100, 40),  # a demand that makes a cluster grow
        (64, 24, 0, 0, 30, 6),
        (4, 6, 0, 24, 100, 0),
    ],
)
def test_as_many_workers_are_started_as_are_missing(
    workers: int | None, running: int, unplaced: int, free: int, units: int, expected: int
) -> None:
    run = RunConfig(workers=workers)
    missing = workers_to_start(
        run, cores=24, free_cores=free, running=running, unplaced=unplaced, units=units
    )
    assert missing == expected
