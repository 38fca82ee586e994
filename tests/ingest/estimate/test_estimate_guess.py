"""What a header says of work, and which parts of a long video are measured."""

from __future__ import annotations

import math

import pytest

from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.estimate.crew import together
from sofdata.ingest.estimate.guess import Header, candidates, guess, step_s
from sofdata.ingest.estimate.population import population_of
from sofdata.ingest.estimate.spans import LONG_S, SPAN_S, parts_of
from sofdata.ingest.units import Earlier, Unit
from sofdata.types import VideoRef

CONFIG = IngestConfig()
SMALL = Header(width=427, height=240, fps=12.0, duration_s=4.0)


def video(name: str = "a", span_s: tuple[float, float] | None = None, size: int = 100) -> VideoRef:
    return VideoRef(name, f"{name}.mp4", size, "f", span_s)


@pytest.mark.parametrize(
    ("fps", "step"), [(12.0, 2 / 12), (25.0, 3 / 25), (30.0, 4 / 30), (5, 0.2)]
)
def test_a_step_is_a_whole_number_of_frames(fps: float, step: float) -> None:
    assert step_s(fps, CONFIG) == pytest.approx(step)


def test_a_step_is_as_asked_where_no_rate_is_stated() -> None:
    assert step_s(0.0, CONFIG) == 0.13


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 8, 9, 12, 13, 77, 1000])
def test_windows_are_counted_as_they_are_cut(steps: int) -> None:
    length, stride = CONFIG.windows.length, CONFIG.windows.stride
    starts = {*range(0, steps - length + 1, stride)} | (
        {steps - length} if steps > length else set()
    )
    expected = len(starts) if steps >= length else int(steps >= CONFIG.windows.min_steps)
    assert candidates(steps, CONFIG) == expected


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 8, 9, 12, 13, 77, 1000])
def test_short_windows_at_the_end_are_counted_as_they_are_cut(steps: int) -> None:
    config = load_config(None, ["windows.tail=mask"])
    fewest = config.windows.min_steps
    expected = len(range(0, steps, config.windows.stride)) if steps >= fewest else 0
    assert candidates(steps, config) == expected


def test_a_clip_of_four_seconds() -> None:
    found = guess(video(), SMALL, CONFIG)
    assert found is not None
    assert found.seconds == 4.0
    assert found.steps == pytest.approx(23.5)  # 48 frames, of which every second one
    assert found.windows == 5.0  # of 23 steps: at 0, 4, 8, 12 and 15
    assert found.decode == pytest.approx(48 * (0.45 + 3.2 * 0.10248))


def test_a_span_counts_and_no_more_than_the_file_holds() -> None:
    found = guess(video(span_s=(1.0, 100.0)), SMALL, CONFIG)
    assert found is not None
    assert found.seconds == 3.0


def test_a_video_of_unknown_length_is_not_guessed_at() -> None:
    assert guess(video(), Header(427, 240, 12.0, 0.0), CONFIG) is None


def test_a_span_beyond_the_file_is_no_work() -> None:
    found = guess(video(span_s=(50.0, 60.0)), SMALL, CONFIG)
    assert found is not None
    assert (found.seconds, found.steps, found.windows) == (0.0, 0.0, 0.0)


def test_a_short_video_and_one_of_unknown_length_are_measured_whole() -> None:
    for header in (SMALL, None, Header(427, 240, 12.0, 0.0)):
        assert [part.span_s for part in parts_of(video(), header, 0)] == [None]


def test_a_long_video_is_measured_on_spans_of_both_halves_that_a_seed_decides() -> None:
    hour = Header(1920, 1080, 30.0, 3600.0)
    spans = [part.span_s for part in parts_of(video(), hour, 0)]
    assert [span and math.isclose(span[1] - span[0], SPAN_S) for span in spans] == [True, True]
    assert spans[0] is not None
    assert spans[1] is not None
    assert 0 <= spans[0][0] < spans[0][1] <= 1800 <= spans[1][0] < spans[1][1] <= 3600
    assert spans == [part.span_s for part in parts_of(video(), hour, 0)]
    assert spans != [part.span_s for part in parts_of(video(), hour, 1)]
    assert spans != [part.span_s for part in parts_of(video("b"), hour, 0)]


def test_spans_of_a_long_span_lie_within_it() -> None:
    hour = Header(1920, 1080, 30.0, 3600.0)
    for part in parts_of(video(span_s=(100.0, 100.0 + 2 * LONG_S)), hour, 0):
        assert part.span_s is not None
        assert part.span_s[0] >= 100.0
        assert part.span_s[1] <= 100.0 + 2 * LONG_S


def test_only_videos_without_a_result_that_is_taken_over_are_work() -> None:
    taken = Earlier("ledger/x.json", frozenset({"b"}))
    damaged = Earlier("ledger/y.json", frozenset({"c"}), usable=False)
    units = (
        Unit("2", 2, (video("d", size=5),)),
        Unit("1", 1, (video("a"), video("b"), video("c")), earlier=(taken, damaged)),
    )
    found = population_of(units)
    assert [found.video(number).id for number in range(len(found))] == ["d", "a", "c"]
    assert found.unit_of.tolist() == [0, 1, 1]
    assert found.carried == 1
    assert found.files_bytes == 205


def test_sizes_are_seconds_where_all_are_spans_else_shares_of_files() -> None:
    spans = [
        VideoRef(name, "one.mp4", 100, "f", (0.0, end)) for name, end in (("a", 2.0), ("b", 8.0))
    ]
    whole = video("c", size=30)
    assert population_of((Unit("1", 1, tuple(spans)),)).sizes.tolist() == [2.0, 8.0]
    both = population_of((Unit("1", 1, (*spans, whole)),))
    assert both.sizes.tolist() == [50.0, 50.0, 30.0]
    assert both.files_bytes == 130


def test_videos_are_grouped_so_that_each_process_has_its_share_of_the_costly_ones() -> None:
    assert together(5, 2) == [[0, 2, 4], [1, 3]]
    for count, processes in ((1, 2), (20, 2), (20, 64), (3, 2), (41, 5)):
        groups = together(count, processes)
        assert sorted(at for group in groups for at in group) == list(range(count))
        assert max(map(len, groups)) <= 4
        assert len(groups) % processes == 0 or len(groups) == count
