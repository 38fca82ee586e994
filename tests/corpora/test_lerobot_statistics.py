"""`sofdata.corpora.lerobot.statistics`: what numpy finds in all the data, from what passes by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from sofdata.corpora.lerobot.statistics import (
    QUANTILES,
    Pictures,
    Statistics,
    of_numbers,
    reduction,
    sampled,
)
from sofdata.corpora.lerobot.writer import STATE, Episode, LeRobotWriter
from sofdata.errors import ContractError
from tests.lerobots import EPISODES, TOP, WRIST


def known(rows: NDArray[Any]) -> dict[str, Any]:
    """By numpy, over the rows of [M,D]."""
    values = rows.astype(np.float64)
    found = {name: np.quantile(values, at, axis=0) for name, at in QUANTILES.items()}
    return found | {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
    }


def assert_known(found: Statistics, rows: NDArray[Any], count: int, scale: float = 1.0) -> None:
    expected = known(rows)
    assert found.keys() == {*expected, "count"}
    assert found["count"] == [count]
    for name, value in expected.items():
        np.testing.assert_allclose(np.ravel(found[name]), value * scale, rtol=1e-9, atol=1e-12)


def pixels(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frames.reshape(-1, 3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(1, 4, 6), (9, 32, 32), (100, 8, 8)])
def test_pictures_are_counted_exactly(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 257, 2).tolist())
    frames = rng.integers(low, max(high, low + 1), (*shape, 3)).astype(np.uint8)
    found = Pictures.of_episode(frames).statistics()
    assert_known(found, pixels(frames), shape[0], 1 / 255)
    assert np.array(found["q50"]).shape == (3, 1, 1)


def test_pictures_of_one_level_have_no_spread() -> None:
    for level in (0, 255):
        found = Pictures.of_episode(np.full((3, 4, 4, 3), level, np.uint8)).statistics()
        assert found["std"] == [[[0.0]]] * 3
        assert {found[name][0][0][0] for name in (*QUANTILES, "min", "max")} == {level / 255}


def test_episodes_are_counted_together() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, top, (5, 8, 8, 3)).astype(np.uint8) for top in (256, 90)]
    whole = Pictures()
    for part in parts:
        whole.merge(Pictures.of_episode(part))
    assert_known(whole.statistics(), pixels(np.concatenate(parts)), 10, 1 / 255)


def test_of_long_episodes_some_frames_are_counted_and_of_large_frames_some_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (120, 30, 320, 3)).astype(np.uint8)
    chosen = sampled(120)
    assert (len(chosen), chosen[0], chosen[-1]) == (100, 0, 119)
    found = Pictures.of_episode(frames).statistics()
    assert_known(found, pixels(frames[chosen][:, ::2, ::2]), 100, 1 / 255)


@pytest.mark.parametrize(
    ("frames", "number"), [(1, 1), (7, 7), (100, 100), (300, 100), (1000, 177), (10_000, 1000)]
)
def test_as_many_frames_are_counted_as_lerobot_counts(frames: int, number: int) -> None:
    """As its `estimate_num_samples` says."""
    chosen = sampled(frames)
    assert len(chosen) == len(set(chosen)) == number
    assert chosen == sorted(chosen)
    assert 0 <= chosen[0] <= chosen[-1] == frames - 1


@pytest.mark.parametrize(
    ("size", "step"), [((299, 10), 1), ((300, 10), 2), ((480, 640), 4), ((1080, 1920), 12)]
)
def test_large_pictures_are_thinned_as_lerobot_does(size: tuple[int, int], step: int) -> None:
    assert reduction(*size) == step


@pytest.mark.parametrize("rows", [1, 2, 3, 57])
def test_numbers_are_counted_exactly(rows: int) -> None:
    rng = np.random.default_rng(rows)
    assert_known(of_numbers(values := rng.normal(size=(rows, 4))), values, rows)
    count = np.arange(rows)
    assert_known(of_numbers(count), count[:, None], rows)


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(ContractError, match="need a frame"):
        Pictures().statistics()


def test_a_written_dataset_has_statistics_of_all_and_of_each_episode(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    writer = LeRobotWriter(
        tmp_path, fps=10, action_names=("a", "b"), state_names=("s",), episodes_per_file=2
    )
    episodes = []
    for length in (5, 1, 8):
        frames = {
            camera: rng.integers(0, 200 + length, (length, 16, 32, 3)).astype(np.uint8)
            for camera in (TOP, WRIST)
        }
        actions = rng.normal(size=(length, 2)).astype(np.float32)
        state = rng.normal(size=(length, 1)).astype(np.float32)
        episodes.append(Episode(frames, actions, "go", state))
        writer.add(episodes[-1])
    writer.finish()
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    rows = pq.ParquetFile(tmp_path / EPISODES).read().to_pylist()
    own = [
        {key.split("/")[2]: row[key] for key in row if key.startswith(f"stats/{WRIST}/")}
        for row in rows
    ]
    for found, episode in zip(own, episodes, strict=True):
        assert_known(found, pixels(episode.frames[WRIST]), len(episode), 1 / 255)
    everything = np.concatenate([episode.frames[TOP] for episode in episodes])
    assert_known(stats[TOP], pixels(everything), 14, 1 / 255)
    assert_known(stats["action"], np.concatenate([each.actions for each in episodes]), 14)
    assert stats[STATE].keys() == stats["timestamp"].keys() == stats[TOP].keys()
    assert rows[2]["stats/index/min"] == [6.0]
    assert stats["task_index"]["max"] == [0.0]
    features = json.loads((tmp_path / "meta/info.json").read_text())["features"]
    assert features.keys() == stats.keys()
    assert features[TOP]["info"]["video.width"] == 32
