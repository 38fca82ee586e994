"""`sofdata.models.flow_decoder`: parts that move as their flow says, and chosen steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sofdata.models.flow_decoder import Cutouts, DecoderShape, FlowDecoder
from sofdata.models.pixels import FrameEncoder, reduced

CHANNELS = (8, 12, 16)
STRIDE = 0.25  # a flow of 1 moves by a quarter of half a side: at 32 px by 4 px


def shape(size: int = 32, cutouts: int = 2, movers: int = 4) -> DecoderShape:
    return DecoderShape(size, 24, STRIDE, CHANNELS, masks=3, movers=movers, cutouts=cutouts)


def pictures(number: int) -> Tensor:
    noise = torch.randint(0, 255, (number, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    return reduced(noise.to(torch.uint8))


def test_a_part_lies_where_its_own_flow_has_carried_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cutouts = Cutouts(shape(cutouts=1))
    square = torch.zeros(1, 1, 32, 32)
    square[..., 10:14, 6:10] = 1.0
    monkeypatch.setattr(cutouts, "cut", lambda window, image: square)
    nn.init.zeros_(cutouts.motions.weight)
    cutouts.motions.bias.data = torch.tensor([0.5, 0.25])  # 2 px to the right, 1 px down a step
    flow = cutouts(torch.zeros(1, 5, 24), pictures(1), None)
    for step in range(5):
        wanted = torch.zeros(2, 32, 32)
        x, y = 6 + 2 * step, 10 + step
        wanted[:, y : y + 4, x : x + 4] = torch.tensor([0.5, 0.25])[:, None, None]
        torch.testing.assert_close(flow[0, step], wanted)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(("cutouts", "movers"), [(2, 4), (0, 0)])
def test_chosen_steps_are_those_of_all(size: int, cutouts: int, movers: int) -> None:
    torch.manual_seed(0)
    decoder, encoder = FlowDecoder(shape(size, cutouts, movers)), FrameEncoder(CHANNELS)
    steps, image = torch.randn(3, 6, 24), pictures(3)
    chosen = torch.tensor([[5, 0], [1, 2], [4, 3]])
    whole = decoder(steps, encoder(image), image)
    assert whole.shape == (3, 6, 2, size, size)
    some = decoder(steps, encoder(image), image, chosen)
    torch.testing.assert_close(some, whole[torch.arange(3)[:, None], chosen])
