"""`sofdata.loading.collate`: shapes follow from the dataset, and what does not fit it is named."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import InputError
from sofdata.loading.catalog import Geometry, ShardFile
from sofdata.loading.collate import Collate
from sofdata.loading.reader import Stored
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from sofdata.types import ActionBatch, Batch

GEOMETRY = Geometry(steps=8, flow_px=64, frame_px=128)
WITH_ACTIONS = replace(GEOMETRY, actions=5, dimension=2)


@pytest.fixture(scope="module")
def samples(dataset: Path) -> list[Stored]:
    shard = ShardFile(Tree(str(dataset)), f"shards/{min(dataset.glob('shards/*.tar')).name}")
    with shard.tree.open(shard.rel) as stream:
        return [Stored(key, members, shard) for key, _, members in read_samples(stream, shard.rel)]


def collate(samples: list[Stored], geometry: Geometry = GEOMETRY) -> Batch:
    texts = sorted({decoded(sample).record.text for sample in samples})
    maker = Collate(texts, geometry, slots=None)
    return maker.to_batch(maker(samples))


def decoded(sample: Stored) -> DecodedSample:
    return decode_sample(sample.key, sample.members)


def with_actions(sample: Stored, number: int, dimension: int, value: float) -> Stored:
    """The same sample with `number` actions, all of this value."""
    record = json.loads(sample.members["json"])
    record["actions"] = {
        "names": [f"a{place}" for place in range(dimension)],
        "dimension": dimension,
        "times_s": [record["start_s"] + place / 100 for place in range(number)],
    }
    data = io.BytesIO()
    np.save(data, np.full((number, dimension), value, "<f4"))
    more = {"json": json.dumps(record).encode(), "actions.npy": data.getvalue()}
    return replace(sample, members={**sample.members, **more})


def test_flow_and_frames_are_those_of_the_samples(samples: list[Stored]) -> None:
    batch = collate(samples)
    assert not isinstance(batch, ActionBatch)
    for row, sample in enumerate(map(decoded, samples)):
        steps = len(sample.flow)
        np.testing.assert_array_equal(batch.flow[row, :steps].permute(0, 2, 3, 1), sample.flow)
        np.testing.assert_array_equal(batch.first[row].permute(1, 2, 0), sample.first)
        np.testing.assert_array_equal(batch.last[row].permute(1, 2, 0), sample.last)


def test_actions_are_padded_to_the_length_of_the_dataset(samples: list[Stored]) -> None:
    pair = [with_actions(samples[0], 3, 2, 1.0), with_actions(samples[1], 4, 2, 2.0)]
    batch = collate(pair, WITH_ACTIONS)
    assert isinstance(batch, ActionBatch)
    assert batch.actions.shape == (2, 5, 2)
    assert batch.action_mask.sum(1).tolist() == [3, 4]
    assert batch.actions[..., 0].tolist() == [[1, 1, 1, 0, 0], [2, 2, 2, 2, 0]]


@pytest.mark.parametrize(
    ("geometry", "told"),
    [
        (Geometry(steps=8, flow_px=32, frame_px=128), r"flow of \[64, 64\] px"),
        (Geometry(steps=8, flow_px=64, frame_px=96), r"frames of \[128, 128\]"),
        (Geometry(steps=4, flow_px=64, frame_px=128), "8 steps .* up to 4 steps"),
        (WITH_ACTIONS, "actions have dimension 0, those of its dataset 2"),
    ],
)
def test_a_sample_that_does_not_fit_its_dataset_is_named(
    samples: list[Stored], geometry: Geometry, told: str
) -> None:
    with pytest.raises(InputError, match=f"{samples[0].key} of shards/.*{told}"):
        collate(samples[:1], geometry)


def test_actions_of_another_dimension_are_told(samples: list[Stored]) -> None:
    with pytest.raises(InputError, match="dimension 4, those of its dataset 2"):
        collate([with_actions(samples[0], 3, 4, 0.0)], WITH_ACTIONS)


def test_a_text_that_no_index_lists_is_told(samples: list[Stored]) -> None:
    with pytest.raises(InputError, match="text that the index does not list"):
        Collate(["another"], GEOMETRY, slots=None)(samples[:1])
