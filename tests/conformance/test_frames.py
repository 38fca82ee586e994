"""Every sampled frame is the one whose true time is nearest, with that time, and upright.

The table that these tests make is printed at the end. `-k` picks from it, as in
`pytest tests/conformance -k "TS and spans"`.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from sofdata.audit import reference
from sofdata.types import Frames
from sofdata.video.config import VideoConfig
from sofdata.video.reader import VideoStream, open_video
from sofdata.video.sampling import Sampling
from tests.conformance.barcode import UPRIGHT, Picture, Reading, read
from tests.conformance.clocks import clock_films
from tests.conformance.damage import cut_films
from tests.conformance.encoding import NotEncodable
from tests.conformance.films import Film, plain_films
from tests.conformance.held import aspect_films, turned_films
from tests.conformance.lengths import long_films, pixel_films, rate_films
from tests.conformance.packets import empty_films, field_films
from tests.conformance.rule import ROUNDING_S, Shown, on_our_clock, sampled
from tests.conformance.table import STEPS_S, Cell, Table

SIZE = 96
UNDATED = "have no time of their own"
FILMS = [
    *plain_films(),
    *field_films(),
    *empty_films(),
    *clock_films(),
    *aspect_films(),
    *turned_films(),
    *long_films(),
    *rate_films(),
    *pixel_films(),
    *cut_films(),
]

Span = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Made:
    """A film as it lies on the disk, and its frames on our clock; or why it could not be made."""

    path: Path
    shown: tuple[Shown, ...] = ()
    refused: str = ""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Films by name, each made when it is first asked for."""
    return _Films(tmp_path_factory.mktemp("films"))


class _Films(dict[str, Made]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._films = {film.name: film for film in FILMS}

    def __missing__(self, name: str) -> Made:
        film = self._films[name]
        path = self._folder / f"{name}{film.suffix}"
        try:
            shown = film.make(path)
            begins_s = film.begins_s(path) if callable(film.begins_s) else film.begins_s
            result = Made(path, tuple(on_our_clock(shown, begins_s)))
        except NotEncodable as error:
            result = Made(path, refused=str(error))
        self[name] = result
        return result


def _cells() -> list[ParameterSet]:
    cells = [(film, Cell(film.parts, "reference", None)) for film in FILMS]
    cells += [
        (film, Cell(film.parts, kind, step_s))
        for film in FILMS
        for kind in ("whole", "spans", "spans on frames")
        for step_s in STEPS_S
    ]
    return [pytest.param(film, cell, id=f"{film.name}-{cell.label}") for film, cell in cells]


def test_the_table_has_the_promised_size() -> None:
    assert len({film.name for film in FILMS}) == len(FILMS)
    assert len(_cells()) >= 150


@pytest.mark.parametrize(("film", "cell"), _cells())
def test_frames(film: Film, cell: Cell, made: dict[str, Made], conformance: Table) -> None:
    this = made[film.name]
    if this.refused:
        conformance.note(cell, "n/a", this.refused)
        if os.environ.get("CI"):
            pytest.fail(f"not encodable here: {this.refused}")
        pytest.skip(f"not encodable here: {this.refused}")
    try:
        faults = _faults(film, cell, this)
    except Exception as error:
        conformance.note(cell, "FAIL", f"{type(error).__name__}: {error}")
        raise
    conformance.note(cell, "FAIL" if faults else "ok", "; ".join(faults))
    assert not faults, "; ".join(faults)


def _faults(film: Film, cell: Cell, this: Made) -> list[str]:
    if cell.kind == "reference":
        return _faults_of_reference(film, this)
    assert cell.step_s is not None
    faults = []
    for span_s in _spans(film, cell.kind, this.shown):
        found = _faults_of_sampling(film, this, cell.step_s, span_s)
        where = f"{span_s[0]:.4f} to {span_s[1]:.4f} s: " if span_s else ""
        faults += [f"{where}{fault}" for fault in found]
    return faults


def _faults_of_reference(film: Film, this: Made) -> list[str]:
    """Whether the plain decode sees what was put into the film."""
    got = []
    for frame in reference.frames(str(this.path)):
        picture = frame.picture
        if film.middle < 1 or film.fit == "crop":
            height, width = picture.shape[:2]
            left = (width - height) // 2
            picture = picture[:, left : left + height]
        got.append((frame.time_s, read(picture)))
    return _differences(this.shown, got)


def _faults_of_sampling(film: Film, this: Made, step_s: float, span_s: Span) -> list[str]:
    stream, got = _sample(film, this.path, step_s, span_s)
    faults = _differences(sampled(this.shown, step_s, span_s), got)
    report = stream.report
    if span_s is not None and span_s[1] > this.shown[-1].time_s + 1.0:
        return faults  # that a span ends after the file may be said, and is no damage
    said = [each for each in report.salvaged.split("; ") if each and UNDATED not in each]
    if film.damaged is False and (said or report.decode_errors):
        faults.append(f"said to be damaged: {'; '.join(said) or report.decode_errors}")
    if film.undated != (UNDATED in report.salvaged) and (span_s is None or not film.undated):
        faults.append(f"frames without a time: {report.salvaged or 'not said'}")
    if film.damaged is False and report.frames_undated:
        faults.append(f"{report.frames_undated} frames said to have no time")
    if film.damaged and span_s is None and not report.salvaged:
        faults.append("nothing is said of what is missing")
    return faults


def _sample(
    film: Film, path: Path, step_s: float, span_s: Span
) -> tuple[VideoStream, list[tuple[float, Reading]]]:
    """What sofdata samples: (time, reading) of each frame."""
    config = VideoConfig.model_validate({"fit": film.fit})
    stream = open_video(str(path), config, Sampling(SIZE, step_s, span_s))
    got: list[tuple[float, Reading]] = []
    for number, chunk in enumerate(stream):
        for place in range(1 if number else 0, len(chunk)):
            got.append(_of_chunk(film, chunk, place))
    return stream, got


def _of_chunk(film: Film, chunk: Frames, place: int) -> tuple[float, Reading]:
    picture: Picture = chunk.rgb[place]
    margin = round((1 - film.middle) / 2 * SIZE)
    return float(chunk.pts_s[place]), read(picture[:, margin : SIZE - margin])


def _differences(expected: Sequence[Shown], got: Sequence[tuple[float, Reading]]) -> list[str]:
    faults = _held(got)
    numbers = [reading.number for _, reading in got]
    wanted = [frame.number for frame in expected]
    if numbers != wanted:
        faults.append(_first_difference(wanted, numbers))
    if len(got) == len(expected):
        late = [
            abs(time_s - frame.time_s) for (time_s, _), frame in zip(got, expected, strict=True)
        ]
        if max(late, default=0.0) > ROUNDING_S:
            place = int(np.argmax(np.array(late) > ROUNDING_S))
            time_s, true_s = got[place][0], expected[place].time_s
            faults.append(f"sample {place} has the time {time_s:.4f} s for {true_s:.4f} s")
    return faults


def _held(got: Sequence[tuple[float, Reading]]) -> list[str]:
    wrong = [reading.held for _, reading in got if reading.held != UPRIGHT]
    if not wrong:
        return []
    kinds = ", ".join(sorted(set(wrong)))
    return [f"{len(wrong)} of {len(got)} pictures are {kinds}"]


def _first_difference(wanted: Sequence[int], got: Sequence[int | None]) -> str:
    pairs = zip(wanted, got, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(wanted), len(got)))
    here = slice(max(0, place - 1), place + 4)
    return (
        f"{len(got)} samples for {len(wanted)}; from sample {here.start} on frames "
        f"{list(got[here])} for {list(wanted[here])}"
    )


