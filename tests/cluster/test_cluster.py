"""A real Ray cluster of several nodes: what is made there is what one process makes.

Each node is a machine of its own as far as this one allows (`tests.cluster.network`); source and
destination lie in a real object store that all of them reach.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sofdata.config.recipes import carried
from sofdata.scenes import write_ssv2_corpus
from tests.cluster import gate, objects
from tests.cluster.network import make_network, wait_for
from tests.cluster.nodes import HEAD, Cluster
from tests.helpers import hashes, ingest

VIDEOS = 14
ALONE = "units.max_videos=1"  # so that units are counted as videos are
STEADY, VICTIM, LATE, FLOW = 2, 3, 4, 5
GATES = {STEADY: 4, VICTIM: 3}  # the video in whose unit a node is held

pytestmark = pytest.mark.timeout(900)  # three nodes start at once, perhaps beside other tests


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_ssv2_corpus(folder, videos=VIDEOS, seconds=2.5)
    return folder


@pytest.fixture(scope="module")
def expected(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of what one process makes of the films, from disk to disk."""
    folder = tmp_path_factory.mktemp("inline") / "dataset"
    ingest(films, folder, ALONE)
    return hashes(folder)


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def cluster(
    films: Path, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A head that runs nothing, and two nodes that are each held in the middle of a unit."""
    folder = tmp_path_factory.mktemp("cluster")
    network = make_network()
    try:
        store = objects.start_server(network, folder / "store")
        cluster = Cluster(network, folder, store)
        cluster.start(HEAD, cpus=0)
        objects.call(network, cluster.environment, "upload", films, "s3://lab/films")
        wait_for("the head", cluster.is_up)
        for machine, nth in GATES.items():
            cluster.start(machine, gate=gate.variable(gates, str(machine), nth))
        yield cluster
    finally:
        network.close()


def made(cluster: Cluster, name: str) -> dict[str, str]:
    """Hashes of a dataset in the store."""
    found = objects.call(cluster.network, cluster.environment, "hashes", f"s3://lab/{name}")
    assert isinstance(found, dict)
    return found


def arguments(cluster: Cluster, name: str, *more: str) -> list[str]:
    """An ingest of the films on the cluster."""
    words = ["ingest", "s3://lab/films", f"s3://lab/{name}", "--json"]
    return [*words, "--address", cluster.address, "--set", ALONE, *more]


def test_a_node_that_dies_in_the_middle_of_a_unit_costs_nothing_and_one_that_joins_helps(
    cluster: Cluster,
    gates: Path,
    expected: dict[str, str],
    tmp_path: Path,
    record_property: Any,
) -> None:
    record_property("network", cluster.network.kind)
    log = tmp_path / "log"
    steady, victim = (cluster.network.address(machine) for machine in (STEADY, VICTIM))
    driver = cluster.launch(*arguments(cluster, "died"), log=log)
    try:
        for machine in GATES:
            wait_for(f"node {machine}", (gates / f"{machine}.held").exists)
        assert driver.poll() is None
        cluster.network.kill(VICTIM)
        late = cluster.start(LATE)
        wait_for("the end of the node", lambda: f"node {victim} is lost" in log.read_text())
        wait_for("the new node", lambda: f"node {late} takes part" in log.read_text())
    finally:
        for machine in GATES:  # whatever happened: the tests that follow use these nodes
            (gates / f"{machine}.go").touch()

    printed, _ = driver.communicate(timeout=120)
    told = log.read_text()
    assert driver.returncode == 0, told
    assert f"is retried: its node {victim} is lost" in told
    run = json.loads(printed)["run"]
    assert run["lost_nodes"] == [victim]
    assert run["nodes"][victim] == GATES[VICTIM] - 1
    assert run["nodes"][steady] >= GATES[STEADY]
    assert run["nodes"][late] >= 1
    assert sum(run["nodes"].values()) == run["units_run"] == VIDEOS
    assert made(cluster, "died") == expected
    verdict = cluster.sofdata("verify", "s3://lab/died")
    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize("nodes", ["own", "any"])
def test_flow_on_marked_nodes_gives_the_same_bytes(
    cluster: Cluster, expected: dict[str, str], nodes: str
) -> None:
    """As with GPUs: some nodes estimate flow, and the others decode for them or do nothing."""
    flow = cluster.network.address(FLOW)
    if nodes == "own":
        cluster.start(FLOW, resources={"flow": 1})
    settings = ("--set", "run.flow_resource=flow", "--set", f"run.flow_nodes={nodes}")
    done = cluster.sofdata(*arguments(cluster, nodes, *settings))
    assert done.returncode == 0, done.stderr
    units = json.loads(done.stdout)["run"]["nodes"]
    assert flow in units
    assert len(units) == (1 if nodes == "own" else 3)
    assert made(cluster, nodes) == expected


def test_an_ingest_submitted_as_a_ray_job_gives_the_same_bytes(
    cluster: Cluster, expected: dict[str, str]
) -> None:
    script = carried("pipelines") / "cluster" / "ray_job.sh"
    done = cluster.run(
        *[script, "s3://lab/films", "s3://lab/job", "--workers", "2", "--set", ALONE],
        RAY_API_SERVER_ADDRESS=cluster.dashboard,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"videos {VIDEOS}/{VIDEOS}" in done.stdout
    assert made(cluster, "job") == expected


def test_a_node_that_does_not_see_a_local_folder_is_named(cluster: Cluster) -> None:
    if cluster.network.kind != "network namespaces":
        pytest.skip("these nodes share their disks")
    mine = cluster.network.private / "mine"  # the head's alone
    subprocess.run(
        cluster.network.inside(HEAD, ["mkdir", str(mine)]), check=True, capture_output=True
    )
    done = cluster.sofdata(
        "ingest", "s3://lab/films", mine / "dataset", "--address", cluster.address
    )
    assert done.returncode == 2
    assert f"has no {mine}/dataset/dataset.json: a local path must lie on" in done.stderr


def test_a_run_that_gets_no_worker_stops_and_says_so(cluster: Cluster) -> None:
    settings = ("--set", "run.flow_resource=nowhere", "--set", "run.start_up_s=4")
    done = cluster.sofdata(*arguments(cluster, "nobody", *settings))
    assert done.returncode == 3
    assert "for 4 s Ray had no worker for the units that wait" in done.stderr
    assert "Traceback" not in done.stderr
