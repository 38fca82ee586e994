"""Ingest from S3 to S3, on a real server: the bytes of local folders, whatever goes wrong."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.destination import check_places
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.plan import load_plan
from sofdata.ingest.repair import repair
from sofdata.ingest.replay import replay
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import Remedy, verify
from sofdata.report.dataset import write_report
from sofdata.report.inspect import draw_sheet
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.s3 import THRESHOLD
from sofdata.storage.tree import Tree
from sofdata.ui.console import stdout
from tests.faults.inject import Fault, fired, write_spec
from tests.helpers import hashes, ingest, sofdata
from tests.lerobots import TOP, jumping_texture
from tests.s3 import SECRET_KEY, S3Server, running

pytestmark = pytest.mark.slow


def upload(s3: S3Server, folder: Path, url: str) -> str:
    """Copy a folder below a URL."""
    client = s3.client()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")
    return url


@pytest.fixture(scope="module")
def source(s3: S3Server, corpus: Path) -> str:
    """The rendered corpus in a bucket."""
    return upload(s3, corpus, f"{s3.make_bucket('corpora')}/ssv2")


@pytest.fixture
def dest(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """A folder in a bucket of the test's own."""
    name = f"t-{zlib.crc32(request.node.nodeid.encode()):08x}"
    return f"{s3.make_bucket(name)}/dataset"


def bucket_of(url: str) -> str:
    return url.split("/")[2]


