"""`sofdata.shards.stats`: merged sums equal those of all vectors together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sofdata.shards.schema import FlowStatistics
from sofdata.shards.stats import FlowSums, Merged


def summarise(parts: list[FlowStatistics]) -> dict[str, Any]:
    merged = Merged()
    for part in parts:
        merged.add(part)
    return merged.summary()


def test_merged_statistics_are_those_of_all_vectors() -> None:
    rng = np.random.default_rng(0)
    windows = [rng.normal((1, -2), 3, (length, 8, 8, 2)).astype(np.float32) for length in (2, 8, 5)]
    parts = []
    for window in windows:
        sums = FlowSums()
        sums.add(window)
        parts.append(sums.record())
    found = summarise(parts)
    vectors = np.concatenate([window.reshape(-1, 2) for window in windows]).astype(np.float64)
    assert found["vectors"] == len(vectors)
    assert found["mean_px"] == pytest.approx(vectors.mean(axis=0), abs=1e-5)
    assert found["std_px"] == pytest.approx(vectors.std(axis=0), abs=1e-5)
    p99 = np.percentile(np.linalg.norm(vectors, axis=1), 99, method="higher")
    assert p99 * 0.9999 <= found["p99_px"] <= p99 * 1.0101


def test_no_motion_at_all_has_zero_statistics() -> None:
    sums = FlowSums()
    sums.add(np.zeros((2, 4, 4, 2), np.float32))
    assert summarise([sums.record()])["p99_px"] == 0.0
    assert summarise([])["vectors"] == 0
