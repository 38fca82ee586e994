"""`sofdata.storage.lock` and `lease`: who holds a lock, who is refused, what is stale."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sofdata.errors import ConfigError, SofdataError, StorageError
from sofdata.storage import lease
from sofdata.storage import lock as locks
from sofdata.storage.holder import Holder, has_ended, read_holder, this_process
from sofdata.storage.lock import held, only_driver
from sofdata.storage.s3 import S3Store
from sofdata.storage.tree import Tree
from sofdata.system.locks import locked
from tests.faults.disk import register
from tests.s3 import S3Server

HOLDS = (
    "import sys, time\n"
    "from sofdata.storage.lock import only_driver\n"
    "from sofdata.storage.tree import Tree\n"
    "from tests.faults.disk import register\n"
    "register()\n"
    "with only_driver(Tree(sys.argv[1]), sys.argv[2]):\n"
    "    print(flush=True)\n"
    "    time.sleep(60)\n"
)
ELSEWHERE = Holder("update", "anna", "gpu-7", 4711, "2026-11-28 09:00:00 UTC", "b", "s", "1", "t")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths, so that what is stale is so at once."""
    register()
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "STALE_S", 0.4)
    monkeypatch.setattr(lease, "SETTLE_S", 0.05)
    monkeypatch.setattr(lease, "POLL_S", 0.02)