@pytest.fixture
def fetched(s3: S3Server, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Hashes of a dataset in the server."""
    return lambda url: hashes(s3.fetch(url, tmp_path / "fetched"))


def run(s3: S3Server, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process that gets the server's address as a user gives it."""
    return sofdata(*words, env={**os.environ, **s3.environment, **variables})


@pytest.fixture(scope="module")
def remote(s3: S3Server, source: str) -> str:
    """The corpus, ingested from S3 to S3 in this process. Tests must not write to it."""
    url = f"{s3.make_bucket('datasets')}/d"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        ingest(source, url)
    return url


def test_a_dataset_made_from_s3_to_s3_has_the_bytes_of_a_local_one_and_no_secret(
    s3: S3Server, remote: str, dataset: Path, tmp_path: Path
) -> None:
    folder = s3.fetch(remote, tmp_path)
    assert hashes(folder) == hashes(dataset)
    for path in folder.rglob("*"):
        assert path.is_dir() or SECRET_KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("engine", ["ray", "processes"])
def test_so_has_one_made_by_workers(
    engine: str,
    s3: S3Server,
    source: str,
    dest: str,
    dataset: Path,
    fetched: Callable[[str], dict[str, str]],
) -> None:
    words = ("ingest", source, dest, "--engine", engine, "--workers", "2")
    done = run(s3, *words)
    assert done.returncode == 0, done.stderr
    assert fetched(dest) == hashes(dataset)
    again = run(s3, *words)
    assert "nothing to do" in again.stderr
    assert SECRET_KEY not in done.stdout + done.stderr + again.stdout + again.stderr


def test_a_dataset_is_verified_shown_replayed_and_loaded_where_it_lies(
    s3_env: S3Server, remote: str, dataset: Path, tmp_path: Path
) -> None:
    import torch

    from sofdata.loading.loader import Loader

    tree = Tree(remote)
    assert verify(tree).whole
    assert verify(tree, fast=True).whole
    sheet = draw_sheet(tree, rows=3, video=None, path=str(tmp_path / "sheet.png"))
    assert Path(sheet).stat().st_size > 1000
    page = write_report(tree, recorded(tree), 3, str(tmp_path / "report.html"))
    assert b"<html" in Path(page).read_bytes()
    plan = load_plan(tree)
    assert plan
    record = replay(tree, plan.units[0].videos[0].id, None, stdout())
    assert record
    assert record.status == "done"
    there = Loader(remote, batch_size=4, seed=1, cache_dir=str(tmp_path / "cache"))
    for ours, theirs in zip(there, Loader(str(dataset), batch_size=4, seed=1), strict=True):
        assert ours.keys == theirs.keys
        assert torch.equal(ours.flow, theirs.flow)


def recorded(tree: Tree) -> DatasetRecord:
    record = read_dataset(tree)
    assert record
    return record


def test_repair_mends_a_dataset_and_the_same_ingest_completes_it(
    s3_env: S3Server,
    source: str,
    dest: str,
    dataset: Path,
    fetched: Callable[[str], dict[str, str]],
) -> None:
    ingest(source, dest)
    tree, client = Tree(dest), s3_env.client()
    first, second = tree.names("shards")[1:3]
    tree.remove(f"shards/{first}")
    data = bytearray(tree.read(f"shards/{second}"))
    data[700] ^= 4
    tree.write(f"shards/{second}", bytes(data))
    tree.write("shards/sof-000099-0123456789abcdef.tar", bytes(10240))
    begun = {"Bucket": bucket_of(dest), "Key": "dataset/shards/sof-000000-aa.tar"}
    client.call_s3("create_multipart_upload", **begun)
    verdict = verify(tree)
    assert {finding.remedy for finding in verdict.findings} >= {
        Remedy.RERUN,
        Remedy.REMOVE,
        Remedy.ABORT,
    }
    told = repair(tree, verdict)
    assert any("upload aborted" in line for line in told)
    assert not s3_env.unfinished(bucket_of(dest))
    ingest(source, dest)
    assert verify(tree).whole
    assert fetched(dest) == hashes(dataset)


def test_what_a_killed_driver_was_uploading_is_aborted_by_the_next_run(
    s3: S3Server,
    source: str,
    dest: str,
    dataset: Path,
    tmp_path: Path,
    fetched: Callable[[str], dict[str, str]],
) -> None:
    faults = write_spec(tmp_path / "faults", [Fault("upload: part sent", "kill", nth=3)])
    words = ("ingest", source, dest, "--engine", "inline")
    killed = run(s3, *words, SOFDATA_FAULTS=faults, **{THRESHOLD: "0"})
    assert killed.returncode == -9
    assert fired(tmp_path / "faults") == 1
    assert len(s3.unfinished(bucket_of(dest))) == 1
    done = run(s3, *words, **{THRESHOLD: "0"})
    assert done.returncode == 0, done.stderr
    assert not s3.unfinished(bucket_of(dest))
    assert fetched(dest) == hashes(dataset)


def test_a_server_that_is_killed_costs_no_byte(
    corpus: Path, dataset: Path, tmp_path: Path, s3: S3Server
) -> None:
    with running(tmp_path / "server") as server:
        source = upload(server, corpus, f"{server.make_bucket('corpora')}/ssv2")
        dest = f"{server.make_bucket('datasets')}/d"
        command = [sys.executable, "-m", "sofdata", "ingest", source, dest, "--engine", "inline"]
        environment = {**os.environ, **server.environment, THRESHOLD: "0"}
        process = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)
        wait_for_records(server, dest, 2)
        server.kill()
        _, told = process.communicate(timeout=120)
        assert process.returncode == 3, told
        assert "in 5 tries" in told
        assert "Traceback" not in told
        assert SECRET_KEY not in told
        server.start()
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "committed before" in done.stderr
        assert hashes(server.fetch(dest, tmp_path / "d")) == hashes(dataset)
        assert not server.unfinished("datasets")


