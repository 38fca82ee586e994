"""Rendered films hold what they say they hold, and come out the same each time."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.corpora.registry import find_corpus
from sofdata.scenes import (
    HEIGHT,
    WIDTH,
    moving_texture,
    plan_clip,
    render,
    write_clip,
    write_ssv2_corpus,
    write_video,
)
from sofdata.storage.tree import Tree


def decode(path: Path) -> tuple[list[NDArray[np.uint8]], list[float], Any]:
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        frames = list(video.decode(stream))
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        return pictures, [float(frame.time) for frame in frames], stream.average_rate


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (0, 1), (-5, 0)])
def test_a_texture_moves_by_exactly_the_given_whole_pixels(dx: int, dy: int) -> None:
    film = moving_texture(dx, dy, 3, (60, 80), seed=4)
    assert film.shape == (3, 60, 80, 3)
    assert film.dtype == np.uint8
    rows, columns = np.arange(10, 50), np.arange(10, 70)
    for before, after in ((0, 1), (1, 2)):
        moved = film[after][np.ix_(rows + dy, columns + dx)].astype(int)
        assert np.abs(moved - film[before][np.ix_(rows, columns)]).max() <= 1  # rounding


def test_two_half_steps_of_a_texture_are_one_whole_step() -> None:
    half = moving_texture(0.5, 0.25, 3, seed=1)[2].astype(int)
    whole = moving_texture(1, 0.5, 2, seed=1)[1]
    assert np.abs(half - whole).max() <= 1


def test_a_texture_has_contrast_everywhere() -> None:
    film = moving_texture(0, 0, 1, (128, 128))
    blocks = film[0].reshape(8, 16, 8, 16, 3).std(axis=(1, 3))
    assert blocks.min() > 8


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("vp9", "webm"),
        ("vp9", "mp4"),
        ("vp8", "webm"),
        ("h264", "mp4"),
        ("mpeg4", "avi"),
        ("av1", "mkv"),
        ("ffv1", "mkv"),
    ],
)
def test_a_video_is_encoded_faithfully_and_to_the_same_bytes(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    film = moving_texture(2, 1, 6, (96, 128))
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        write_video(path, film, fps=10, codec=codec)
    frames, times, rate = decode(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert rate == 10
    np.testing.assert_allclose(times, np.arange(6) / 10, atol=1e-3)
    assert np.abs(np.stack(frames).astype(float) - film).mean() < 20


def test_times_may_start_late_and_be_uneven(tmp_path: Path) -> None:
    pts_s = [1.5, 1.6, 1.85, 1.9]
    for name in ("late.mp4", "late.mkv"):
        codec = "h264" if name.endswith("mp4") else "vp9"
        write_video(tmp_path / name, moving_texture(1, 0, 4), codec=codec, pts_s=pts_s)
        np.testing.assert_allclose(decode(tmp_path / name)[1], pts_s, atol=1e-3)


def test_an_odd_size_is_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.webm", moving_texture(1, 0, 3, (81, 127)))
    assert decode(tmp_path / "odd.webm")[0][0].shape == (81, 127, 3)


def test_a_clip_is_240_px_high_vp9_at_12_frames_a_second(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.webm", index=0, seconds=4.0)
    frames, _, rate = decode(tmp_path / "a.webm")
    assert frames[0].shape == (HEIGHT, WIDTH, 3) == (240, 427, 3)
    assert rate == Fraction(12)
    assert 40 <= len(frames) <= 56
    with av.open(str(tmp_path / "a.webm")) as video:
        assert video.streams.video[0].codec_context.name == "vp9"


def test_a_clip_depends_on_its_seed_and_index_alone(tmp_path: Path) -> None:
    def data(index: int, seed: int) -> bytes:
        write_clip(tmp_path / "a.webm", index, seed, seconds=1.0)
        return (tmp_path / "a.webm").read_bytes()

    assert data(3, 0) == data(3, 0)
    assert len({data(3, 0), data(3, 1), data(9, 0)}) == 3


def change(index: int) -> NDArray[np.float64]:
    """Mean absolute change of brightness from each frame of a clip to the next."""
    frames = np.stack(list(render(plan_clip(index)))).astype(np.float64)
    return np.asarray(np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)))


def test_most_clips_move_and_one_of_twelve_is_still() -> None:
    noise = change(7).max()
    assert noise < 4
    assert change(0).max() > noise + 1


def test_one_of_twelve_clips_has_a_shot_change() -> None:
    steps = change(5)
    assert plan_clip(5).shot_change
    assert steps.argmax() == (len(steps) + 1) // 2 - 1
    assert steps.max() > 3 * np.sort(steps)[-2]


def test_every_place_in_a_template_is_filled_by_another_thing() -> None:
    for index in range(24):
        clip = plan_clip(index)
        assert len(set(clip.things)) == clip.action.template.count("[something]")
        assert "[" not in clip.label


def test_the_corpus_is_read_as_something_something(tmp_path: Path) -> None:
    paths = write_ssv2_corpus(tmp_path, videos=6, seconds=0.5)
    corpus, _ = find_corpus(Tree(str(tmp_path)))
    listing = corpus.listing(Tree(str(tmp_path)))
    assert corpus.name == "ssv2"
    assert [entry.problem for entry in listing.entries] == [""] * 6
    assert (listing.notes, listing.ignored) == ((), {})
    by_id = {entry.id: entry for entry in listing.entries}
    first = by_id[paths[0].stem]
    assert first.text == plan_clip(0).label
    assert json.loads(first.labels["placeholders"]) == list(plan_clip(0).things)
    assert first.labels["class_id"] == "0"
    assert {entry.labels["split"] for entry in listing.entries} == {"train", "validation", "test"}
