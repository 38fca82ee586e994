"""What must not be shown holds on the clock of the file, and of the video that it was said of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sofdata.video.config import VideoConfig
from sofdata.video.hidden import on_file_clock
from sofdata.video.probe import Unusable
from sofdata.video.reader import VideoStream, open_video
from sofdata.video.sampling import Sampling
from tests.videos import moving_square, write_video

HIDDEN_S = ((1.0, 1.5),)


def sampling(lasts_s: float | None) -> Sampling:
    return Sampling(32, 0.1, None, HIDDEN_S, "", lasts_s)


def opened(path: Path, lasts_s: float | None, late_s: float = 0.0) -> VideoStream:
    times = [late_s + number / 10 for number in range(30)]
    write_video(path, moving_square(30), 10, pts=times)
    return open_video(path, VideoConfig(), sampling(lasts_s))


def shown(stream: VideoStream) -> list[float]:
    times: list[float] = []
    for frames in stream:
        times += [float(each) for each in frames.pts_s if not times or each > times[-1]]
    return times


@pytest.mark.parametrize("lasts_s", [None, 3.0, 2.5, 3.5])
def test_a_file_as_long_as_its_video_is_shown_but_for_what_is_hidden(
    lasts_s: float | None, tmp_path: Path
) -> None:
    found = shown(opened(tmp_path / "a.mp4", lasts_s))
    assert len(found) == 24
    assert not [each for each in found if 1.0 <= each <= 1.5]


@pytest.mark.parametrize("lasts_s", [1.0, 2.2, 3.8, 60.0])
def test_a_file_of_another_length_is_not_shown(lasts_s: float, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"lasts 3\.00 s") as error:
        opened(tmp_path / "a.mp4", lasts_s)
    assert error.value.reason == "bad_redaction"


def test_what_is_hidden_counts_from_where_players_count(tmp_path: Path) -> None:
    found = shown(opened(tmp_path / "a.mkv", 3.0, late_s=0.7))
    assert min(found) == 0
    assert not [each for each in found if 1.0 <= each <= 1.5]
    assert len(found) == 24


def test_where_the_first_frame_comes_late_both_ways_to_count_are_hidden(tmp_path: Path) -> None:
    info = opened(tmp_path / "a.mp4", 3.0).info
    late = replace(info, start_s=info.start_s + 0.7)
    (found,) = on_file_clock(sampling(3.0), late, "a").hidden_s
    assert found == pytest.approx((1.0, 2.2))


def test_a_clock_that_begins_again_tells_nothing_of_what_to_hide(tmp_path: Path) -> None:
    info = opened(tmp_path / "a.mp4", 3.0).info
    with pytest.raises(Unusable, match="begins again"):
        on_file_clock(sampling(3.0), replace(info, restarts=1), "a")
