"""`sofdata.models.action.layers`: readers, heads and the random shift."""

from __future__ import annotations

import pytest
import torch

from sofdata.models.action.layers import FlowReader, Heads, at_actions, draw_offsets, shift

KEYS = tuple(f"video-{n:06d}" for n in range(40))


def test_a_shift_moves_the_view_and_repeats_the_edge() -> None:
    picture = torch.arange(12.0).reshape(1, 1, 3, 4)
    moved = shift(picture, torch.tensor([[1, -2]]))[0, 0]
    assert moved.tolist() == [[4, 4, 4, 5], [8, 8, 8, 9], [8, 8, 8, 9]]
    assert torch.equal(shift(picture, torch.zeros(1, 2, dtype=torch.int64)), picture)


def test_each_sample_of_a_batch_has_its_own_shift() -> None:
    picture = torch.arange(5.0).expand(2, 3, 5, 5)
    moved = shift(picture, torch.tensor([[0, 1], [0, -1]]))
    assert moved[0, 2, 3].tolist() == [1, 2, 3, 4, 4]
    assert moved[1, 0, 0].tolist() == [0, 0, 1, 2, 3]


def test_offsets_cover_their_range_and_differ_from_step_to_step() -> None:
    offsets = draw_offsets(KEYS, 3, 2)
    assert offsets.shape == (40, 2)
    assert set(offsets.flatten().tolist()) == {-2, -1, 0, 1, 2}
    assert not torch.equal(draw_offsets(KEYS, 4, 2), offsets)


def test_offsets_of_a_sample_are_the_same_in_any_batch() -> None:
    assert torch.equal(draw_offsets(KEYS, 3, 4)[10:20], draw_offsets(KEYS[10:20], 3, 4))


def test_flow_features_are_read_at_the_middle_of_each_action() -> None:
    steps = torch.arange(8.0).reshape(1, 8, 1) + 0.5  # the time of each step's middle, in steps
    assert at_actions(steps, 8).flatten().tolist() == pytest.approx(steps.flatten().tolist())
    assert at_actions(steps, 4).flatten().tolist() == pytest.approx([1, 3, 5, 7])
    doubled = at_actions(steps, 16).flatten()
    assert doubled[1:-1].tolist() == pytest.approx([0.75 + n / 2 for n in range(14)])


@pytest.mark.parametrize("size", [16, 40, 64])
def test_the_flow_reader_takes_flow_of_any_size(size: int) -> None:
    reader = FlowReader(5, width=32, layers=2)
    assert reader(torch.randn(2, 8, 2, size, size)).shape == (2, 5, 32)


def test_only_the_gripper_comes_from_its_own_head() -> None:
    torch.manual_seed(0)
    heads, features = Heads(8, 3, gripper=1), torch.randn(2, 4, 8)
    before = heads(features)
    assert isinstance(heads.gripper, torch.nn.Module)
    with torch.no_grad():
        for weight in heads.gripper.parameters():
            weight.add_(1.0)
    changed = (heads(features) != before).any(dim=0).any(dim=0)
    assert changed.tolist() == [False, True, False]
