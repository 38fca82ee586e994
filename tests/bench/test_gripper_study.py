"""The study of what is seen of the gripper: crops lie around the finger, and a network learns from
them."""

from __future__ import annotations

import torch

from tests.helpers import script

gripper = script("study/gripper")


def pictures(number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures of a finger, where it is, and whether another is near it."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((number, 3, 64, 64), 0.4)
    places = torch.randint(0, 60, (number, 2), generator=generator)
    shut = torch.arange(number) % 2 == 0
    for image, (y, x), near in zip(images, places.tolist(), shut.tolist(), strict=True):
        image[:, y : y + 4, x : x + 2] = torch.tensor([0.1, 0.9, 0.9])[:, None, None]
        if near:
            image[:, y : y + 4, max(x - 2, 0) : x] = 1.0
    return images, places, shut


def test_a_crop_lies_around_the_finger_and_a_picture_without_one_is_known() -> None:
    images, places, _ = pictures(40)
    images[0] = 0.4
    crops, found = gripper.near_hand(images)
    assert crops.shape == (40, 3, 16, 16)
    assert found.tolist() == [False, *[True] * 39]
    for crop, (y, x) in zip(crops[1:], places[1:].tolist(), strict=True):
        rows, columns = (crop[1] - crop[0] > 0.5).nonzero().float().mean(0).tolist()
        assert abs(rows - 8) <= 1 or not 8 <= y <= 52
        assert abs(columns - 8) <= 1 or not 8 <= x <= 52


def test_a_network_names_what_is_seen_near_the_hand() -> None:
    images, _, shut = pictures(120)
    crops, found = gripper.near_hand(images)
    commands = torch.where(shut, 1.0, -1.0)
    model = gripper.fit(crops[:80], commands[:80], 60)
    with torch.no_grad():
        named = model(crops[80:] - 0.5)[:, 0]
    assert found.all()
    assert ((named > 0) == shut[80:]).float().mean() > 0.9
    assert (
        gripper.row("a", "near", commands, commands) == "| a | near | 0.00 | 0.00 | 1.00 | 1.00 |"
    )
