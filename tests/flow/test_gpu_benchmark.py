"""benchmarks/gpu.py on the CPU, where it runs small: every part that needs no GPU works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"

pytest.importorskip("ptlflow")


def test_the_gpu_benchmark_runs_small_on_a_cpu_and_claims_no_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--json", str(out)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["machine"]["gpu"] == "none: a trial on the CPU"
    assert not [key for key in found["machine"] if key.endswith("_failed")], found["machine"]
    assert {row["film"] for row in found["decode"]} == {"VP9 240p", "H.264 1080p"}
    assert {row["model"] for row in found["flow"]} == {"ptlflow:neuflow2", "ptlflow:raft"}
    assert {row["batch"] for row in found["flow"]} == {1, 2}
    assert all(row["pairs_per_s"] > 0 for row in found["flow"])
    (whole,) = found["ingest"]
    assert whole["frames_per_s"] > 0
    assert whole["windows"] > 0
    assert whole["gpu_waits"] is None  # nothing was asked
