"""The lock of a path is held by one at a time, and is free as soon as its holder has ended."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sofdata.system.locks import locked

HOLD = (
    "import sys; from sofdata.system.locks import locked\n"
    "with locked(sys.argv[1]):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


def _other(path: Path) -> threading.Thread:
    """A thread that takes the lock and ends."""

    def take() -> None:
        with locked(path):
            pass

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return thread


def _waits(thread: threading.Thread) -> bool:
    thread.join(0.3)
    return thread.is_alive()


def _ends(thread: threading.Thread) -> bool:
    thread.join(10.0)
    return not thread.is_alive()


def test_another_thread_waits_until_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "lock"
    with locked(path):
        other = _other(path)
        assert _waits(other)
    assert _ends(other)
    assert path.exists()


def test_another_process_waits_until_the_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        other = _other(path)
        assert _waits(other)
        holder.kill()
        assert _ends(other)


def test_without_locks_of_the_file_system_those_of_the_temporary_folder_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fcntl.flock

    def refuse(handle: int, how: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").startswith(str(tmp_path)):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        whole(handle, how)

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock"):
        other = _other(tmp_path / "lock")
        assert _waits(other)
        assert _ends(_other(tmp_path / "another lock"))
    assert _ends(other)


def test_a_lock_that_fails_otherwise_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "a disk fails")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="a disk fails"), locked(tmp_path / "lock"):
        pass
