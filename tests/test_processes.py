"""Processes that work for another one end when it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def alive(mark: str) -> list[int]:
    """The processes that were started with a variable of this value."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_the_workers_of_a_killed_command_end_with_it(tmp_path: Path) -> None:
    mark = f"SOFDATA_TEST_MARK={tmp_path.name}-{os.getpid()}"
    name, value = mark.split("=")
    command = [sys.executable, "-m", "sofdata", "bench", "collect", str(tmp_path / "out")]
    command += ["--suite", "pushing", "--workers", "2", "--set", "videos=5000"]
    process = subprocess.Popen(
        command,
        env={**os.environ, name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(alive(mark)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(alive(mark)) >= 3
    time.sleep(3)  # the workers are at work
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(mark)
