"""`sofdata.system.allocation`: freed memory is used again without asking the kernel."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = 8 * 4096  # of 4 KiB in what is held at once
WORK = """
from sofdata.system.allocation import keep_memory
import resource, torch
torch.set_num_threads(1)
keep_memory()

def work(times):
    for _ in range(times):
        blocks = [torch.zeros(4 << 20).add_(1) for _ in range(8)]  # of 16 MiB
        del blocks

work(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
def test_memory_is_asked_for_once() -> None:
    told = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    # Ten times round: without, more than one round's worth; with, an eighth of a round at most.
    assert int(told.stdout) < PAGES / 2


KEEPS_SOME = """
from sofdata.system.allocation import keep_some_memory
import resource
import numpy as np
keep_some_memory()

def work(times):
    for _ in range(times):
        blocks = [np.ones(1 << 20, np.float32) for _ in range(8)]  # of 4 MiB
        del blocks

work(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
def test_a_worker_keeps_what_it_has_under_way() -> None:
    told = subprocess.run(
        [sys.executable, "-c", KEEPS_SOME], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) < 8 * 1024 / 2  # pages of 4 KiB: half a round of ten