def _spans(film: Film, kind: str, shown: Sequence[Shown]) -> list[Span]:
    if kind == "whole":
        return [None]
    return [*(_random_spans if kind == "spans" else _spans_on_frames)(film, shown)]


def _random_spans(film: Film, shown: Sequence[Shown]) -> list[tuple[float, float]]:
    """Five spans, one from before the start and one to beyond the end; bounds between frames."""
    rng = np.random.default_rng(zlib.crc32(film.name.encode()))
    times = np.array([f.time_s for f in shown])
    between = (times[:-1] + times[1:]) / 2
    count = len(between)
    spans = []
    for _ in range(3):
        start = int(rng.integers(0, count * 3 // 4))
        length = int(rng.integers(count // 10 + 2, count // 2))
        spans.append((float(between[start]), float(between[min(count - 1, start + length)])))
    spans.append((0.0, float(between[int(rng.integers(count // 3, count - 2))])))
    spans.append((float(between[int(rng.integers(count // 3, count - 8))]), 1e5))
    return spans


def _spans_on_frames(film: Film, shown: Sequence[Shown]) -> list[tuple[float, float]]:
    """Spans whose bounds are times of frames, as files of labels have them: the end is not in it.

    Of whole tenths of a second where there are such frames, which containers do not round; else cut
    to milliseconds.
    """
    times = [f.time_s for f in shown]
    exact = [t for t in times if abs(t * 10 - round(t * 10)) < 1e-6]
    if len(exact) < 4:
        exact = [math.floor(t * 1000 + 1e-6) / 1000 for t in times]
    rng = np.random.default_rng(zlib.crc32(film.name.encode()) + 1)
    spans = []
    for _ in range(2):
        start, end = sorted(rng.choice(len(exact), 2, replace=False).tolist())
        if exact[end] - exact[start] < 0.3:
            start, end = 0, len(exact) - 1
        spans.append((round(exact[start], 4), round(exact[end], 4)))
    return spans
