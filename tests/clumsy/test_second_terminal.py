"""The second terminal: two commands in one place, a verdict that is old, a folder named `s3:`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sofdata.cli.app import app
from sofdata.errors import ConfigError, StorageError
from sofdata.ingest import repair as repairs
from sofdata.ingest.config import load_config
from sofdata.ingest.events import UnitDone
from sofdata.ingest.repair import repair
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.storage import lease
from sofdata.storage import lock as locks
from sofdata.storage.holder import Holder
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree
from tests.faults.disk import register
from tests.faults.inject import Fault, write_spec
from tests.helpers import hashes, ingest, sofdata

HOLDS = (
    "import sys, time\n"
    "from sofdata.storage.lock import only_driver\n"
    "from sofdata.storage.tree import Tree\n"
    "with only_driver(Tree(sys.argv[1]), sys.argv[2]):\n"
    "    print(flush=True)\n"
    "    time.sleep(120)\n"
)
ELSEWHERE = Holder("ingest", "anna", "gpu-7", 4711, "2026-11-28 09:00:00 UTC", "b", "s", "1", "t")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process wait for nobody who may be about to end."""
    register()
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    monkeypatch.setattr(lease, "STALE_S", 0.5)
    monkeypatch.setattr(lease, "SETTLE_S", 0.05)
    monkeypatch.setattr(lease, "POLL_S", 0.02)


@contextmanager
def another(doing: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is at work in a folder."""
    words = [sys.executable, "-c", HOLDS, str(folder), doing]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def command(*words: object) -> int:
    """Run a command in this process; its exit code, unless it raises one of our errors."""
    return int(app([str(word) for word in words], standalone_mode=False) or 0)


@contextmanager
def halted(step: str, *words: object, folder: Path, nth: int = 1) -> Iterator[int]:
    """A command in a process of its own that hangs at a step; its number. Killed in the end."""
    spec = write_spec(folder / "halted", [Fault(step, "hang", nth=nth)])
    environment = {**os.environ, "SOFDATA_FAULTS": spec}
    line = [sys.executable, "-m", "sofdata", *map(str, words)]
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list((folder / "halted").glob("claim-*")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process.pid
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Path:
    """A dataset to be worked on."""
    shutil.copytree(dataset, tmp_path / "d")
    return tmp_path / "d"


# Two commands on one dataset


@pytest.fixture(scope="module")
def begun(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A dataset that is being made, with two units committed, and the process that makes it."""
    folder = tmp_path_factory.mktemp("begun")
    words = ("ingest", corpus, folder / "d", "--engine", "inline")
    with halted("commit: record written", *words, folder=folder, nth=2) as pid:
        yield folder / "d", pid


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "CORPUS", "DEST", "--engine", "inline"),
        ("ingest", "CORPUS", "DEST", "--engine", "inline", "--update"),
        ("ingest", "CORPUS", "DEST", "--engine", "inline", "--retry-quarantined"),
        ("verify", "DEST", "--repair"),
        ("verify", "DEST", "--fast", "--repair"),
    ],
    ids=["ingest", "update", "retry", "repair", "fast repair"],
)
def test_a_second_command_on_a_dataset_is_refused_by_the_firsts_name_and_changes_nothing(
    begun: tuple[Path, int], corpus: Path, words: tuple[str, ...]
) -> None:
    dest, pid = begun
    before = hashes(dest)
    places = {"CORPUS": str(corpus), "DEST": str(dest)}
    with pytest.raises(ConfigError, match=rf"an ingest by .*\(process {pid}, since .* UTC\)"):
        command(*(places.get(word, word) for word in words))
    assert hashes(dest) == before


def test_what_only_reads_is_not_locked_out(begun: tuple[Path, int]) -> None:
    assert command("verify", begun[0]) == 3  # it is not complete


def test_a_dry_run_is_not_locked_out(begun: tuple[Path, int], corpus: Path) -> None:
    assert command("ingest", corpus, begun[0], "--engine", "inline", "--dry-run") == 0


def test_the_refusal_of_the_command_line_has_exit_code_2_and_is_one_line(
    begun: tuple[Path, int],
) -> None:
    done = sofdata("verify", begun[0], "--repair")
    assert done.returncode == 2
    assert done.stderr.startswith("sofdata: ")
    assert len(done.stderr.splitlines()) == 1
    assert "wait until that has ended, or stop it" in done.stderr


