"""`sofdata.system.cores`: as many cores as the system allows, not as many as the machine has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sofdata.system import cores as module
from sofdata.system.cores import cores

CODE = "from sofdata.system.cores import cores; print(cores())"


def written(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.fixture
def sixty_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 cores, all of them free to use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


@pytest.mark.usefixtures("sixty_four")
@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 64),
        (  # a job within a slice: the tightest counts
            {
                "proc/self/cgroup": "0::/slice/job/step\n",
                "sys/fs/cgroup/slice/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/slice/job/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/slice/job/step/cpu.max": "max 100000\n",
            },
            2,
        ),
        (  # version 1
            {
                "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/docker/abc\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (  # version 1 in a container, whose paths are those of the host
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
    ],
)
def test_a_cgroup_limits_the_cores(files: dict[str, str], number: int, tmp_path: Path) -> None:
    assert cores(written(tmp_path, files)) == number


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_affinity_limits_the_cores() -> None:
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


def test_nothing_else_asks_how_many_cores_the_machine_has() -> None:
    """Whoever needs the number asks `sofdata.system.cores`."""
    package = Path(module.__file__).parent
    asking = re.compile(r"cpu_count\(|sched_getaffinity\(|process_cpu_count")
    found = [
        str(p.relative_to(package)) for p in package.rglob("*.py") if asking.search(p.read_text())
    ]
    assert found == ["cores.py"]
