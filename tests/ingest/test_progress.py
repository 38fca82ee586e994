"""What a progress display says: counted from events, with the time left by seconds of video."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from sofdata.ingest.events import Event, Ready, UnitDone, UnitRetried, VideoDone, VideoProgress
from sofdata.ingest.pace import Pace
from sofdata.ingest.progress import IngestProgress, following
from sofdata.ingest.units import Unit
from sofdata.ingest.work import GUESSED_BYTES_PER_S, Work, work_of
from sofdata.types import VideoRef

MB = 1_000_000


def whole(unit: str, video: str, seconds: float, size_bytes: int) -> VideoDone:
    return VideoDone(unit, video, "done", "", 1, 10, seconds=seconds, size_bytes=size_bytes)


def paced(work: Work, *events: Event) -> Pace:
    pace = Pace(work)
    for event in events:
        pace.add(event)
    return pace


def test_a_plan_knows_the_seconds_of_spans_and_the_bytes_of_whole_files() -> None:
    refs = (VideoRef("a", "f", 9 * MB, "", span_s=(10.0, 14.0)), VideoRef("b", "g", MB, ""))
    assert work_of([Unit("u", 0, refs)]) == Work(2, 4.0, MB)
    assert Work(2, 4.0, GUESSED_BYTES_PER_S).seconds() == 5.0


def test_seconds_left_are_guessed_from_bytes_until_a_file_has_shown_what_a_second_takes() -> None:
    work = Work(4, 0.0, 4 * MB)
    assert paced(work).left_s == 4 * MB / GUESSED_BYTES_PER_S
    assert paced(work).time_left_s(10.0) is None
    pace = paced(work, whole("u", "a", 100.0, MB))
    assert (pace.done_s, pace.left_s) == (100.0, 300.0)
    assert pace.time_left_s(20.0) == 60.0


def test_half_of_the_only_video_takes_as_long_again() -> None:
    """An hour in one file: nothing ends for long, and still there is a pace."""
    pace = paced(Work(1, 0.0, 900 * MB), VideoProgress("u", "a", 1800.0, 3600.0, 900 * MB))
    assert (pace.done_s, pace.left_s) == (1800.0, 1800.0)
    assert pace.time_left_s(240.0) == 240.0


def test_an_open_file_shows_what_a_second_of_the_others_takes() -> None:
    pace = paced(Work(3, 0.0, 300), VideoProgress("u", "a", 10.0, 100.0, 100))
    assert pace.left_s == 90.0 + 200.0


def test_spans_count_by_what_the_plan_says_of_them() -> None:
    done = VideoDone("u", "a", "done", seconds=3.9, span_s=4.0)
    pace = paced(Work(2, 10.0, 0), done, VideoProgress("u", "b", 2.0, 6.0))
    assert pace.left_s == pytest.approx(4.0)
    assert pace.done_s == pytest.approx(5.9)


def test_what_was_taken_over_is_done_and_says_nothing_of_the_pace() -> None:
    taken = VideoDone("u", "a", "done", seconds=500.0, size_bytes=MB, taken_over=True)
    pace = paced(Work(3, 0.0, 3 * MB), taken, whole("u", "b", 10.0, MB))
    assert (pace.done_s, pace.left_s) == (10.0, 10.0)


def test_a_file_that_gave_no_frame_says_nothing_of_the_others() -> None:
    broken = VideoDone("u", "a", "quarantined", "corrupt", size_bytes=MB)
    pace = paced(Work(3, 0.0, 3 * MB), broken, whole("u", "b", 10.0, MB))
    assert (pace.done_s, pace.left_s) == (10.0, 10.0)


def test_a_retried_unit_takes_its_progress_back() -> None:
    work = Work(3, 0.0, 3 * MB)
    others = [whole("v", "z", 10.0, MB)]
    before = paced(work, *others)
    tried: list[Event] = [
        *others, whole("u", "a", 10.0, MB), VideoProgress("u", "b", 3.0, 9.0, MB),
        UnitRetried("u", "its worker died"),
    ]  # fmt: skip
    after = paced(work, *tried)
    assert (after.done_s, after.left_s) == (before.done_s, before.left_s)
    assert after.open.videos == 0


def test_a_video_that_states_no_length_counts_by_its_bytes() -> None:
    pace = paced(
        Work(2, 0.0, 200), whole("u", "a", 50.0, 100), VideoProgress("u", "b", 20.0, 0.0, 100)
    )
    assert pace.left_s == 50.0 - 20.0


def test_the_line_shows_long_videos_under_way() -> None:
    progress = IngestProgress(2, 0, work=Work(2, 0.0, 200))
    progress.add(Ready())
    progress.add(VideoProgress("u", "a", 750.0, 3600.0, 100))
    assert "video 12:30 of 1:00:00" in progress.line()
    progress.add(VideoProgress("v", "b", 10.0, 3600.0, 100))
    assert "2 videos 12:40 of 2:00:00" in progress.line()
    for event in (whole("u", "a", 3600.0, 100), UnitDone("u", 1, 1), whole("v", "b", 3600.0, 100)):
        progress.add(event)
    assert " of " not in progress.line()
    assert progress.line().startswith("videos 2/2 · windows 2 · ")


def test_short_videos_under_way_are_not_shown() -> None:
    progress = IngestProgress(2, 0, work=Work(2, 0.0, 200))
    progress.add(VideoProgress("u", "a", 2.0, 4.0, 100))
    assert " of " not in progress.line()


def test_the_time_left_is_that_of_the_video_left() -> None:
    progress = IngestProgress(2, 0, work=Work(2, 0.0, 1000))
    progress.started = time.monotonic() - 30.0
    progress.add(whole("u", "a", 10.0, 100))
    assert progress.line().endswith(" · 4:30 left")  # nine tenths of the bytes


def test_the_time_left_goes_down_while_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = IngestProgress(1, 0, work=Work(1, 0.0, 100))
    progress.add(Ready())
    now += 10
    progress.add(VideoProgress("u", "a", 100.0, 200.0, 100))
    lines = []
    for seconds in (0, 4, 6, 20):
        now += seconds
        lines.append(progress.line().rsplit(" · ", 1)[-1])
    assert lines == ["0:10 left", "0:06 left", "0:00 left", "0:40 left"]


def test_frames_a_second_are_shown_once_a_long_video_has_ended() -> None:
    progress = IngestProgress(2, 0, work=Work(2, 0.0, 200))
    progress.add(VideoProgress("u", "a", 750.0, 3600.0, 100))
    assert "frames/s" not in progress.line()
    progress.add(whole("v", "b", 3600.0, 100))
    assert "frames/s" in progress.line()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_display_ends_with_the_whole_account(is_terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=100)
    with following(console, 3, 1, quiet=False, work=Work(2, 0.0, 200)) as follow:
        follow(Ready())
        follow(whole("u", "a", 10.0, 100))
        follow(UnitRetried("u", "its worker process died"))
        follow(whole("u", "a", 10.0, 100))
        follow(UnitDone("u", 1, 1))
    said = out.getvalue()
    assert "unit u is retried: its worker process died" in said
    assert "videos 2/3 · windows 1 · " in said.splitlines()[-1]
