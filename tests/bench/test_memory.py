"""Windows in memory: the same as those that the loader gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sofdata.bench.study.data import BenchData
from sofdata.bench.study.memory import MemoryLoader, read_windows, small_frames
from sofdata.errors import ConfigError
from sofdata.loading.loader import Loader
from sofdata.models.action.seen import SeenBatch
from sofdata.types import ActionBatch


def test_windows_are_those_of_the_loader(data: BenchData) -> None:
    windows = read_windows(data.folders["demos"])
    batch = next(iter(Loader(data.folders["demos"], batch_size=16, shuffle=False)))
    same = windows.rows(range(16))
    assert same.keys == batch.keys
    assert torch.allclose(same.flow, batch.flow, atol=0.01)
    assert isinstance(same, ActionBatch)
    assert isinstance(batch, ActionBatch)
    assert torch.equal(same.actions, batch.actions)
    assert torch.equal(same.first, small_frames(batch.first))


def test_frames_that_are_stored_smaller_than_they_are_read_are_refused(data: BenchData) -> None:
    with pytest.raises(ConfigError, match=r"image_px is 96.*frames of 64 px.*flow\.size=96"):
        read_windows(data.folders["videos"], image_px=96)


@pytest.mark.parametrize(("stored", "px"), [(128, 64), (128, 96), (64, 64)])
def test_frames_are_made_smaller_by_means_of_areas(stored: int, px: int) -> None:
    rows = torch.arange(stored, dtype=torch.uint8)[:, None].expand(1, 3, stored, stored)
    small = small_frames(rows, px)
    assert small.shape == (1, 3, px, px)
    assert small.float().mean() == pytest.approx(rows.float().mean(), abs=0.5)


def test_an_epoch_gives_each_window_once_and_can_be_entered_anywhere(data: BenchData) -> None:
    windows = read_windows(data.folders["videos"])
    loader = MemoryLoader(windows, 8, seed=3)
    epoch = [batch.keys for batch in loader.epoch(1)]
    flat = [key for keys in epoch for key in keys]
    assert len(flat) == len(set(flat)) == 8 * loader.batches
    assert [batch.keys for batch in loader.epoch(1, 2)] == epoch[2:]
    assert [batch.keys for batch in loader.epoch(2)] != epoch


def test_few_windows_are_repeated_to_fill_a_batch(data: BenchData) -> None:
    source = next(iter(data.sources["videos"].values()))[0]
    windows = read_windows(data.folders["videos"], [source])
    size = 2 * len(windows) + 1
    (batch, *_) = MemoryLoader(windows, size).epoch(0)
    counts = np.unique(batch.keys, return_counts=True)[1]
    assert len(batch.keys) == size
    assert counts.max() <= 3


def test_text_ids_follow_to_other_texts(data: BenchData) -> None:
    windows = read_windows(data.folders["videos"])
    other = windows.with_texts(("a text of no window", *windows.texts))
    assert torch.equal(other.batch.text_ids, windows.batch.text_ids + 1)


def test_named_actions_are_masked_as_far_as_the_steps_of_a_window_are(data: BenchData) -> None:
    windows = read_windows(data.folders["videos"])
    mask = windows.batch.mask.clone()
    mask[0, 3:], mask[1, 1:] = False, False  # of 8 steps
    short = replace(windows, batch=replace(windows.batch, mask=mask))
    named = short.with_actions(torch.ones(len(windows), 16, 3)).batch
    assert isinstance(named, ActionBatch)
    assert named.action_mask.sum(1).tolist() == [6, 2, *[16] * (len(windows) - 2)]
    assert named.action_mask[0, :6].all()
    assert torch.equal(named.actions.bool().all(2), named.action_mask)
    few = short.with_actions(torch.ones(len(windows), 2, 3)).batch
    assert isinstance(few, ActionBatch)
    assert few.action_mask.sum(1).tolist() == [1, 1, *[2] * (len(windows) - 2)]


def test_videos_have_no_actions_at_all(data: BenchData) -> None:
    import json
    import tarfile
    from pathlib import Path

    folder = Path(data.folders["videos"])
    assert not isinstance(read_windows(str(folder)).batch, ActionBatch)
    assert json.loads((folder / "dataset.json").read_text()).get("actions") is None
    shards = sorted(folder.glob("shards/*.tar"))
    assert shards
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                assert "actions" not in member.name
                if member.name.endswith(".json"):
                    read = tar.extractfile(member)
                    assert read is not None
                    assert "actions" not in json.loads(read.read())


def test_a_history_is_where_earlier_windows_of_the_same_source_begin(data: BenchData) -> None:
    windows = read_windows(data.folders["demos"]).with_history(2)
    batch = windows.batch
    number = {key: row for row, key in enumerate(batch.keys)}
    rows = [row for row, key in enumerate(batch.keys) if key.endswith(("-000000", "-000001"))]
    later = [row for row, key in enumerate(batch.keys) if key.endswith("-000005")]
    assert rows
    assert later
    seen = windows.images(range(len(windows)))
    for row in rows:  # before the start the first frame is repeated
        first = batch.first[number[batch.keys[row].rpartition("-")[0] + "-000000"]]
        assert torch.equal(seen[row], torch.stack([first, first, batch.first[row]]))
    for row in later:
        source = batch.keys[row].rpartition("-")[0]
        places = [number[f"{source}-00000{window}"] for window in (3, 4, 5)]
        assert torch.equal(seen[row], batch.first[places])
    some = windows.rows(later)
    assert isinstance(some, SeenBatch)
    assert torch.equal(some.images, seen[later])


def test_a_history_stays_within_its_dataset_when_windows_are_joined(data: BenchData) -> None:
    source = next(iter(data.sources["demos"].values()))[0]
    one = read_windows(data.folders["demos"], [source]).with_history(1)
    twice = one.joined(one)
    assert twice.before is not None
    assert torch.equal(twice.before[len(one) :], twice.before[: len(one)] + len(one))


def test_a_frame_whose_window_was_rejected_is_the_next_later_one(data: BenchData) -> None:
    source = next(iter(data.sources["demos"].values()))[0]
    all_of_it = read_windows(data.folders["demos"], [source])
    some = replace(all_of_it, batch=all_of_it.rows([0, 1, 3])).with_history(2)
    assert some.before is not None
    assert some.before.tolist() == [[0, 0], [0, 0], [1, 2]]
