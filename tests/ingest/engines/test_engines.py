"""All engines give the same bytes, whatever interrupts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sofdata.ingest.verify import verify
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from tests.helpers import hashes, sofdata

RAY = ("--engine", "ray")


def start(corpus: Path, dest: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start an ingest that can be interrupted, in a process group of its own."""
    command = [sys.executable, "-m", "sofdata", "ingest", str(corpus), str(dest), *arguments]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, start_new_session=True)


def wait_for_records(dest: Path, number: int) -> None:
    """Wait until some units are committed."""
    deadline = time.monotonic() + 120
    while len(list((dest / "ledger").glob("*.json"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_bytes_of_the_inline_engine(
    corpus: Path, dataset: Path, tmp_path: Path, workers: int
) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d", *RAY, "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_auto_gives_the_bytes_of_the_inline_engine_and_says_what_it_chose(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)
    (why,) = [line for line in done.stderr.splitlines() if line.startswith("with processes")]
    (run,) = (tmp_path / "d" / "runs").iterdir()
    log = json.loads(run.read_text())
    assert (log["run"]["engine"], log["why_engine"]) == ("processes", why)


def test_flow_actors_give_the_same_bytes(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    """The way that GPUs are used, on the CPU: decoding here, flow in an actor of the node."""
    done = sofdata("ingest", corpus, tmp_path / "d", "--workers", 1, "--set", "run.flow_actors=1")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


MUCH_FLOW = (
    "--set",
    "flow.size=448",
    "--set",
    "flow.step_s=0.08",
    "--set",
    "units.max_videos=1",
)


def with_a_small_store(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ingest two clips on Ray with a flow actor: more under way than its smallest store holds."""
    (folder / "corpus").mkdir()
    for index in range(2):
        write_clip(folder / "corpus" / f"{index}.webm", index, seconds=3.0)
    small = folder / "small_store.py"
    small.write_text(
        "import sys\n"
        "from ray._private.ray_constants import OBJECT_STORE_MINIMUM_MEMORY_BYTES\n"
        "import sofdata.cli.app, sofdata.ingest.engines.cluster\n"
        "sofdata.ingest.engines.cluster.OBJECT_STORE_BYTES = OBJECT_STORE_MINIMUM_MEMORY_BYTES\n"
        "sys.exit(sofdata.cli.app.main())\n"
    )
    command = ("ingest", str(folder / "corpus"), str(folder / "d"), *MUCH_FLOW)
    return subprocess.run(
        [sys.executable, small, *command, "--workers", "2", "--set", "run.flow_actors=1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_an_object_store_that_fills_costs_nothing(tmp_path: Path) -> None:
    done = with_a_small_store(tmp_path)
    assert done.returncode == 0, done.stderr
    inline = sofdata(
        "ingest", tmp_path / "corpus", tmp_path / "e", *MUCH_FLOW, "--engine", "inline"
    )
    assert inline.returncode == 0
    assert hashes(tmp_path / "d") == hashes(tmp_path / "e")


def test_a_disk_on_which_ray_may_put_nothing_is_named_and_no_actor_is_blamed(
    tmp_path: Path,
) -> None:
    done = with_a_small_store(tmp_path, RAY_local_fs_capacity_threshold="0.000001")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].endswith(
        "where Ray keeps its files (/tmp/ray, or RAY_TMPDIR)"
    )
    assert "failed 3 times: Ray has no room" in done.stderr
    assert "flow actor died" not in done.stderr


@pytest.mark.parametrize("engine", [("--engine", "inline"), RAY])
def test_a_killed_ingest_is_resumed_to_the_same_bytes(
    corpus: Path, dataset: Path, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    process = start(corpus, tmp_path / "d", *engine)
    wait_for_records(tmp_path / "d", 2)
    process.kill()
    process.wait()
    assert not verify(Tree(str(tmp_path / "d"))).whole
    done = sofdata("ingest", corpus, tmp_path / "d", *engine)
    assert done.returncode == 0, done.stderr
    assert "committed before" in done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


@pytest.mark.parametrize("engine", [RAY, ()], ids=["ray", "auto"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_stops_cleanly_and_says_how_to_resume(
    corpus: Path, dataset: Path, tmp_path: Path, sent: signal.Signals, engine: tuple[str, ...]
) -> None:
    process = start(corpus, tmp_path / "d", *engine, "--workers", "2")
    wait_for_records(tmp_path / "d", 1)
    os.killpg(process.pid, sent)  # as a terminal does for Ctrl-C
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rerun the command to continue" in told
    assert "Traceback" not in told
    done = sofdata("ingest", corpus, tmp_path / "d", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)
