"""What a corpus says of stretches of a video: texts by time, and stretches that are hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import ContractError
from sofdata.types import Annotations, TimedText, merged
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling, select
from tests.videos import quadrants, write_video

CUP, PLATE = TimedText(1.0, 3.0, "cup"), TimedText(2.0, 6.0, "plate")


def test_the_text_that_covers_most_is_taken_and_the_first_of_equals() -> None:
    found = Annotations((CUP, PLATE))
    assert found.text_at(0.0, 2.5) == "cup"
    assert found.text_at(2.5, 4.0) == "plate"
    assert found.text_at(2.0, 3.0) == "cup"
    assert found.text_at(0.0, 1.0) == found.text_at(6.0, 9.0) == ""


def test_stretches_that_touch_are_joined() -> None:
    assert merged([(5, 6), (1, 2), (2, 3), (5.5, 5.7)]) == ((1, 3), (5, 6))
    assert merged([]) == ()
    with pytest.raises(ContractError, match="before it starts"):
        merged([(2, 1)])


def test_what_does_not_hang_together_is_refused() -> None:
    with pytest.raises(ContractError, match="sorted by start"):
        Annotations((PLATE, CUP))
    with pytest.raises(ContractError, match="sorted and apart"):
        Annotations(hidden_s=((1, 3), (2, 4)))
    with pytest.raises(ContractError, match="no stretch"):
        TimedText(2.0, 2.0, "nothing")
    assert not Annotations()


def test_no_frame_is_sampled_in_a_hidden_stretch_and_sampling_begins_anew_after_it() -> None:
    times = np.arange(40) * 0.05
    kept = times[select(times, 0.2, None, ((0.5, 1.0), (1.52, 1.58)))]
    assert not [t for t in kept if 0.5 <= t <= 1.0 or 1.52 <= t <= 1.58]
    assert kept[kept > 1.0][0] == pytest.approx(1.05)
    assert kept[kept < 0.5][-1] == pytest.approx(0.4)
    assert list(kept[kept > 1.58]) == pytest.approx([1.6, 1.8, 1.95])


@pytest.mark.parametrize("rotation", [0, 90])
def test_the_left_one_of_two_views_is_seen_as_it_is_shown(tmp_path: Path, rotation: int) -> None:
    """Of four quadrants as shown, red and blue are on the left."""
    shown = quadrants(12, 96, 64)
    stored = shown if not rotation else np.rot90(shown, -1, axes=(1, 2))
    path = write_video(tmp_path / "a.mp4", stored, 12, rotation=rotation)
    (frames,) = open_video(path, VideoConfig(), Sampling(32, 0.1, eye="left"))
    assert frames.rgb.shape[1:] == (32, 32, 3)
    red, blue = frames.rgb[0, 4:12, 4:26], frames.rgb[0, 20:28, 4:26]
    assert red[..., 0].min() > 120 > red[..., 1:].max()
    assert blue[..., 2].min() > 120 > blue[..., :2].max()
