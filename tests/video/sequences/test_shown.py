"""Pictures that lie upside down, or with red for blue, are shown as the user says they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.corpora.config import SequenceConfig
from sofdata.errors import ContractError
from sofdata.video.config import VideoConfig
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.conformance.barcode import TURNS, draw, read
from tests.sequences import HEIGHT, WIDTH, image_bytes


def shown(folder: Path, **options: str | None) -> NDArray[np.uint8]:
    """The first frame of a folder of pictures."""
    place = SequencePlace.of("frames", "frame_*.png", fps=10.0, **options)
    stream = SequenceStream(f"{folder}/", place, VideoConfig(), Sampling(96, 0.1))
    first: NDArray[np.uint8] = next(iter(stream)).rgb[0]
    return first


def write(folder: Path, picture: NDArray[np.uint8]) -> None:
    for number in range(2):
        data = image_bytes(np.ascontiguousarray(picture), "PNG")
        (folder / f"frame_{number}.png").write_bytes(data)


@pytest.mark.parametrize(("turn", "held"), [("flip", "flipped"), ("rotate", "upside down")])
def test_turned_pictures_are_made_upright(tmp_path: Path, turn: str, held: str) -> None:
    write(tmp_path, TURNS[held](draw(7, WIDTH, HEIGHT)))
    assert read(shown(tmp_path)).held == held
    assert read(shown(tmp_path, turn=turn)) == read(draw(7, WIDTH, HEIGHT))


def test_exchanged_colours_are_exchanged_back(tmp_path: Path) -> None:
    picture = draw(7, WIDTH, HEIGHT)
    write(tmp_path, picture)
    meant = shown(tmp_path).astype(int)
    write(tmp_path, picture[..., ::-1])
    back = shown(tmp_path, channels="bgr")
    assert read(back) == read(picture)
    assert np.abs(back - meant).max() <= 4  # what resizing rounds differently
    assert np.abs(shown(tmp_path) - meant).max() > 100


def test_the_settings_say_what_a_place_does() -> None:
    assert SequenceConfig().shown == {"turn": None, "channels": None}
    set_all = SequenceConfig(turn="flip", channels="bgr")
    place = SequencePlace.of("frames", "a*", **set_all.shown)
    assert place.text == "frames:a*?channels=bgr&turn=flip"


def test_an_unknown_turn_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, draw(7, WIDTH, HEIGHT))
    with pytest.raises(ContractError, match="unknown turn"):
        shown(tmp_path, turn="left")
