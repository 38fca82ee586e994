"""What starts an ingest on a cluster: the scripts run, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sofdata.config.recipes import carried
from sofdata.ingest.config import load_config
from tests.helpers import sofdata

JOBS = carried("pipelines") / "cluster"
SBATCH = JOBS / "ingest.sbatch"
BIN = Path(sys.executable).parent

# A SLURM of shell functions: srun and the driver tell of their words, and scontrol of a requeue.
FAKES = {
    "srun": 'echo "srun ${*//$\'\\n\'/ }" >>"$TOLD"; [[ $* == *--head* ]] && exec sleep 60; exit 0',
    "ray": '[[ $1 == health-check ]] && exit 0; echo "ray $*" >>"$TOLD"',
    "scontrol": 'echo "scontrol $*" >>"$TOLD"',
    "sofdata": 'echo "sofdata $*" >>"$TOLD"; trap "exit 130" TERM; touch "$TOLD.started"; '
    'for _ in $(seq ${LASTS:-5}); do sleep 0.1; done; exit "${ENDS:-0}"',
    "hostname": '[[ $1 == -I ]] && echo 10.0.0.1 10.0.0.9 || echo "node1"',
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a batch step on the first of three nodes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in FAKES.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SOFDATA_")}
    return {
        **ours,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "TOLD": str(tmp_path / "told"),
        "SLURM_JOB_ID": "41007",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "16",
    }


def told(slurm: dict[str, str]) -> list[list[str]]:
    """The commands that the script ran."""
    return [line.split() for line in Path(slurm["TOLD"]).read_text().splitlines()]


def run(slurm: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run the batch script to its end."""
    return subprocess.run(
        ["bash", str(SBATCH), *words], env=slurm, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("script", sorted(JOBS.glob("*.s*")), ids=lambda path: path.name)
def test_a_script_passes_shellcheck(script: Path) -> None:
    done = subprocess.run([BIN / "shellcheck", "-s", "bash", script], capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_slurm_starts_a_head_and_the_other_nodes_and_then_the_ingest(
    slurm: dict[str, str],
) -> None:
    done = run(slurm, "s3://lab/films", "s3://lab/dataset", "--recipe", "ego4d")
    assert done.returncode == 0, done.stderr
    steps = [words for words in told(slurm) if words[0] == "srun"]
    head = next(words for words in steps if "--head" in words)
    others = next(words for words in steps if "--head" not in words)
    assert {"--nodelist=node1", "--nodes=1", "--cpus-per-task=16", "--no-kill"} <= set(head)
    assert {"--exclude=node1", "--nodes=2", "--ntasks=2", "--no-kill"} <= set(others)
    address = "--address=10.0.0.1:20070"  # the port follows from the job's number
    assert address in others
    assert [*address.split("=")] == next(w for w in told(slurm) if w[0] == "sofdata")[-2:]


def test_slurm_parts_of_a_heterogeneous_job_all_join(slurm: dict[str, str]) -> None:
    sizes = {"SLURM_HET_SIZE": "2", "SLURM_JOB_NUM_NODES_HET_GROUP_0": "3"}
    done = run({**slurm, **sizes, "SLURM_JOB_NUM_NODES_HET_GROUP_1": "2"}, "source", "dest")
    assert done.returncode == 0, done.stderr
    parts = [w for w in told(slurm) if w[0] == "srun" and "--head" not in w]
    assert len(parts) == 2
    for words, part in zip(sorted(parts), ("0", "1"), strict=True):
        assert {f"--het-group={part}", "--nodes=2"} <= set(words)


def test_slurm_near_the_time_limit_stops_the_ingest_and_queues_the_job_again(
    slurm: dict[str, str],
) -> None:
    process = subprocess.Popen(
        ["bash", str(SBATCH), "source", "dest"],
        env={**slurm, "LASTS": "300"},
        stdout=subprocess.PIPE,
        text=True,
    )
    started = Path(slurm["TOLD"] + ".started")
    while not started.exists():
        assert process.poll() is None
    os.kill(process.pid, 10)  # SIGUSR1
    process.communicate(timeout=120)
    assert ["scontrol", "requeue", "41007"] in told(slurm)


@pytest.mark.parametrize(("ends", "requeues"), [("3", "0"), ("1", "100")])
def test_slurm_passes_on_how_the_ingest_ended_and_does_not_queue_again(
    slurm: dict[str, str], ends: str, requeues: str
) -> None:
    done = run({**slurm, "ENDS": ends, "SLURM_RESTART_COUNT": requeues}, "source", "dest")
    assert done.returncode == int(ends)
    assert not any(words[0] == "scontrol" for words in told(slurm))


@pytest.mark.parametrize("script", ["ingest.sbatch", "ray_job.sh"])
def test_a_job_without_source_and_destination_says_how_to_call_it(
    slurm: dict[str, str], script: str
) -> None:
    done = subprocess.run(
        ["bash", str(JOBS / script), "source"], env=slurm, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "SOURCE DEST" in done.stderr


# KubeRay


@pytest.fixture(scope="module")
def job() -> Any:
    return yaml.safe_load((JOBS / "rayjob.yaml").read_text())


RAY_JOB = {
    "backoffLimit",
    "entrypoint",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
}
RAY_CLUSTER = {
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "headGroupSpec",
    "rayVersion",
    "workerGroupSpecs",
}
WORKER_GROUP = {
    "groupName",
    "maxReplicas",
    "minReplicas",
    "rayStartParams",
    "replicas",
    "template",
}


def with_flow_group() -> Any:
    """The manifest with its GPU group taken out of comments, as its head says."""
    text = (JOBS / "rayjob.yaml").read_text()
    return yaml.safe_load(re.sub(r"^      # (?=(- groupName: flow| ))", "      ", text, flags=re.M))


def pods(job: Any) -> list[Any]:
    """The specs of all pods."""
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_the_manifest_has_the_fields_of_a_rayjob_and_no_others(job: Any) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) == RAY_JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) == RAY_CLUSTER
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == WORKER_GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


@pytest.mark.parametrize("flow", [False, True])
def test_every_pod_is_no_root_and_has_limits_and_volumes(job: Any, flow: bool) -> None:
    found = pods(with_flow_group() if flow else job)
    assert len(found) == (3 if flow else 2)
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["image"] in ("sofdata:cpu", "sofdata:cuda")
    if flow:
        assert found[-1]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_entrypoint_is_a_command_that_sofdata_takes(job: Any, tmp_path: Path) -> None:
    """Its recipe and settings load, and its words parse: only the store is another."""
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["sofdata", "ingest"]
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    recipe = words[words.index("--recipe") + 1]
    assert load_config(recipe, settings).run.start_up_s > 300
    empty = tmp_path / "corpus"
    empty.mkdir()
    done = sofdata("ingest", empty, tmp_path / "dataset", *words[4:], "--dry-run")
    assert done.returncode == 2
    assert "no video" in done.stderr.lower() or "holds no" in done.stderr.lower(), done.stderr


def test_ray_has_the_version_of_the_images(job: Any) -> None:
    pins = (Path(carried("docker")) / "constraints.txt").read_text().split()
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}" in pins


def test_the_runtime_environment_is_one_for_ray() -> None:
    from ray.runtime_env import RuntimeEnv

    values = yaml.safe_load((JOBS / "runtime_env.yaml").read_text())
    assert RuntimeEnv(**values).env_vars()["OMP_NUM_THREADS"] == "1"
    assert not {"sofdata", "pipelines", "schemas"} & set(values["excludes"])
