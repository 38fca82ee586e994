"""The shared cases: small videos that were read wrongly, each with its right value."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import make_estimator
from sofdata.video.clock import JOIN_GAP_S
from tests.cases import read_frames


def _spans(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sample_without_content_repeats_a_frame_and_ends_nothing(shared_cases: Path) -> None:
    found = read_frames(shared_cases / "empty_packets" / "A1_zero_sample.mov")
    assert len(found.numbers) == 119
    assert sorted(set(range(120)) - set(found.numbers)) == [40]
    np.testing.assert_allclose(found.pts_s, np.array(found.numbers) / 30, atol=1e-3)
    assert found.stream.report.salvaged == ""
    assert found.stream.report.frames_lost == 0


@pytest.mark.parametrize("name", ["B1_hflip.mp4", "B3_transpose.mp4"])
def test_a_mirrored_picture_is_mirrored_back(shared_cases: Path, name: str) -> None:
    found = read_frames(shared_cases / "mirrored" / name)
    assert found.numbers == list(range(60))
    assert found.are_upright


def test_a_clock_that_begins_again_goes_on_after_a_gap(shared_cases: Path) -> None:
    found = read_frames(shared_cases / "clock_restarts" / "C1_cat.ts")
    assert found.numbers == list(range(180))
    steps = np.diff(found.pts_s)
    assert np.delete(steps, 89) == pytest.approx(1 / 30, abs=1e-3)
    assert steps[89] == pytest.approx(JOIN_GAP_S, abs=1e-3)
    report = found.stream.report
    assert (report.frames_undated, report.frames_lost) == (0, 0)
    assert report.salvaged == "the clock begins again once; what follows is put 1 s later"


@pytest.mark.parametrize("row", range(4))
def test_a_span_gives_the_frames_that_it_names(shared_cases: Path, row: int) -> None:
    folder = shared_cases / "spans"
    said = _spans(folder)[row]
    span_s = (float(said["start_s"]), float(said["end_s"]))
    first, last = (int(word) for word in said["text"].split() if word.isdigit())
    found = read_frames(folder / said["uri"], span_s=span_s)
    assert found.numbers == list(range(first, last + 1))
    assert found.are_upright
    assert found.stream.report.decode_errors == 0
    assert found.stream.report.salvaged == ""


@pytest.mark.parametrize(("name", "fps", "step"), [("E1_x264_b", 30, 4), ("E3_x264_12fps", 12, 2)])
def test_b_frames_in_avi_have_the_times_of_their_order(
    shared_cases: Path, name: str, fps: int, step: int
) -> None:
    path = shared_cases / "avi_b_frames" / f"{name}.avi"
    found = read_frames(path, 0.13)
    assert set(np.diff(found.numbers)) == {step}
    np.testing.assert_allclose(found.pts_s, np.array(found.numbers) / fps, atol=1e-6)
    span = read_frames(path, span_s=(1.0, 2.0))
    assert span.numbers == list(range(fps, 2 * fps))


@pytest.mark.parametrize(("span_s", "first", "last"), [((0, 2), 0, 59), ((3, 5), 90, 149)])
def test_spans_count_from_the_first_frame_of_a_clock_that_starts_late(
    shared_cases: Path, span_s: tuple[float, float], first: int, last: int
) -> None:
    found = read_frames(shared_cases / "late_start" / "rec.ts", span_s=span_s)
    assert found.numbers == list(range(first, last + 1))
    np.testing.assert_allclose(found.pts_s, np.array(found.numbers) / 30, atol=1e-3)


def test_pixels_that_are_not_square_give_the_picture_and_flow_of_square_ones(
    shared_cases: Path,
) -> None:
    folder = shared_cases / "pixel_aspect"
    wide, square = (
        read_frames(folder / name, 0.13, fit="crop", size=128)
        for name in ("I1_ana_16_9.mp4", "I1_square.mp4")
    )
    assert (wide.stream.info.width, wide.stream.info.height) == (427, 240)
    np.testing.assert_array_equal(wide.pts_s, square.pts_s)
    difference = np.abs(wide.rgb.astype(int) - square.rgb.astype(int))
    mirrored = np.abs(wide.rgb[:, :, ::-1].astype(int) - square.rgb.astype(int))
    assert difference.mean() < 0.2 * mirrored.mean()
    estimator = make_estimator(FlowConfig(estimator="dis"))
    flows = [estimator.estimate(each.rgb[:-1], each.rgb[1:]) for each in (wide, square)]
    means = [np.median(flow[..., 0]) for flow in flows]
    assert means[0] == pytest.approx(means[1], abs=0.1)
    assert abs(means[0]) > 1


def test_frames_that_an_edit_list_hides_are_not_missing(shared_cases: Path) -> None:
    found = read_frames(shared_cases / "account" / "J1_cut.mp4")
    assert found.numbers == list(range(75, 300))
    assert found.stream.report.salvaged == ""
    assert found.stream.report.missing_s == 0


@pytest.mark.parametrize("name", ["mp4v.nut", "vp8.ivf"])
def test_formats_beside_the_common_ones_are_read(shared_cases: Path, name: str) -> None:
    assert read_frames(shared_cases / "formats" / name).numbers == list(range(60))
