"""Gradual changes of shot: found between two scenes, not where a camera moves or a thing passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.windows.config import WindowConfig
from sofdata.windows.gradual import MOST_STEPS, GradualCuts
from sofdata.windows.shots import shot_changes, small_frames
from tests.windows.test_shots import sampled, scene, view

THRESHOLD = WindowConfig().shot_threshold
STEP_S = 0.13
Film = NDArray[np.uint8]
Mixer = Callable[[float], NDArray[np.float64]]

ROW, COLUMN = (grid / 127 for grid in np.mgrid[:128, :128])
WAYS: dict[str, Mixer] = {
    "dissolve": lambda done: np.full((128, 128), done),
    "wipe to the right": lambda done: (done > COLUMN).astype(float),
    "wipe downwards": lambda done: (done > ROW).astype(float),
    "iris": lambda done: (np.hypot(ROW - 0.5, COLUMN - 0.5) < 0.71 * done).astype(float),
}


def shot(seed: int, steps: int, px: int = 1) -> Film:
    """A camera that moves slowly along a scene."""
    picture = scene(seed)
    return np.stack([view(picture, 20 + px * step) for step in range(steps)])


def joined(before: Film, after: Film, mixer: Mixer, steps: int) -> Film:
    """Two shots, of which one becomes the other in the last, and the first, of these steps."""
    mixed = []
    for number, (a, b) in enumerate(zip(before[-steps:], after[:steps], strict=True)):
        share = mixer((number + 1) / (steps + 1))[:, :, None]
        mixed.append(((1 - share) * a + share * b).astype(np.uint8))
    return np.concatenate([before[:-steps], mixed, after[steps:]])


def times(film: Film) -> NDArray[np.float64]:
    return np.arange(len(film), dtype=np.float64) * STEP_S


def marks(
    film: Film, pts_s: NDArray[np.float64] | None = None, longest_s: float = 3.0
) -> list[int]:
    """The steps that are marked of a film that comes in one chunk."""
    found = GradualCuts(longest_s, THRESHOLD)
    pts_s = times(film) if pts_s is None else pts_s
    found.push(small_frames(film), pts_s, shot_changes(film, THRESHOLD).tolist())
    return np.flatnonzero(found.take(len(film) - 1)).tolist()


@pytest.mark.parametrize("steps", [4, 8, 16])
@pytest.mark.parametrize("way", WAYS)
def test_a_change_that_takes_many_steps_is_marked_and_hardly_more(way: str, steps: int) -> None:
    film = joined(shot(1, 30), shot(2, 30), WAYS[way], steps)
    found = marks(film)
    inside = set(range(30 - steps, 29))  # steps between two mixed frames
    assert found == list(range(found[0], found[-1] + 1))
    assert len(inside & {*found}) >= 0.8 * len(inside)
    assert 30 - steps - 3 <= found[0] <= found[-1] <= 32


@pytest.mark.parametrize("colour", [0, 255])
def test_a_fade_out_and_a_fade_in_are_marked(colour: int) -> None:
    blank = np.full((12, 128, 128, 3), colour, np.uint8)
    out = joined(shot(3, 30), blank, WAYS["dissolve"], 8)
    found = marks(np.concatenate([out, joined(blank, shot(4, 30), WAYS["dissolve"], 8)[4:]]))
    assert {*range(23, 29)} <= {*found}
    assert {*range(36, 42)} <= {*found}
    assert not {*found} & {*range(20), *range(45, 60)}


@pytest.mark.parametrize("px", [1, 2, 4, 8])
def test_a_camera_that_moves_on_changes_no_shot(px: int) -> None:
    for seed in range(4):
        assert marks(shot(seed, 100 // px, px)) == []


def test_a_camera_that_zooms_changes_no_shot() -> None:
    import cv2

    picture = scene(5)
    sides = [250 - 8 * step for step in range(24)]
    film = [cv2.resize(picture[:side, :side], (128, 128)) for side in sides]
    assert marks(np.stack(film).astype(np.uint8)) == []


def test_a_large_thing_that_passes_changes_no_shot() -> None:
    film = shot(6, 24, 0).copy()
    thing = scene(7)[:100, :80]
    for step in range(24):
        left = 8 * step - 80
        film[step, 14:114, max(left, 0) : max(left + 80, 0)] = thing[:, max(-left, 0) :][
            :, : max(min(80, 128 - left), 0)
        ]
    assert marks(film) == []


def test_light_that_changes_slowly_changes_no_shot() -> None:
    film = shot(8, 30) * np.linspace(1, 0.4, 30)[:, None, None, None]
    assert marks(film.astype(np.uint8)) == []


def test_a_hard_cut_is_no_gradual_one_and_none_reaches_over_it() -> None:
    assert marks(np.concatenate([shot(1, 20), shot(2, 20)])) == []


def test_a_change_that_takes_longer_than_is_looked_for_is_not_found() -> None:
    film = joined(shot(1, 40), shot(2, 40), WAYS["dissolve"], 24)
    assert marks(film, longest_s=0.4) == []


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_marks_do_not_depend_on_chunks_and_settled_ones_never_change(chunk: int) -> None:
    film = np.concatenate(
        [joined(shot(1, 30), shot(2, 30), WAYS["dissolve"], 10), shot(3, 9), shot(3, 9)]
    )
    hard, found = shot_changes(film, THRESHOLD).tolist(), GradualCuts(2.0, THRESHOLD)
    taken: list[bool] = []
    for first in range(0, len(film) - 1, chunk):
        steps = slice(first, first + chunk)
        frames = slice(first, first + chunk + 1)
        found.push(small_frames(film[frames]), times(film)[frames], hard[steps])
        taken += found.take(found.settled())
        assert len(taken) >= first + chunk - 2.0 / STEP_S - chunk, "no more is held back"
    taken += found.take(len(film) - 1 - len(taken))
    assert np.flatnonzero(taken).tolist() == marks(film, longest_s=2.0)
    assert any(taken)


def test_no_more_frames_are_kept_than_is_said_at_whatever_rate_they_come() -> None:
    film = np.repeat(shot(1, 2), MOST_STEPS, axis=0)
    found = GradualCuts(60.0, THRESHOLD)
    found.push(small_frames(film), np.arange(len(film)) / 1000, [False] * (len(film) - 1))
    assert found.settled() >= len(film) - 1 - MOST_STEPS


@pytest.mark.shared
@pytest.mark.parametrize("name", ["sam2_01_dog.mp4", "sam2_02_cups.mp4", "sam2_03_blocks.mp4"])
def test_real_clips_of_one_shot_have_none(shared_clips: Path, name: str) -> None:
    assert marks(*sampled(shared_clips / name)) == []


@pytest.mark.shared
def test_a_real_fade_to_black_is_found_at_its_time(shared_clips: Path) -> None:
    rgb, pts_s = sampled(shared_clips / "moviepy_video_with_failing_audio.mp4")
    found = marks(rgb, pts_s)
    assert found
    assert pts_s[found[-1]] > 10
