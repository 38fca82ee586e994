"""Whether two looks are of the same: motion drawn at random, and frames with random hashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.dedup.compare import bits_between, matches
from sofdata.dedup.looks import CROPS, GRID, RATE_HZ, VALUES, Look, cell_flow, motion_of


def motion(seed: int, rows: int) -> NDArray[np.int8]:
    """Smooth motion of 18 values, as of a hand that comes and goes."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(rows + 4, VALUES))
    smooth = sum(drawn[at : at + rows] for at in range(5))
    return np.asarray(smooth / np.abs(smooth).max() * 127, np.int8)


def look(video: str, seed: int, rows: int = 40, frames: int = 0) -> Look:
    """A look of a video. frames: seed of its hashes."""
    rng = np.random.default_rng(1000 + frames)
    times_s = np.arange(0, rows / RATE_HZ, 0.5)
    hashes = rng.integers(0, 2**63, (len(times_s), len(CROPS)), np.uint64)
    turned = rng.integers(0, 2**63, len(times_s), np.uint64)
    return Look(0, video, rows // 4, 0.0, motion(seed, rows), times_s, hashes, turned)


def part(whole: Look, first: int, end: int) -> Look:
    """The rows from `first` on, whose clock begins anew."""
    kept = (whole.times_s >= first / RATE_HZ) & (whole.times_s < end / RATE_HZ)
    return replace(
        whole,
        motion=whole.motion[first:end],
        times_s=whole.times_s[kept] - first / RATE_HZ,
        hashes=whole.hashes[kept],
        mirrored=whole.mirrored[kept],
    )


def test_the_same_matches_itself_without_a_shift() -> None:
    ((number, match),) = matches(look("a", 1), [look("b", 1)])
    assert (number, match.mirrored, match.shift_s, match.bits) == (0, False, 0.0, 0.0)
    assert match.agreement == pytest.approx(1)
    assert match.overlap_s == 5.0


@pytest.mark.parametrize(("first", "end"), [(8, 40), (0, 30), (8, 36)])
def test_a_part_matches_the_whole_at_its_shift_both_ways_round(first: int, end: int) -> None:
    whole = look("a", 1)
    piece = part(whole, first, end)
    ((_, match),) = matches(whole, [piece])
    assert (match.shift_s, match.overlap_s) == (first / RATE_HZ, (end - first) / RATE_HZ)
    ((_, match),) = matches(piece, [whole])
    assert (match.shift_s, match.overlap_s) == (-first / RATE_HZ, (end - first) / RATE_HZ)


def test_a_mirrored_one_matches_and_is_called_so() -> None:
    whole = look("a", 1)
    cells = whole.motion.reshape(-1, GRID, GRID, 2)[:, :, ::-1] * np.array([-1, 1], np.int8)
    hashes = whole.hashes.copy()
    hashes[:, 0] = whole.mirrored
    turned = replace(whole, motion=cells.reshape(-1, VALUES), hashes=hashes)
    ((_, match),) = matches(whole, [turned])
    assert match.mirrored
    assert match.agreement == pytest.approx(1)


def test_a_crop_matches_by_the_hash_of_the_crop() -> None:
    whole = look("a", 1)
    other = look("b", 1, frames=7)
    assert list(matches(whole, [other])) == []
    hashes = other.hashes.copy()
    hashes[:, 0] = whole.hashes[:, 2]
    ((_, match),) = matches(whole, [replace(other, hashes=hashes)])
    assert match.bits == 0


def test_other_motion_before_the_same_scene_is_no_copy() -> None:
    assert list(matches(look("a", 1), [look("b", seed) for seed in range(2, 40)])) == []


def test_the_same_motion_in_another_scene_is_no_copy() -> None:
    assert list(matches(look("a", 1), [look("b", 1, frames=3)])) == []


def test_less_than_half_of_the_shorter_one_is_no_copy() -> None:
    both = look("a", 1, rows=80)
    assert list(matches(part(both, 0, 40), [part(both, 30, 70)])) == []
    assert len(list(matches(part(both, 0, 40), [part(both, 10, 50)]))) == 1


def test_others_are_numbered_as_given_whatever_their_lengths() -> None:
    others = [look("b", 5), part(look("a", 1), 0, 20), look("c", 6, rows=300), look("d", 1)]
    assert sorted(number for number, _ in matches(look("a", 1), others)) == [1, 3]


def test_bits_between_hashes_are_counted() -> None:
    some = np.array([0b1011, 0, 2**64 - 1], np.uint64)
    assert bits_between(some, np.array([0b1000, 0, 0], np.uint64)).tolist() == [2, 0, 64]


def test_motion_is_the_same_whatever_the_rate_of_the_steps() -> None:
    slow = [(n / 4, (n + 1) / 4) for n in range(16)]
    fast = [(n / 12, (n + 1) / 12) for n in range(48)]
    way = np.linspace(0.2, 1, 16).repeat(VALUES).reshape(16, VALUES).astype(np.float32)
    _, coarse = motion_of(slow, way)
    start_s, fine = motion_of(fast, (way / np.float32(3)).repeat(3, axis=0))
    assert start_s == -1 / RATE_HZ
    assert np.abs(coarse.astype(int) - fine.astype(int)).max() <= 1


def test_a_stretch_without_windows_counts_as_still() -> None:
    steps = np.ones((2, VALUES), np.float32)
    _, rows = motion_of([(0.0, 0.5), (2.0, 2.5)], steps)
    assert not rows[8:15].any()
    assert rows[2:4].all()


def test_cells_hold_the_mean_flow_in_sides_of_the_frame() -> None:
    flow = np.zeros((1, 16, 16, 2), np.float32)
    flow[0, :5, :5, 0] = 8
    cells = cell_flow(flow).reshape(GRID, GRID, 2)
    assert cells[0, 0].tolist() == [0.5, 0]
    assert not cells[1:].any()
