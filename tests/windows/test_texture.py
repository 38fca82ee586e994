"""Motion that can be seen, and flow of frames that hold nothing to be seen moving.

All films are 25 frames of 128 px, 0.13 s apart, and go the whole way: flow by DIS, then windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import IngestConfig, stored_config
from sofdata.ingest.stages import LocalFlow, cut_windows, estimate_flow
from sofdata.scenes import moving_texture, write_video
from sofdata.system.digests import json_digest
from sofdata.types import Frames, RejectedWindow
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.windows.steps import resize_flow
from sofdata.windows.texture import GRID, evidence_side, seen_motion, step_evidence

Film = NDArray[np.uint8]  # [T,H,W,3]
SIDE, COUNT = 128, 25
NO_TEXTURE, STATIC = "no_texture", "static"


def plain(value: float, noise: float = 0.0, seed: int = 0) -> Film:
    """A wall of one brightness, each frame with noise of its own."""
    return noisy(np.full((COUNT, SIDE, SIDE, 3), value), noise, seed)


def noisy(film: NDArray[np.float64] | Film, noise: float, seed: int = 0) -> Film:
    grains = np.random.default_rng(seed).normal(0, noise, film.shape)
    return np.asarray(np.clip(np.rint(film + grains), 0, 255), np.uint8)


def moving(mean: float = 128, contrast: float = 30, dx: float = 1.5) -> NDArray[np.float64]:
    """A texture of standard deviation `contrast` that moves to the right by `dx` px a frame."""
    film = moving_texture(dx, 0, COUNT, (SIDE, SIDE), seed=3).astype(np.float64) - 128
    return np.asarray(film / film.std() * contrast + mean, np.float64)


def small_thing(wall: float, noise: float) -> Film:
    """A textured square of 18 px, 2 % of the frame, that moves 2 px a frame before a plain wall."""
    film = np.full((COUNT, SIDE, SIDE, 3), wall)
    skin = moving()[0, :18, :18]
    for step, frame in enumerate(film):
        frame[50:68, 20 + 2 * step : 38 + 2 * step] = skin
    return noisy(film, noise)


def plain_arm() -> Film:
    """A grey bar without any texture of its own that swings over a white table."""
    film = np.full((COUNT, SIDE, SIDE, 3), 240.0)
    for step, frame in enumerate(film):
        angle = np.radians(30 + 3 * step)
        tip = (round(64 + 50 * np.cos(angle)), round(10 + 80 * np.sin(angle)))
        cv2.line(frame, (64, 0), tip, (120, 120, 120), 9, cv2.LINE_AA)
    return noisy(film, 2)


def letterboxed(film: Film) -> Film:
    film = film.copy()
    film[:, :28] = film[:, -28:] = 0
    return film


def colour_bars() -> NDArray[np.float64]:
    """Seven bars, as of a test card, that stand still."""
    colours = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
    row = np.array(colours)[np.arange(SIDE) * 7 // SIDE] * 191.0
    return np.broadcast_to(row, (COUNT, SIDE, SIDE, 3)).copy()


def captioned(film: Film) -> Film:
    film = film.copy()
    for frame in film:
        cv2.putText(frame, "CAM 12", (40, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (200, 200, 200), 1)
    return film


def encoded(film: Film, folder: Path, codec: str, crf: int) -> Film:
    path = folder / "film.mkv"
    write_video(path, film, 1 / 0.13, codec, options={"crf": str(crf)})
    (chunk,) = open_video(str(path), IngestConfig().video, Sampling(SIDE, 0.13))
    return chunk.rgb


def outcomes(film: Film, *settings: tuple[str, float], chunk: int = 64) -> list[str]:
    """What becomes of each window: "kept", or why it is rejected."""
    config = IngestConfig.parse({"windows": dict(settings)})
    flow = LocalFlow(make_estimator(config.flow.model_copy(update={"estimator": "dis"})))
    times_s = np.arange(len(film), dtype=np.float64) * np.float64(0.13)
    chunks = [
        Frames(film[start : start + chunk + 1], times_s[start : start + chunk + 1])
        for start in range(0, len(film) - 1, chunk)
    ]
    found = cut_windows(estimate_flow(chunks, flow, config), config.windows)
    return [each.reason if isinstance(each, RejectedWindow) else "kept" for each in found]


def evidence(first: Film, second: Film, flow: NDArray[np.float32]) -> NDArray[np.float64]:
    """What one step between two frames shows, [5,8,8]; flow: as it is estimated."""
    side = evidence_side(*flow.shape[:2])
    frames = np.stack([first, second])
    found: NDArray[np.float64] = step_evidence(frames, resize_flow(flow[None], side))[0]
    return found


def all_are(reasons: Sequence[str], *expected: str) -> bool:
    return bool(reasons) and set(reasons) <= set(expected)


@pytest.mark.parametrize(
    "film",
    [plain(4, 3), plain(16, 8), plain(110, 2), plain(252, 6), plain(128, 60)],
    ids=["nearly black", "dark sensor", "grey wall", "overexposed", "snow"],
)
def test_noise_is_no_window_however_much_flow_it_gives(film: Film) -> None:
    assert all_are(outcomes(film), NO_TEXTURE)
    assert all_are(outcomes(film, ("min_texture", 0)), "kept")  # the flow alone would pass


@pytest.mark.parametrize(("codec", "crf"), [("vp9", 34), ("vp9", 20), ("h264", 23), ("vp8", 20)])
@pytest.mark.parametrize(("mean", "noise"), [(6, 8), (16, 4), (110, 3), (110, 25)])
def test_what_a_codec_leaves_of_noise_is_no_window(
    tmp_path: Path, codec: str, crf: int, mean: float, noise: float
) -> None:
    film = encoded(plain(mean, noise), tmp_path, codec, crf)
    assert all_are(outcomes(film), NO_TEXTURE, STATIC)


@pytest.mark.parametrize(
    "film",
    [
        noisy(moving(), 0),
        noisy(moving(mean=12, contrast=3), 1),
        noisy(moving(contrast=4), 3),
        noisy(moving(mean=225, contrast=3), 1),
        np.stack([cv2.GaussianBlur(frame, (0, 0), 6) for frame in noisy(moving(dx=3), 2)]),
        letterboxed(noisy(moving(), 2)),
        small_thing(235, 2),
        small_thing(10, 4),
        plain_arm(),
    ],
    ids=[
        *("textured", "dark", "low contrast and noise", "fog", "out of focus", "letterboxed"),
        *("small, before a white table", "small, in the dark", "plain arm"),
    ],
)
@pytest.mark.parametrize("codec", ["", "vp9", "h264"])
def test_motion_that_can_be_seen_is_kept(tmp_path: Path, film: Film, codec: str) -> None:
    film = encoded(film, tmp_path, codec, 23) if codec else film
    assert all_are(outcomes(film), "kept")


@pytest.mark.parametrize(
    "film",
    [
        np.repeat(noisy(moving(), 3)[:1], COUNT, axis=0),
        plain(0),
        plain(255),
        np.broadcast_to(np.array([0, 135, 0], np.uint8), (COUNT, SIDE, SIDE, 3)).copy(),
        noisy(colour_bars(), 0),
    ],
    ids=["frozen frame", "black", "white", "green frames of a broken decoder", "test card"],
)
def test_what_does_not_change_is_static_rather_than_without_texture(film: Film) -> None:
    assert all_are(outcomes(film), STATIC)


@pytest.mark.parametrize(
    "film",
    [
        captioned(plain(16, 8)),
        captioned(plain(110, 3)),
        noisy(colour_bars(), 4),
        noisy(np.full((COUNT, SIDE, SIDE, 3), [0.0, 135, 0]), 4),
    ],
    ids=["caption in the dark", "caption on a wall", "noisy test card", "noisy green"],
)
def test_what_stands_still_in_noise_shows_no_motion(film: Film) -> None:
    assert all_are(outcomes(film), NO_TEXTURE, STATIC)


def test_a_leader_of_noisy_black_is_left_out_and_the_scene_after_it_kept() -> None:
    film = np.concatenate([plain(3, 3), noisy(moving(), 3)])
    found = outcomes(film)
    assert all_are(found[:5], NO_TEXTURE)
    assert all_are(found[-4:], "kept")


def test_a_window_in_which_a_moving_scene_fades_to_black_is_kept_and_the_black_after_it_not() -> (
    None
):
    light = np.clip(1 - np.arange(COUNT) / 6, 0, 1)[:, None, None, None]
    found = outcomes(noisy(moving() * light, 2), ("shots", False))
    assert found[0] == "kept"
    assert all_are(found[2:], NO_TEXTURE)


def test_without_the_setting_noise_is_kept_as_before() -> None:
    assert all_are(outcomes(plain(16, 8), ("min_texture", 0)), "kept")


def test_a_still_window_is_kept_where_static_px_is_zero() -> None:
    assert all_are(outcomes(noisy(colour_bars(), 0), ("static_px", 0)), "kept")
    assert all_are(outcomes(noisy(moving(dx=0), 1), ("static_px", 0)), "kept")


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_chunks_make_no_difference(chunk: int) -> None:
    film = np.concatenate([plain(8, 4), small_thing(110, 4), plain(8, 4, seed=1)])
    whole = outcomes(film)
    assert {"kept", NO_TEXTURE} <= set(whole)
    assert outcomes(film, chunk=chunk) == whole


def test_of_a_real_clip_that_fades_out_only_its_dark_end_is_left_out(shared_clips: Path) -> None:
    config = IngestConfig.parse({"flow": {"estimator": "dis"}})
    path = shared_clips / "moviepy_video_with_failing_audio.mp4"
    video = open_video(str(path), config.video, Sampling(SIDE, config.flow.step_s))
    flow = LocalFlow(make_estimator(config.flow))
    found = list(cut_windows(estimate_flow(video, flow, config), config.windows))
    dark = [each for each in found if getattr(each, "reason", "") == NO_TEXTURE]
    assert [(each.index, round(each.start_s, 2)) for each in dark] == [(len(found) - 1, 10.2)]


def test_a_dataset_from_before_there_was_the_setting_is_one_made_without_it() -> None:
    off, on = (IngestConfig.parse({"windows": {"min_texture": value}}) for value in (0, 0.4))
    assert "min_texture" not in off.content()["windows"]
    assert stored_config(off.content()).content() == off.content()
    assert stored_config(on.content()).content() == on.content()
    assert json_digest(off.content()) != json_digest(on.content())


def test_the_same_picture_moved_by_its_flow_agrees_and_another_one_does_not() -> None:
    first, second, _ = noisy(moving(dx=2), 0)[:3]
    right = np.zeros((SIDE, SIDE, 2), np.float32)
    right[..., 0] = 2
    assert seen_motion([evidence(first, second, right)]) > 0.97
    assert seen_motion([evidence(first, second, -right)]) == 0
    other = noisy(np.full(first.shape, 128.0), 30)
    assert seen_motion([evidence(first, other, right)]) < 0.3


def test_evidence_counts_moving_pixels_by_cell_and_adds_up_over_steps() -> None:
    first, second = noisy(moving(dx=2), 0)[:2]
    flow = np.zeros((SIDE, SIDE, 2), np.float32)
    flow[:32, :16, 0] = 2  # the upper left cell and the one below it
    found = evidence(first, second, flow)
    assert found.shape == (5, GRID, GRID)
    assert found[0].sum() == 2
    assert found[0, :2, 0].tolist() == [1, 1]
    assert not found[:, :, 1:].any()
    once, twice = seen_motion([found]), seen_motion([found, found, None])
    assert 0.9 < once < twice  # the more of it, the less the noise that it is compared with counts


def test_where_too_little_moves_for_a_claim_nothing_is_held_against_it() -> None:
    first, second = plain(16, 8)[:2]
    flow = np.zeros((SIDE, SIDE, 2), np.float32)
    flow[:8, :8] = 3  # 0.4 % of the frame
    assert seen_motion([evidence(first, second, flow)]) == 1
    assert seen_motion([None, None]) == 1


@pytest.mark.parametrize("side", [32, 50, 64, 200])
def test_any_size_of_flow_is_judged(side: int) -> None:
    film = np.stack([cv2.resize(frame, (side, side)) for frame in noisy(moving(dx=3), 0)[:2]])
    flow = np.zeros((side, side, 2), np.float32)
    flow[..., 0] = 3 * side / SIDE
    assert seen_motion([evidence(film[0], film[1], flow)]) > 0.8


def test_a_step_shows_the_same_alone_as_among_others() -> None:
    film = noisy(moving(dx=2), 3)[:21]
    vectors = np.random.default_rng(0).normal(0, 3, (20, 64, 64, 2)).astype(np.float32)
    together = step_evidence(film, vectors)
    assert together.shape == (20, 5, GRID, GRID)
    for step in range(20):
        alone = step_evidence(film[step : step + 2], vectors[step : step + 1])
        np.testing.assert_array_equal(alone[0], together[step])


def test_evidence_is_what_its_definition_says_of_one_step() -> None:
    """The same by OpenCV's gradients, plane by plane."""
    first, second = noisy(moving(dx=2), 3)[:2]
    vectors = cv2.GaussianBlur(
        np.random.default_rng(1).normal(0, 9, (64, 64, 2)).astype(np.float32), (0, 0), 2
    )
    vectors[:24] = 0
    small = [
        cv2.GaussianBlur(
            cv2.resize(
                cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32),
                (64, 64),
                interpolation=cv2.INTER_AREA,
            ),
            (3, 3),
            0,
        )
        for frame in (first, second)
    ]
    y, x = np.mgrid[:64, :64].astype(np.float32)
    place = np.stack([x, y], axis=-1) + vectors
    small.append(
        cv2.remap(small[1], place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
    (ax, ay), (bx, by), (cx, cy) = (
        [cv2.Sobel(grey, -1, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1))]
        for grey in small
    )
    moves = np.linalg.norm(vectors, axis=-1) >= 0.15
    planes = [
        np.ones((64, 64)),
        2 * (ax * bx + ay * by),
        ax**2 + ay**2 + bx**2 + by**2,
        2 * (ax * cx + ay * cy),
        ax**2 + ay**2 + cx**2 + cy**2,
    ]
    expected = [(plane * moves).reshape(8, 8, 8, 8).mean(axis=(1, 3)) for plane in planes]
    (found,) = step_evidence(np.stack([first, second]), vectors[None])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