@pytest.fixture(params=["local", "store"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    """A destination that is locked by the kernel, or by a lease."""
    return Tree(f"{'disk://' if request.param == 'store' else ''}{tmp_path / 'd'}")


@pytest.fixture
def store(tmp_path: Path) -> Tree:
    """A destination that is locked by a lease."""
    (tmp_path / "d").mkdir()
    return Tree(f"disk://{tmp_path / 'd'}")


@pytest.fixture
def other(dest: Tree) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `dest`."""
    words = [sys.executable, "-c", HOLDS, dest.url, "repair"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def in_a_thread(action: Callable[[], None]) -> SofdataError | None:
    """Run it in another thread and return what it raised."""
    raised: list[SofdataError] = []

    def run() -> None:
        try:
            action()
        except SofdataError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def take(dest: Tree) -> None:
    with only_driver(dest):
        pass


def test_what_a_holder_calls_may_take_the_lock_again_and_only_the_outer_one_gives_it_back(
    dest: Tree, tmp_path: Path
) -> None:
    with only_driver(dest, "update") as outer:
        with only_driver(dest, "ingest") as inner:
            assert inner is outer
        assert held(dest) == outer.token
        assert (tmp_path / "d" / ".lock").exists()
        outer.check()
    assert not held(dest)
    assert not (tmp_path / "d" / ".lock").exists()


def test_a_folder_is_the_same_by_any_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")
    with only_driver(Tree(str(tmp_path / "d"))) as outer:
        with only_driver(Tree(f"file://{tmp_path}/d/")) as inner:
            assert inner is outer
        with only_driver(Tree(str(tmp_path / "link"))) as inner:
            assert inner is outer


def test_another_thread_of_the_same_process_is_refused(dest: Tree) -> None:
    with only_driver(dest, "repair"):
        error = in_a_thread(lambda: take(dest))
    assert isinstance(error, ConfigError)
    assert "a repair by" in str(error)
    assert f"process {os.getpid()}" in str(error)
    assert in_a_thread(lambda: take(dest)) is None


def test_so_is_one_at_a_store_in_memory_and_after_it_nothing_is_left() -> None:
    dest = Tree("memory://locked/d")
    with only_driver(dest) as lock:
        assert lock.kind == "process"
        assert isinstance(in_a_thread(lambda: take(dest)), ConfigError)
    assert in_a_thread(lambda: take(dest)) is None
    assert dest.names("") == []


def test_another_process_is_refused_and_told_who_what_where_and_since_when(
    dest: Tree, other: subprocess.Popen[str]
) -> None:
    with pytest.raises(ConfigError) as error, only_driver(dest):
        pass
    told = str(error.value)
    for part in ("a repair by", socket.gethostname(), f"process {other.pid}", "since 20", "UTC"):
        assert part in told, told


def test_of_a_killed_process_no_lock_is_left(dest: Tree, other: subprocess.Popen[str]) -> None:
    other.kill()  # and not waited for: it is a zombie
    told: list[str] = []
    with only_driver(dest, report=told.append) as lock:
        lock.check()
    assert all("that process has ended" in line for line in told)


def test_a_lock_that_is_free_is_taken_though_another_user_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".lock").write_text('{"pid": 1}')
    opened = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".lock") and flags & os.O_RDWR and os.path.exists(path):
            raise PermissionError(errno.EACCES, "not yours")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with only_driver(Tree(str(tmp_path))):
        assert read_holder((tmp_path / ".lock").read_bytes()).pid == os.getpid()


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("dear diary")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".lock").symlink_to(tmp_path / "diary")
    with pytest.raises(StorageError), only_driver(Tree(str(tmp_path / "d"))):
        pass
    assert (tmp_path / "diary").read_text() == "dear diary"


def test_a_lock_file_that_is_removed_meanwhile_is_noticed_and_anothers_is_left_alone(
    tmp_path: Path,
) -> None:
    with only_driver(Tree(str(tmp_path))) as lock:
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").write_text("another's")
        with pytest.raises(StorageError, match="removed or replaced"):
            lock.check()
    assert (tmp_path / ".lock").read_text() == "another's"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_leaves_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    dest = Tree(str(tmp_path / "d"))
    with pytest.raises(ConfigError, match="--no-lock"), only_driver(dest):
        pass
    assert list((tmp_path / "d").iterdir()) == []
    with only_driver(dest, choice="none") as lock:
        assert lock.kind == "none"
        lock.check()
    with locked(tmp_path / "cell.lock"):  # of a benchmark's processes, which are on one machine
        pass


def test_a_lock_that_fails_otherwise_is_no_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "a disk fails")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match="a disk fails"), only_driver(Tree(str(tmp_path))):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"[1]", b'{"pid": "x", "host": 3}', b'{"pid": true}', b"[" * 5000, b"\xff"],
)
def test_a_lock_of_nonsense_names_nobody(content: bytes) -> None:
    holder = read_holder(content)
    assert str(holder) == "a sofdata command"
    assert not has_ended(holder)


def test_what_a_lock_says_is_cut_and_made_printable() -> None:
    holder = read_holder(json.dumps({"user": "\x1b[2J" + "x" * 500, "host": "a\nb"}).encode())
    assert "\x1b" not in str(holder)
    assert "\n" not in str(holder)
    assert len(str(holder)) < 200


def test_a_process_has_ended_only_where_that_can_be_known() -> None:
    ours = this_process("ingest")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert not has_ended(ours)
    assert has_ended(replace(ours, pid=gone.pid))
    assert has_ended(replace(ours, started="1"))  # another process has got its number
    for elsewhere in (
        replace(ours, pid=gone.pid, host="another"),
        replace(ours, pid=gone.pid, boot="another"),
        replace(ours, pid=gone.pid, space="another"),
        replace(ours, pid=gone.pid, started=""),
        replace(ours, pid=0),
    ):
        assert not has_ended(elsewhere)


def test_a_lease_is_renewed_and_goes_with_its_holder(store: Tree, tmp_path: Path) -> None:
    with only_driver(store) as lock:
        assert lock.kind == "lease"
        time.sleep(0.3)
        held = read_holder(store.read(".lock"))
        assert held.renewed > 1
        assert held.token == lock.token
        lock.check()
    assert list((tmp_path / "d").iterdir()) == []


def test_a_lease_of_elsewhere_that_does_not_change_is_taken_over_and_the_user_is_told(
    store: Tree,
) -> None:
    store.write(".lock", ELSEWHERE.encode())
    told: list[str] = []
    began = time.monotonic()
    with only_driver(store, report=told.append) as lock:
        lock.check()
    assert time.monotonic() - began > lease.STALE_S
    assert len(told) == 2, told
    assert "an update by anna on gpu-7 (process 4711, since 2026-11-28 09:00:00 UTC)" in told[0]
    assert "unless it shows a sign of life" in told[0]
    assert "taken over" in told[1]


def test_clocks_of_two_machines_are_not_compared(store: Tree) -> None:
    store.write(".lock", replace(ELSEWHERE, since="1999-01-01 00:00:00 UTC").encode())
    began = time.monotonic()
    with only_driver(store, report=lambda line: None):
        assert time.monotonic() - began > lease.STALE_S


def test_a_lease_of_elsewhere_that_changes_is_alive(store: Tree) -> None:
    store.write(".lock", ELSEWHERE.encode())
    renewal = threading.Timer(0.2, lambda: store.write(".lock", ELSEWHERE.again().encode()))
    renewal.start()
    with (
        pytest.raises(ConfigError, match="anna on gpu-7"),
        only_driver(store, report=lambda line: None),
    ):
        pass
    renewal.join()
    assert read_holder(store.read(".lock")).token == "t"


def test_a_lease_that_is_released_while_it_is_watched_is_taken(store: Tree) -> None:
    store.write(".lock", ELSEWHERE.encode())
    threading.Timer(0.1, lambda: store.remove(".lock")).start()
    with only_driver(store, report=lambda line: None) as lock:
        lock.check()


def test_a_holder_whose_lease_was_taken_over_stops_at_its_next_step_and_leaves_the_others(
    store: Tree,
) -> None:
    def work() -> None:
        with only_driver(store) as lock:
            store.write(".lock", ELSEWHERE.encode())
            lock.check()
            raise AssertionError("it went on")

    with pytest.raises(StorageError, match="taken over by an update by anna on gpu-7"):
        work()
    assert store.read(".lock") == ELSEWHERE.encode()


def test_so_it_does_when_it_only_notices_at_its_end(store: Tree) -> None:
    with pytest.raises(StorageError, match="was removed"), only_driver(store):
        store.remove(".lock")


def test_what_failed_first_is_told_though_the_lease_is_lost_too(store: Tree) -> None:
    def work() -> None:
        with only_driver(store):
            store.write(".lock", ELSEWHERE.encode())
            raise KeyError

    with pytest.raises(KeyError):
        work()


def test_a_store_that_fails_for_long_costs_the_lease(
    store: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Tree.read_range

    def fail(tree: Tree, rel: str, start: int, end: int) -> bytes:
        raise StorageError("the store is gone")

    def work() -> None:
        with only_driver(store):
            monkeypatch.setattr(Tree, "read_range", fail)
            time.sleep(lease.STALE_S + 0.3)
            monkeypatch.setattr(Tree, "read_range", reads)

    with pytest.raises(StorageError, match="could not be renewed"):
        work()


def test_of_many_who_come_at_once_one_keeps_the_lease(store: Tree) -> None:
    assert keepers(store) == 1


@pytest.mark.slow
@pytest.mark.parametrize("knows", [True, False])
def test_so_in_s3_whether_or_not_the_server_knows_conditions(
    s3_env: S3Server, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    dest = Tree(f"{s3_env.make_bucket(f'locks-{knows}'.lower())}/d")
    if not knows:
        monkeypatch.setattr(S3Store, "create", _overwrite)
    assert keepers(dest) == 1


def keepers(dest: Tree) -> int:
    """How many of some who come at once find that they have the lease, once all have come."""
    got: list[lease.Lease] = []

    def come(number: int) -> None:
        holder = replace(this_process("ingest"), host=f"host-{number}")
        with suppress(ConfigError):
            got.append(lease.acquire(dest, ".lock", holder, 0.1, lambda line: None))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = 0
    for each in got:
        with suppress(StorageError):
            each.release()
            kept += 1
    return kept


def _overwrite(store: S3Store, path: str, data: bytes) -> bool:
    store.call(f"write {path}", lambda: store.fs.pipe_file(path, data))
    return True
