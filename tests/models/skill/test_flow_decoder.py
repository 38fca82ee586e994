"""`sofdata.models.skill.flow_decoder`: parts that move as their flow says, and what they carry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sofdata.models.skill.flow_decoder import DecoderShape, FlowDecoder, middles
from sofdata.models.skill.pixels import reduced

WIDTH = 24
STRIDE = 0.25  # a flow of 1 moves by a quarter of half a side: at 32 px by 4 px


def decoder(size: int = 32, parts: int = 2) -> FlowDecoder:
    torch.manual_seed(0)
    return FlowDecoder(DecoderShape(size, WIDTH, STRIDE, parts))


def pictures(number: int) -> Tensor:
    noise = torch.randint(0, 255, (number, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    return reduced(noise.to(torch.uint8))


def with_square(monkeypatch: pytest.MonkeyPatch) -> FlowDecoder:
    """A decoder whose only part is a square, and that makes no flow at all yet."""
    made = decoder(parts=1)
    square = torch.zeros(1, 1, 32, 32)
    square[..., 10:14, 6:10] = 1.0
    monkeypatch.setattr(made.cut, "forward", lambda window, image: square)
    for layer in (made.motions, made.shown, made.canvases, made.smooth):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(made.shown.bias, 100.0)
    return made


def test_a_part_lies_where_its_own_flow_has_carried_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_square(monkeypatch)
    made.motions.bias.data = torch.tensor([0.5, 0.25])  # 2 px to the right, 1 px down a step
    flow = made(torch.zeros(1, 5, WIDTH), pictures(1))
    for step in range(5):
        wanted = torch.zeros(2, 32, 32)
        x, y = 6 + 2 * step, 10 + step
        wanted[:, y : y + 4, x : x + 4] = torch.tensor([0.5, 0.25])[:, None, None]
        torch.testing.assert_close(flow[0, step], wanted)


def test_a_canvas_goes_along_with_its_part_which_may_be_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = with_square(monkeypatch)
    nn.init.constant_(made.shown.bias, -100.0)
    made.motions.bias.data = torch.tensor([0.5, 0.25])
    canvas = torch.zeros(2, 16, 16)
    canvas[0, 7:9, 7:9] = 3.0  # the middle four pixels
    made.canvases.bias.data = canvas.flatten()
    flow = made(torch.zeros(1, 3, WIDTH), pictures(1))
    for step in range(3):
        wanted = torch.zeros(2, 32, 32)
        x, y = 7 + 2 * step, 11 + step  # the middle of the square
        wanted[0, y : y + 2, x : x + 2] = 3.0
        torch.testing.assert_close(flow[0, step], wanted, atol=5e-3, rtol=0)


def test_the_middle_of_a_mask_is_its_centre_of_mass() -> None:
    masks = torch.zeros(1, 2, 32, 32)
    masks[0, 0, 10:14, 6:10] = 1.0
    found = middles(masks)
    torch.testing.assert_close(found[0, 0], torch.tensor([-0.5, -0.25]), atol=1e-3, rtol=0)
    assert found[0, 1].tolist() == [0, 0]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_chosen_steps_are_those_of_all(size: int) -> None:
    made, steps, image = decoder(size), torch.randn(3, 6, WIDTH), pictures(3)
    chosen = torch.tensor([[5, 0], [1, 2], [4, 3]])
    whole = made(steps, image)
    assert whole.shape == (3, 6, 2, size, size)
    some = made(steps, image, chosen)
    torch.testing.assert_close(some, whole[torch.arange(3)[:, None], chosen])
