"""The engine without Ray: the same bytes, whatever dies; and what works where Ray is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from sofdata.errors import Interrupted
from sofdata.ingest.config import load_config
from sofdata.ingest.engines.crew import Crew
from sofdata.ingest.job import UnitJob
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from tests.faults.inject import Fault, children, write_spec
from tests.helpers import hashes, ingest, sofdata
from tests.ingest.engines.test_engines import start, wait_for_records

PROCESSES = ("--engine", "processes")
END_S = 60.0  # for processes to be gone; it takes a fraction of a second


def workers_of(driver: int) -> list[int]:
    """The process ids of the workers of a command."""
    return [pid for pid in children(driver) if "sofdata.ingest.engines.worker" in command_of(pid)]


def command_of(pid: int) -> str:
    """The command line of a process, "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + END_S
    while any(map(command_of, pids)):
        assert time.monotonic() < deadline, [command_of(pid) for pid in pids]
        time.sleep(0.02)


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of this test do not find the optional packages, as where none is installed."""
    folder = tmp_path / "hides"
    folder.mkdir()
    hidden = ("ray", "decord", "s3fs", "botocore", "aiobotocore", "gcsfs")
    lines = ["import sys", f"sys.modules.update(dict.fromkeys({hidden}))"]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    paths = [str(folder), os.getcwd(), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_bytes_of_the_inline_engine(
    corpus: Path, dataset: Path, tmp_path: Path, workers: int
) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d", *PROCESSES, "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_short_windows_at_the_end_are_the_same_from_processes_and_in_chunks_of_any_size(
    corpus: Path, tmp_path: Path
) -> None:
    mask = "windows.tail=mask"
    ingest(corpus, tmp_path / "inline", mask)
    ingest(corpus, tmp_path / "processes", mask, "run.engine=processes", "run.workers=2")
    whole = hashes(tmp_path / "inline")
    assert hashes(tmp_path / "processes") == whole
    assert verify(Tree(str(tmp_path / "processes"))).findings == ()
    ingest(corpus, tmp_path / "chunks", mask, "video.chunk_frames=5")
    kept = [pq.read_table(tmp_path / name / "index.parquet") for name in ("inline", "chunks")]
    columns = ["key", "start_s", "end_s", "steps", "p99_px"]
    assert kept[0].select(columns).sort_by("key") == kept[1].select(columns).sort_by("key")
    assert set(kept[0]["steps"].to_pylist()) > {1, 8}


def test_it_runs_in_a_program_that_guards_nothing(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    """No `if __name__ == "__main__"` is needed, as workers do not import the program again."""
    ingest(corpus, tmp_path / "d", "run.engine=processes", "run.workers=1")
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_a_hung_decoder_is_killed_and_costs_one_video(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        write_clip(source / f"{number}.webm", number, seconds=2.0)
    faults = write_spec(tmp_path / "faults", [Fault("decode 1.webm", "hang", times=0)])
    options = ("--set", "run.limits.floor_s=2", "--set", "run.allow_set_aside=1", "--json")
    done = sofdata(
        "ingest", source, tmp_path / "d", *PROCESSES, *options,
        env={**os.environ, "SOFDATA_FAULTS": faults},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "d" / "dataset.json").read_text())["counts"]
    assert (counts["done"], counts["quarantined"]) == (1, 1)


def test_a_killed_worker_is_replaced_and_its_unit_run_again(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    process = start(corpus, tmp_path / "d", *PROCESSES, "--workers", "2")
    wait_for_records(tmp_path / "d", 1)
    for pid in workers_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert hashes(tmp_path / "d") == hashes(dataset)


@pytest.mark.parametrize("times", [2, 0])
def test_a_unit_is_tried_three_times(
    corpus: Path, dataset: Path, tmp_path: Path, times: int
) -> None:
    """times: how often a worker dies of it; 0 for always."""
    faults = write_spec(tmp_path / "faults", [Fault("unit: video ended", "kill", times=times)])
    command = ("ingest", corpus, tmp_path / "d", *PROCESSES, "--workers", 1)
    done = sofdata(*command, env={**os.environ, "SOFDATA_FAULTS": faults})
    if times:
        assert done.returncode == 0, done.stderr
        assert hashes(tmp_path / "d") == hashes(dataset)
    else:
        assert done.returncode == 3, done.stderr
        assert "failed 3 times: its worker process died (SIGKILL)" in done.stderr
        assert "Traceback" not in done.stderr


def test_workers_that_die_as_they_start_end_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.ingest.engines.crew.PROGRAM", "raise SystemExit('out of order')")
    config = load_config(None, ["run.engine=processes", "run.workers=1"])
    prepared = prepare(Tree(str(corpus)), Tree(str(tmp_path / "d")), config, "auto")
    with pytest.raises(Exception, match=r"4 workers in a row died .*exit code 1.*out of order"):
        execute(prepared, lambda event: None)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_at_once_and_leaves_nothing(
    corpus: Path, dataset: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    process = start(corpus, tmp_path / "d", *PROCESSES, "--workers", "2")
    wait_for_records(tmp_path / "d", 1)
    workers = workers_of(process.pid)
    decoders = [child for pid in workers for child in children(pid)]
    assert workers
    os.killpg(process.pid, sent)  # as a terminal does for Ctrl-C
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rerun the command to continue" in said
    assert "Traceback" not in said
    wait_until_gone([*workers, *decoders])
    assert not list((tmp_path / "d").glob(".scratch*/*"))
    done = sofdata("ingest", corpus, tmp_path / "d", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_a_run_that_stops_removes_what_killed_workers_had_under_way(
    corpus: Path, tmp_path: Path
) -> None:
    config = load_config(None, ["run.engine=processes", "run.workers=1"])
    prepared = prepare(Tree(str(corpus)), Tree(str(tmp_path / "d")), config, "auto")

    def stop(_: object) -> None:
        (tmp_path / "d" / ".scratch" / "unit-of-one-that-was-killed").mkdir(parents=True)
        raise Interrupted

    with pytest.raises(Interrupted):
        execute(prepared, stop)
    assert not (tmp_path / "d" / ".scratch").exists()


def test_an_interruption_while_a_worker_starts_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start_process = subprocess.Popen

    def interrupted(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(start_process(*args, **more))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    crew = Crew(cast("UnitJob", SimpleNamespace(config=load_config(None, ["run.workers=2"]))))
    with pytest.raises(KeyboardInterrupt):
        crew.fill(2)
    crew.end()
    assert len(started) == 1
    assert started[0].returncode is not None


def test_workers_end_with_a_killed_driver(corpus: Path, dataset: Path, tmp_path: Path) -> None:
    process = start(corpus, tmp_path / "d", *PROCESSES, "--workers", "2")
    wait_for_records(tmp_path / "d", 1)
    workers = workers_of(process.pid)
    decoders = [child for pid in workers for child in children(pid)]
    process.kill()
    process.wait()
    wait_until_gone([*workers, *decoders])
    done = sofdata("ingest", corpus, tmp_path / "d", *PROCESSES, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "committed before" in done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)


# Where optional packages are missing


def test_without_ray_processes_do_the_work(
    corpus: Path, dataset: Path, tmp_path: Path, without: Path
) -> None:
    done = sofdata("ingest", corpus, tmp_path / "d", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)
    (run,) = (tmp_path / "d" / "runs").iterdir()
    assert json.loads(run.read_text())["run"]["engine"] == "processes"


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["ingest", "CORPUS", "NEW", "--engine", "ray"], "ray", "ray"),
        (["ingest", "CORPUS", "NEW", "--address", "10.0.0.7:6379"], "ray", "ray"),
        (["ingest", "CORPUS", "NEW", "--set", "run.flow_actors=1"], "ray", "ray"),
        (["ingest", "CORPUS", "NEW", "--set", "video.decoder=decord"], "decord", "decord"),
        (["ingest", "CORPUS", "s3://bucket/new"], "s3fs", "s3"),
        (["ingest", "s3://bucket/clips", "NEW"], "s3fs", "s3"),
        (["ingest", "gs://bucket/clips", "NEW"], "gcsfs", "gcs"),
        (["verify", "s3://bucket/data"], "s3fs", "s3"),
        (["train", "skill", "--data", "NEW", "--out", "NEW", "--workers", "2"], "ray", "ray"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_missing_is_named_with_its_extra_before_any_work(
    words: list[str], package: str, extra: str, corpus: Path, tmp_path: Path, without: Path
) -> None:
    places = {"CORPUS": corpus, "NEW": tmp_path / "new"}
    done = sofdata(*(places.get(word, word) for word in words))
    assert done.returncode == 2, done.stderr
    *before, line = done.stderr.splitlines()
    assert line.startswith("sofdata: ")
    assert f"needs {package}: pip install 'sofdata[{extra}]'" in line
    assert all(other.startswith("looking at") for other in before)
    assert not (tmp_path / "new").exists()


def test_a_plain_ingest_imports_no_optional_package(corpus: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from tests.helpers import ingest\n"
        f"ingest({str(corpus)!r}, {str(tmp_path / 'd')!r}, 'run.engine=processes')\n"
        "import sofdata.cli.app, sofdata.cli.train, sofdata.storage.remote, sofdata.storage.s3\n"
        "optional = {'ray', 'decord', 's3fs', 'botocore', 'aiobotocore', 'torch', 'gcsfs'}\n"
        "sys.exit(' '.join(sorted(optional & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_engine_decides_nothing_that_is_stored() -> None:
    engines = ("auto", "ray", "processes", "inline")
    assert len({load_config(None, [f"run.engine={name}"]).digest() for name in engines}) == 1
