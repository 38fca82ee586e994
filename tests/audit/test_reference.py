"""The plain decode that datasets are compared with; tests/conformance shows it many films."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sofdata.audit.child import reduced
from sofdata.audit.compare import check_place
from sofdata.audit.reference import Lying, _believable, _from_matrix, frames, time_frames
from sofdata.audit.seen import nearest, numbers_wanted
from sofdata.errors import DecodeError
from sofdata.shards.schema import SampleRecord
from sofdata.types import Annotations, TimedText, VideoRef
from tests.videos import cut_off, moving_square, quadrants, write_video

ONE = 65536.0


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((1, 0, 0, 1), (0, 0)),
        ((-1, 0, 0, 1), (0, 2)),
        ((1, 0, 0, -1), (1, 0)),
        ((-1, 0, 0, -1), (1, 2)),
        ((0, 1, -1, 0), (0, 1)),  # a quarter clockwise: upper left comes upper right
        ((0, -1, 1, 0), (2, 0)),
        ((0, 1, 1, 0), (0, 0)),
        ((0, -1, -1, 0), (2, 1)),
    ],
)
def test_a_matrix_moves_the_upper_left_corner(
    matrix: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    picture = np.zeros((2, 3), np.uint8)
    picture[0, 0] = 1
    a, b, c, d = (ONE * number for number in matrix)
    upright = _from_matrix(a, b, c, d).upright(picture)
    assert np.argwhere(upright).tolist() == [list(corner)]


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1)])
def test_a_matrix_without_meaning_turns_nothing(matrix: tuple[int, int, int, int]) -> None:
    assert _from_matrix(*(ONE * number for number in matrix)) == Lying()


def test_times_of_coding_are_sorted() -> None:
    times = [0.04, 0.12, 0.08, 0.2, 0.16, 0.28, 0.24]
    assert _believable(times, None)[0] == pytest.approx(sorted(times))


def test_a_frame_without_a_time_lies_between_its_neighbours() -> None:
    times, restarts = _believable([None, 0.1, None, None, 0.4, 0.4, 0.6, None], 0.1)
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert restarts == 0


def test_a_clock_that_starts_anew_goes_on_after_a_second() -> None:
    one = [1.4 + place / 10 for place in range(30)]
    times, restarts = _believable([*one, *one], None)
    assert restarts == 1
    assert np.diff(times)[29] == pytest.approx(1.0)
    assert np.delete(np.diff(times), 29) == pytest.approx(0.1)


def test_what_is_left_of_a_file_is_seen_and_what_is_lost_counted(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mkv", moving_square(60), 30)
    part = cut_off(whole, 0.6, tmp_path / "b.mkv")
    assert len(time_frames(str(whole)).times_s) == 60
    assert 10 < len(time_frames(str(part)).times_s) < 50


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(DecodeError, match="cannot be opened"):
        time_frames(str(tmp_path / "a.mp4"))


def test_frames_are_turned_upright(tmp_path: Path) -> None:
    stored = np.rot90(quadrants(3), -1, axes=(1, 2))
    path = write_video(tmp_path / "a.mp4", np.ascontiguousarray(stored), 10, rotation=90)
    shown = list(frames(str(path)))
    assert len(shown) == 3
    assert shown[0].picture.shape == (64, 96, 3)
    assert shown[0].picture[16, 24].argmax() == 0  # red upper left
    assert shown[0].picture[16, 72].argmax() == 1


def test_some_frames_are_the_same_as_among_all(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "a.mp4", moving_square(20), 10))
    every = list(frames(path))
    some = list(frames(path, wanted=[3, 7]))
    assert [frame.time_s for frame in some] == pytest.approx([0.3, 0.7])
    np.testing.assert_array_equal(some[1].picture, every[7].picture)


def test_frames_leave_no_threads_behind(tmp_path: Path) -> None:
    """The memory of the process is limited, and each thread has a stack in it."""
    path = write_video(tmp_path / "a.mp4", moving_square(20, 640, 480), 25)
    numbers = [len(os.listdir("/proc/self/task")) for _ in frames(str(path))]
    assert len(set(numbers)) == 1


def test_the_left_one_of_two_views_is_looked_at() -> None:
    both = np.zeros((40, 80, 3), np.uint8)
    both[:, :40] = 200
    assert (reduced(both, 16, "stretch", "left") == 200).all()
    assert (reduced(both, 16, "crop", "left") == 200).all()
    assert reduced(both, 16, "stretch", "").mean() == pytest.approx(100)


def test_frames_beside_and_a_step_away_are_wanted() -> None:
    times = np.arange(30) / 10
    assert nearest(times, 0.26) == 3
    assert nearest(times, 99.0) == 29
    assert numbers_wanted(times, [[1.0, 1.4, 1.8]], 0.4) == [6, 9, 10, 11, 14, 17, 18, 19, 22]


def _record(pts_s: list[float], text: str = "") -> SampleRecord:
    return SampleRecord.model_validate(
        {
            "key": "a-0",
            "source": "a",
            "window": 0,
            "start_s": pts_s[0],
            "end_s": pts_s[-1],
            "pts_s": pts_s,
            "cut": "start",
            "text": text,
            "labels": {},
            "motion": {},
            "flow": {},
            "estimator": "dis",
            "video_size": (8, 8),
            "frame_size": (8, 8),
            "fit": "stretch",
        }
    )


def _ref(**said: object) -> VideoRef:
    return VideoRef(id="a", uri="a.mp4", size_bytes=1, fingerprint="", **said)  # type: ignore[arg-type]


def _kinds(record: SampleRecord, ref: VideoRef) -> list[str]:
    return [finding.kind for finding in check_place(record, ref, 0.5)]


def test_a_window_in_a_redacted_stretch_is_found() -> None:
    ref = _ref(annotations=Annotations(hidden_s=((1.0, 2.0),)))
    assert _kinds(_record([0.5, 0.7, 0.9]), ref) == []
    assert _kinds(_record([0.8, 0.9, 1.0]), ref) == ["redacted"]
    assert _kinds(_record([0.9, 1.3, 1.7, 2.1]), ref) == ["redacted"]
    assert _kinds(_record([2.1, 2.2]), ref) == []


def test_a_window_outside_its_span_is_found() -> None:
    assert _kinds(_record([1.0, 1.2]), _ref(span_s=(1.0, 2.0))) == []
    assert _kinds(_record([0.9, 1.2]), _ref(span_s=(1.0, 2.0))) == ["span"]
    assert _kinds(_record([1.9, 2.1]), _ref(span_s=(1.0, 2.0))) == ["span"]


def test_a_window_over_a_gap_is_found() -> None:
    assert _kinds(_record([1.0, 1.6]), _ref()) == ["gap"]


def test_the_text_of_the_time_is_the_right_one() -> None:
    texts = (TimedText(0.0, 1.0, "take"), TimedText(1.0, 2.0, "put"))
    ref = _ref(annotations=Annotations(texts=texts))
    assert _kinds(_record([1.2, 1.4], "put"), ref) == []
    assert _kinds(_record([1.2, 1.4], "take"), ref) == ["text"]
