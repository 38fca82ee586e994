"""`sofdata.allocation`: memory that was given back is used again without asking the kernel."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

WORK = """
import resource, torch
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(4 << 20).add_(1)  # 16 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
KEPT = "from sofdata.allocation import keep_memory; keep_memory()"


def faults(first: str) -> int:
    told = subprocess.run(
        [sys.executable, "-c", first + WORK], capture_output=True, text=True, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
def test_memory_is_asked_for_once() -> None:
    assert faults(KEPT) < faults("") / 4