def test_after_a_killed_ingest_the_same_command_goes_on_at_once(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--engine", "inline")
    with halted("commit: record written", *words, folder=tmp_path):
        pass
    assert (tmp_path / "d" / ".lock").exists()
    ingest(corpus, tmp_path / "d")
    assert hashes(tmp_path / "d") == hashes(dataset)
    assert not (tmp_path / "d" / ".lock").exists()


def test_an_ingest_whose_lock_file_is_removed_by_hand_stops_and_goes_on_when_run_again(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    dest, config = tmp_path / "d", load_config(None, ["run.engine=inline"])

    def by_hand(event: object) -> None:
        (dest / ".lock").unlink(missing_ok=True)

    prepared = prepare(Tree(str(corpus)), Tree(str(dest)), config, "auto")
    with pytest.raises(StorageError, match="removed or replaced"):
        execute(prepared, by_hand)
    assert not json.loads((dest / "dataset.json").read_text())["complete"]
    ingest(corpus, dest)
    assert hashes(dest) == hashes(dataset)


def test_a_machine_that_has_lost_a_store_for_long_stops_when_it_comes_back(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    """Another has taken its lease over meanwhile."""
    tree, config = Tree(f"disk://{tmp_path / 'd'}"), load_config(None, ["run.engine=inline"])

    def taken_over(event: object) -> None:
        if isinstance(event, UnitDone):
            tree.write(".lock", ELSEWHERE.encode())

    prepared = prepare(Tree(str(corpus)), tree, config, "auto")
    with pytest.raises(StorageError, match="taken over by an ingest by anna on gpu-7"):
        execute(prepared, taken_over)
    assert tree.read(".lock") == ELSEWHERE.encode()
    ingest(corpus, tree.url)  # waits until it is sure that anna's is gone
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_who_waits_for_a_lease_that_may_be_stale_is_told_whose_it_is_and_for_how_long(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree = Tree(f"disk://{tmp_path / 'd'}")
    tree.write(".lock", ELSEWHERE.encode())
    ingest(corpus, tree.url)
    logged = caplog.text  # which the command line prints
    assert "is locked by an ingest by anna on gpu-7 (process 4711" in logged
    assert "taken over in 0 s unless it shows a sign of life" in logged
    assert "nothing was heard of it" in logged


def test_encoding_into_a_dataset_that_is_worked_on_is_refused(copied: Path) -> None:
    from sofdata.train.encode import encode

    with another("repair", copied), pytest.raises(ConfigError, match="a repair by"):
        encode(Tree(str(copied)), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../index", "a/b", ".hidden", "two\nlines", "a" * 300])
def test_skills_are_written_into_their_folder_only(copied: Path, name: str) -> None:
    from sofdata.train.encode import encode

    with pytest.raises(ConfigError, match="not a path"):
        encode(Tree(str(copied)), None, name)  # type: ignore[arg-type]


# A verdict that is older than the dataset


def test_a_verdict_from_before_another_made_the_dataset_whole_removes_nothing(
    copied: Path, dataset: Path
) -> None:
    tree = Tree(str(copied))
    shard = next((copied / "shards").glob("*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    verdict = verify(tree)
    assert not verdict.whole
    shard.write_bytes(whole)  # as the other terminal's repair and ingest
    assert repair(tree, verdict) == ["nothing to repair: the dataset is whole"]
    assert hashes(copied) == hashes(dataset)


def test_a_verdict_that_was_right_is_acted_upon_all_the_same(
    copied: Path, corpus: Path, dataset: Path
) -> None:
    tree = Tree(str(copied))
    next((copied / "shards").glob("*.tar")).unlink()
    assert any("to be run again" in line for line in repair(tree, verify(tree)))
    ingest(corpus, copied)
    assert hashes(copied) == hashes(dataset)


def test_a_verdict_under_the_lock_is_not_taken_twice(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(str(copied))
    next((copied / "shards").glob("*.tar")).unlink()

    def refuse(*_: object) -> None:
        raise AssertionError("it was taken again")

    with only_driver(tree, "repair"):
        verdict = verify(tree)
        monkeypatch.setattr(repairs, "verify", refuse)
        assert repair(tree, verdict)


def test_repairing_what_is_not_there_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no dataset"):
        command("verify", tmp_path / "misspelt", "--repair")
    assert list(tmp_path.iterdir()) == []


# A file system without locks


def test_a_file_system_without_locks_is_refused_until_the_user_says_so_which_is_recorded(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "faults", [Fault("flock", "ENOLCK", times=0)])
    environment = {**os.environ, "SOFDATA_FAULTS": spec}
    words = ("ingest", corpus, tmp_path / "d", "--engine", "inline")
    refused = sofdata(*words, env=environment)
    assert refused.returncode == 2
    assert "--no-lock" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = sofdata(*words, "--no-lock", env=environment)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(dataset)
    (record,) = (tmp_path / "d" / "runs").iterdir()
    assert json.loads(record.read_text())["lock"] == "none"


# Trainings, benchmarks, demos


def _train(out: Path, tmp_path: Path) -> None:
    command("train", "skill", "--data", tmp_path / "nothing", "--out", out)


def _train_planner(out: Path, tmp_path: Path) -> None:
    command("train", "planner", "--data", tmp_path / "nothing", "--out", out)


def _bench(out: Path, tmp_path: Path) -> None:
    words = ("--validation", "--suite", "pushing", "--preset", "smoke")
    command("bench", "run", "--data", tmp_path / "nothing", "--out", out, *words)


def _collect(out: Path, tmp_path: Path) -> None:
    command("bench", "collect", out.parent, "--suite", out.name)


def _demo(out: Path, tmp_path: Path) -> None:
    from sofdata.cli.demo import DemoSize, run_demo
    from sofdata.ui.console import stdout

    run_demo(str(out), DemoSize(), stdout())


@pytest.mark.parametrize(
    ("second", "doing"),
    [
        (_train, "training"),
        (_train_planner, "training"),
        (_bench, "benchmark"),
        (_collect, "collection"),
        (_demo, "demo"),
    ],
)
def test_a_second_command_that_writes_a_folder_is_refused_by_the_firsts_name(
    tmp_path: Path, second: Callable[[Path, Path], None], doing: str
) -> None:
    out = tmp_path / "o" / "pushing"
    with (
        another(doing, out) as first,
        pytest.raises(ConfigError, match=rf"a {doing} by .*process {first.pid}"),
    ):
        second(out, tmp_path)
    assert list(out.iterdir()) in ([], [out / ".lock"])


@pytest.mark.slow
def test_a_second_training_is_refused_and_a_killed_one_goes_on_with_the_same_command(
    tmp_path: Path,
) -> None:
    from sofdata.scenes.pushing import write_pushing_corpus
    from tests.train.conftest import TINY, WINDOWS

    write_pushing_corpus(tmp_path / "videos", episodes=12, seed=0)
    ingest(tmp_path / "videos", tmp_path / "d", *WINDOWS)
    settings = [word for setting in TINY for word in ("--set", setting)]
    words = ("train", "skill", "--data", tmp_path / "d", "--out", tmp_path / "m", *settings)
    with halted("checkpoint: listed", *words, folder=tmp_path) as pid:
        before = hashes(tmp_path / "m")
        for more in ((), ("--restart",)):
            with pytest.raises(ConfigError, match=rf"a training by .*process {pid}"):
                command(*words, *more)
        assert hashes(tmp_path / "m") == before
    assert command(*words) == 0
    assert (tmp_path / "m" / "skill" / "model.pt").exists()
    assert not (tmp_path / "m" / ".lock").exists()


def test_a_training_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no complete dataset at .*\(dataset.json is missing\)"):
        _train(tmp_path / "models", tmp_path)
    assert list(tmp_path.iterdir()) == []


# Places that have to be on this machine

SECRET = "S3CR3T-marker"


@pytest.mark.parametrize("url", ["s3://u:{}@b/x", "gs://b/x?k={}", "memory://b/x", "s3:/u:{}@b/x"])
@pytest.mark.parametrize(
    "words",
    [
        ("train", "skill", "--data", "d", "--out", "URL"),
        ("encode", "d", "--model", "URL"),
        ("bench", "collect", "URL", "--suite", "pushing"),
        ("bench", "run", "--data", "c", "--out", "URL"),
        ("bench", "run", "--data", "URL"),
        ("bench", "freeze", "--out", "URL"),
        ("bench", "report", "--out", "URL"),
        ("bench", "report", "--html", "URL"),
        ("bench", "report", "URL"),
        ("bench", "table", "r", "--into", "URL"),
        ("bench", "table", "URL"),
        ("bench", "export", "--into", "URL"),
        ("bench", "export", "--out", "URL"),
        ("demo", "URL"),
        ("inspect", "d", "--sheet", "URL"),
        ("report", "d", "--out", "URL"),
    ],
    ids=" ".join,
)
def test_a_store_is_refused_before_any_work_where_a_local_place_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = url.format(SECRET)
    with pytest.raises(ConfigError, match="has to be on this machine") as error:
        command(*(given if word == "URL" else word for word in words))
    assert SECRET not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_functions_of_the_library_refuse_a_store_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as a `Path`, which takes a slash away."""
    from sofdata.bench.collect.collect import collect
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.train.config import load_train_config
    from sofdata.train.run import train_stage
    from sofdata.train.stage import StageJob

    monkeypatch.chdir(tmp_path)
    job = StageJob("skill", load_train_config(None), ("d",), "s3://b/models", {})
    with pytest.raises(ConfigError, match="s3://b/models"):
        train_stage(job, lambda progress: None)
    with pytest.raises(ConfigError, match="s3:/b/collected"):
        collect(CollectConfig(suite="pushing"), Path("s3://b/collected"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("ingest", "URL", "d"), ("ingest", "c", "URL"), ("verify", "URL")]
)
def test_a_url_that_lost_a_slash_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="give s3://bucket/x for the store"):
        command(*("s3:/bucket/x" if word == "URL" else word for word in words))
    assert list(tmp_path.iterdir()) == []


def test_a_file_url_is_the_path_that_it_names(copied: Path, tmp_path: Path) -> None:
    assert command("report", copied, "--out", f"file://{tmp_path}/page.html") == 0
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_a_folder_to_write_into_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("notes")
    with pytest.raises(ConfigError, match=r"--out is .*models, which is a file"):
        _train(tmp_path / "models", tmp_path)
    assert (tmp_path / "models").read_text() == "notes"
