"""`sofdata.models.action.space`: the statistics are those of all actions at once."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import Tensor

from sofdata.errors import ConfigError, ContractError
from sofdata.models.action.space import STD_LEAST, ActionSpace, measure_actions
from sofdata.types import ActionBatch, Batch
from tests.models.toy_actions import batch_of


def windows(actions: Tensor, lengths: list[int] | None = None, seed: int = 0) -> ActionBatch:
    return batch_of(torch.zeros(len(actions), 2), actions, lengths, seed)


def random_actions(size: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    actions = torch.randn(size, 6, 4, generator=random) * torch.tensor([2.0, 0.1, 1.0, 1.0]) + 5
    actions[..., 2] = torch.where(actions[..., 2] > 5, 1.0, -1.0)
    actions[..., 3] = 7.0
    return actions


def test_one_pass_gives_the_statistics_of_all_actions() -> None:
    parts = [random_actions(size, size) for size in (5, 1, 8)]
    space = measure_actions(windows(part) for part in parts)
    everything = torch.cat(parts).flatten(0, 1).double()
    assert space.mean == pytest.approx(everything.mean(dim=0).tolist())
    std = everything.std(dim=0, correction=0).tolist()
    assert space.std == pytest.approx([*std[:3], 1.0])
    assert space.low == tuple(everything.amin(dim=0).tolist())
    assert space.high == tuple(everything.amax(dim=0).tolist())
    assert space.values == ((), (), (-1.0, 1.0), ())
    assert (space.size, space.chunk) == (4, 6)


def test_the_way_windows_are_batched_does_not_matter() -> None:
    actions = random_actions(12, 0)
    whole = measure_actions([windows(actions)])
    parted = measure_actions(windows(part) for part in (actions[:1], actions[1:7], actions[7:]))
    assert parted.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parted.std == pytest.approx(whole.std, rel=1e-12)
    assert (parted.low, parted.high, parted.values) == (whole.low, whole.high, whole.values)


def test_padding_is_not_measured_and_the_chunk_is_the_longest_window() -> None:
    actions = torch.ones(3, 6, 2) * torch.arange(1.0, 7.0)[:, None]
    space = measure_actions([windows(actions, lengths=[2, 4, 0])])
    assert space.chunk == 4
    assert space.low == (1.0, 1.0)
    assert space.high == (4.0, 4.0)
    assert space.mean == pytest.approx([13 / 6, 13 / 6])


def test_a_dimension_that_hardly_varies_is_not_blown_up() -> None:
    actions = torch.full((1, 2, 2), 0.5)
    actions[0, 1, 0] += 1e-6
    assert measure_actions([windows(actions)]).std == (STD_LEAST, 1.0)


def test_two_values_that_come_in_different_batches_are_a_pair() -> None:
    low, high, third = (torch.full((2, 3, 1), value) for value in (0.0, 1.0, 0.5))
    assert measure_actions([windows(low), windows(high)]).values == ((0.0, 1.0),)
    assert measure_actions([windows(low), windows(high), windows(third)]).values == ((),)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_actions_that_are_not_finite_are_refused_by_sample(bad: float) -> None:
    batch = windows(random_actions(3, 0))
    batch.actions[1, 4, 0] = bad
    with pytest.raises(ConfigError, match=rf"not finite.*{batch.keys[1]}: fix"):
        measure_actions([batch])


def test_demonstrations_with_different_dimensions_are_refused() -> None:
    other = windows(torch.ones(1, 6, 7), seed=3)
    with pytest.raises(ConfigError, match=rf"{other.keys[0]} have 7 dimensions.* 4"):
        measure_actions([windows(random_actions(2, 0)), other])


def test_windows_without_actions_are_refused_with_a_way_out() -> None:
    demonstrations = windows(random_actions(2, 0))
    names = [field.name for field in dataclasses.fields(Batch)]
    plain = Batch(**{name: getattr(demonstrations, name) for name in names})
    empty = windows(torch.zeros(2, 6, 4), lengths=[0, 0])
    for batches in ([plain], [empty], []):
        with pytest.raises(ConfigError, match="--with-actions"):
            measure_actions(batches)


def test_a_space_survives_json() -> None:
    space = measure_actions([windows(random_actions(4, 1))])
    assert ActionSpace.parse(json.loads(json.dumps(dataclasses.asdict(space)))) == space


def test_a_space_that_does_not_fit_together_is_refused() -> None:
    space = measure_actions([windows(random_actions(4, 1))])
    with pytest.raises(ContractError):
        dataclasses.replace(space, mean=(0.0,))
