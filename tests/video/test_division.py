"""Where a video may be divided, and its parts decoded apart: `division`, `part_reader`, `keys`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.types import Frames
from sofdata.video.chunks import chunks
from sofdata.video.config import VideoConfig
from sofdata.video.division import Division, NotAsWhole
from sofdata.video.isolate import DecoderProcess, IsolatedPart
from sofdata.video.keys import _recovers_at_once
from sofdata.video.limits import LimitConfig
from sofdata.video.part_reader import read_part
from sofdata.video.probe import probe
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.long_films import FILMS, damaged, films_in

CONFIG = VideoConfig(chunk_frames=8)
SAMPLING = Sampling(32, 0.13)
DIVIDE_S = (5.0, 2.0)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return films_in(tmp_path_factory.mktemp("films"))


def division_of(
    path: Path, sampling: Sampling = SAMPLING, config: VideoConfig = CONFIG
) -> Division:
    found = open_video(str(path), config, sampling, None, DIVIDE_S).division
    assert found is not None
    return found


def parts_of(path: Path, division: Division) -> list[Frames]:
    found = []
    for part in division.parts:
        found += list(read_part(str(path), CONFIG, SAMPLING, division.track, part))
    return found


@pytest.mark.parametrize("name", ["open GOPs", "open GOPs of HEVC", "VP9"])
def test_parts_give_the_chunks_of_the_whole_video(films: Callable[[str], Path], name: str) -> None:
    path = films(name)
    whole = open_video(str(path), CONFIG, SAMPLING, None, DIVIDE_S)
    division = whole.division
    assert division is not None
    expected = list(whole)[division.first // CONFIG.chunk_frames :]
    found = parts_of(path, division)
    assert whole.is_sound
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a.pts_s, b.pts_s)
        assert np.array_equal(a.rgb, b.rgb)
    assert replace(division.report, frames_decoded=0) == replace(whole.report, frames_decoded=0)


def test_parts_begin_where_chunks_do_behind_a_key_packet_about_as_far_apart_as_wanted(
    films: Callable[[str], Path],
) -> None:
    path = films("closed GOPs, B-frames")
    division, info = division_of(path), probe(str(path))
    assert all(count % CONFIG.chunk_frames == 0 for count in division.seams())
    keys = {(key.pts, key.dts) for key in info.keys}
    for part, before in zip(division.parts[1:], division.parts, strict=False):
        assert (part.key_pts, part.key_dts) in keys
        assert part.key_pts <= part.pts[0] == before.pts[-1]
        assert before.following == part.pts[1]
        length_s = (before.pts[-1] - before.pts[0]) * float(info.time_base)
        assert DIVIDE_S[1] / 2 <= length_s <= 2.5 * DIVIDE_S[1]
    assert division.parts[-1].following is None


@pytest.mark.parametrize(
    "said", [{"parts": []}, {"parts": ["a"]}, {"first": None}, {"first": math.inf}, {"track": {}}]
)
def test_what_a_decoding_process_says_of_parts_is_checked(
    films: Callable[[str], Path], said: dict[str, Any]
) -> None:
    division = division_of(films("closed GOPs, B-frames"))
    assert Division.from_json(json.loads(json.dumps(division.to_json()))) == division
    with pytest.raises((KeyError, TypeError, ValueError, OverflowError)):
        Division.from_json({**division.to_json(), **said})


@pytest.mark.parametrize("name", [name for name, film in FILMS.items() if not film.splits])
def test_what_has_no_index_or_keys_of_known_meaning_is_not_divided(
    films: Callable[[str], Path], name: str
) -> None:
    path = str(films(name))
    assert open_video(path, CONFIG, SAMPLING, None, DIVIDE_S).division is None


def test_a_video_is_divided_only_if_that_is_asked_for_and_it_is_long(
    films: Callable[[str], Path],
) -> None:
    path = str(films("VP9"))
    assert open_video(path, CONFIG, SAMPLING).division is None
    assert open_video(path, CONFIG, SAMPLING, None, (21.0, 2.0)).division is None
    span = replace(SAMPLING, span_s=(3.0, 7.0))
    assert open_video(path, CONFIG, span, None, DIVIDE_S).division is None


def test_a_part_that_is_damaged_is_not_salvaged(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path = damaged(films("closed GOPs, B-frames"), tmp_path / "film.mp4")
    with pytest.raises(NotAsWhole):
        parts_of(path, division_of(path))


def test_a_part_of_another_video_is_not_taken_for_it(films: Callable[[str], Path]) -> None:
    division = division_of(films("closed GOPs, B-frames"))
    with pytest.raises(NotAsWhole):
        parts_of(films("uneven times"), division)
    late = replace(division.parts[1], key_dts=division.parts[1].key_dts - 1)
    with pytest.raises(NotAsWhole, match="key packet"):
        parts_of(films("closed GOPs, B-frames"), replace(division, parts=(late,)))


def test_a_whole_video_says_from_when_on_it_is_damaged(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path = damaged(films("closed GOPs, B-frames"), tmp_path / "film.mp4")
    stream = open_video(str(path), CONFIG, SAMPLING, None, DIVIDE_S)
    sound = [stream.is_sound for _ in stream]
    assert sound[0]
    assert not sound[-1]
    assert sound == sorted(sound, reverse=True)


def test_the_decoding_process_gives_parts_and_serves_on_after_a_bad_one(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path, process = films("closed GOPs, B-frames"), DecoderProcess(LimitConfig())
    try:
        whole = process.open(str(path), CONFIG, SAMPLING, "pyav", DIVIDE_S)
        division = whole.division
        assert division == division_of(path)
        bad = damaged(path, tmp_path / "film.mp4", share=0.05, size=400_000)
        asked = (CONFIG, SAMPLING, division, 2)
        with pytest.raises(NotAsWhole):
            list(IsolatedPart(process, str(bad), *asked))
        found = list(IsolatedPart(process, str(path), *asked))
        part = division.parts[2]
        expected = list(read_part(str(path), CONFIG, SAMPLING, division.track, part))
        assert [c.rgb.tobytes() for c in found] == [c.rgb.tobytes() for c in expected]
    finally:
        process.close()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17])
def test_chunks_of_what_has_begun_are_those_of_the_whole(count: int) -> None:
    samples = [(float(k), np.full((2, 2, 3), k, np.uint8)) for k in range(16 + count)]
    whole = [c.pts_s.tolist() for c in chunks(samples, 8)]
    assert [c.pts_s.tolist() for c in chunks(samples[15:], 8, begun=True)] == whole[2:]


def test_a_recovery_point_is_exact_only_if_it_says_so_of_its_own_picture() -> None:
    def sei(*messages: bytes) -> bytes:
        return b"\x06" + b"".join(messages) + b"\x80"

    other = b"\x05\x03abc"
    exact, late, inexact = b"\x06\x01\xc4", b"\x06\x01\x50", b"\x06\x01\x84"
    assert _recovers_at_once(sei(exact))
    assert _recovers_at_once(sei(other, exact))
    assert _recovers_at_once(sei(b"\xff\x01\x02ab", exact)), "a kind above 255"
    assert not _recovers_at_once(sei(late))
    assert not _recovers_at_once(sei(inexact))
    assert not _recovers_at_once(sei(other))
    assert not _recovers_at_once(b"\x06")