def wait_for_records(server: S3Server, dest: str, number: int) -> None:
    """Wait until some units are committed."""
    client, ledger = server.client(), f"{dest.removeprefix('s3://')}/ledger"
    deadline = time.monotonic() + 120
    while not client.exists(ledger) or len(client.ls(ledger)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_driver_is_refused_and_told_of_the_first_and_a_killed_one_locks_nobody_out(
    s3_env: S3Server,
    source: str,
    dest: str,
    dataset: Path,
    tmp_path: Path,
    fetched: Callable[[str], dict[str, str]],
) -> None:
    faults = write_spec(tmp_path / "faults", [Fault("commit: record written", "hang", nth=3)])
    words = ("ingest", source, dest, "--engine", "inline")
    command = [sys.executable, "-m", "sofdata", *words]
    environment = {**os.environ, "SOFDATA_FAULTS": faults, THRESHOLD: "0"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as first:
        wait_for_records(s3_env, dest, 3)
        for others in (words, (*words, "--update"), ("verify", dest, "--repair")):
            refused = run(s3_env, *others)
            assert refused.returncode == 2, refused.stderr
            assert f"an ingest by {getpass.getuser()}" in refused.stderr
            assert f"process {first.pid}" in refused.stderr
        first.kill()
    done = run(s3_env, *words)
    assert done.returncode == 0, done.stderr
    assert "that process has ended" in done.stderr
    assert fetched(dest) == hashes(dataset)
    assert not Tree(dest).exists(".lock")
    assert not s3_env.unfinished(bucket_of(dest))


def test_a_wrong_secret_and_a_missing_bucket_end_with_a_sentence(
    s3: S3Server, source: str, corpus: Path
) -> None:
    wrong = "wr0ng-S3CR3T-value"
    done = run(s3, "ingest", source, "s3://corpora/d", AWS_SECRET_ACCESS_KEY=wrong)
    assert done.returncode == 3
    assert "check the credentials" in done.stderr
    assert "Traceback" not in done.stderr
    assert wrong not in done.stderr
    done = run(s3, "ingest", corpus, "s3://no-such-bucket-here/d")
    assert (done.returncode, "no such bucket" in done.stderr) == (2, True), done.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        with pytest.raises(ConfigError, match="there is nothing at"):
            ingest("s3://no-such-bucket-here/videos", "s3://corpora/d")


def test_a_destination_inside_its_source_is_refused(s3_env: S3Server, source: str) -> None:
    with pytest.raises(ConfigError, match="lies inside"):
        check_places(Tree(source), Tree(f"{source}/d"))
    check_places(Tree(source), Tree(f"{source}-beside"))


def test_videos_larger_than_the_room_for_copies_are_read_in_ranges(
    s3_env: S3Server,
    source: str,
    dest: str,
    dataset: Path,
    fetched: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a copy was made")

    monkeypatch.setattr(Tree, "download", refuse)
    ingest(source, dest, "run.temporary_mib=0.001")
    assert fetched(dest) == hashes(dataset)


def test_spans_of_long_videos_give_the_same_bytes_in_ranges_and_from_copies(
    s3_env: S3Server, dest: str, tmp_path: Path
) -> None:
    writer = LeRobotWriter(tmp_path / "e", fps=10, action_names=("dx", "dy"), episodes_per_file=3)
    for number in range(6):
        frames, jumps = jumping_texture(14, seed=number)
        writer.add(Episode({TOP: frames}, jumps, "jump about"))
    writer.finish()
    ingest(tmp_path / "e", tmp_path / "local")
    there = upload(s3_env, tmp_path / "e", f"s3://{bucket_of(dest)}/lerobot")
    for way in ("run.ranges_mib=0", "run.ranges_mib=1000"):
        ingest(there, f"{dest}-{way[-1]}", way)
        found = s3_env.fetch(f"{dest}-{way[-1]}", tmp_path / way)
        assert hashes(found) == hashes(tmp_path / "local")


def test_copies_of_a_unit_keep_to_their_room_and_the_next_is_fetched_meanwhile(
    s3_env: S3Server, source: str, remote: str
) -> None:
    plan = load_plan(Tree(remote))
    assert plan
    videos = [video for unit in plan.units for video in unit.videos]
    largest = max(video.size_bytes for video in videos)
    for room in (2 * largest, largest):
        run_config = load_config(None, [f"run.temporary_mib={room / (1 << 20)}"]).run
        paths: list[str] = []
        with Fetcher(Tree(source), videos, run_config) as fetcher:
            for video in videos:
                with fetcher.video(video, "pyav") as (_, path):
                    paths.append(path)
                    assert Path(path).stat().st_size == video.size_bytes
                    if fetcher._ahead:
                        paths.append(fetcher._ahead[1].result())
                    held = {path for path in paths if os.path.exists(path)}
                    assert sum(os.path.getsize(path) for path in held) <= room
        assert not any(os.path.exists(path) for path in paths)
        assert len(set(paths)) == len(videos)


def test_a_source_that_vanished_or_changed_is_told_as_of_a_local_folder(
    s3_env: S3Server, corpus: Path, dest: str
) -> None:
    there = upload(s3_env, corpus, f"s3://{bucket_of(dest)}/corpus")
    config = load_config(None, ["run.engine=inline"])
    prepared = prepare(Tree(there), Tree(dest), config, "auto")
    uris = sorted(video.uri for unit in prepared.plan.units for video in unit.videos)
    Tree(there).remove(uris[0])
    Tree(there).write(uris[1], b"something else")
    dataset = execute(prepared, lambda event: None).dataset
    assert dataset.counts.reasons.items() >= {"changed": 1, "unreadable": 1}.items()
    assert dataset.counts.quarantined == 2
