"""Whether two videos show the same: their motion, laid over each other at the best shift, and then
their frames at that shift.

Frames alone cannot tell: two episodes before one camera look alike in every frame, and a hash of
frames takes them for copies. Motion alone can nearly; frames then make it sure. A copy may be
encoded anew, be scaled, mirrored, cropped about its middle, begin or end elsewhere, or be shifted
in time. One that runs at another speed, or is turned, is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.dedup.looks import GRID, RATE_HZ, VALUES, Look

AGREE = 0.8  # least correlation of the motion
SHARE = 0.5  # of the shorter one's motion that must lie where the two overlap
LEAST_ROWS = RATE_HZ  # of an overlap
BITS = 16  # most of 64 that the hashes of frames may differ by, in the median over an overlap
NEAR_S = 0.3  # between two frames that are taken for the same


@dataclass(frozen=True, slots=True)
class Match:
    """Two videos that show the same.

    shift_s: what is at a time t in the first is at t - shift_s in the second. overlap_s: how much
    of them. agreement: correlation of their motion. bits: in which the hashes of frames differ.
    """

    agreement: float
    mirrored: bool
    shift_s: float
    overlap_s: float
    bits: float


def matches(look: Look, others: Sequence[Look]) -> Iterator[tuple[int, Match]]:
    """Which of some videos show the same as one, by their number."""
    groups: dict[int, list[int]] = {}
    for number, other in enumerate(others):
        groups.setdefault(_padded(len(look.motion) + len(other.motion)), []).append(number)
    for length, numbers in groups.items():
        for first in range(0, len(numbers), _AT_ONCE):
            some = numbers[first : first + _AT_ONCE]
            yield from _matches(look, [others[each] for each in some], some, length)


_AT_ONCE = 256  # of others, for the memory of their transforms


def _matches(
    look: Look, others: Sequence[Look], numbers: Sequence[int], length: int
) -> Iterator[tuple[int, Match]]:
    mine = _spectrum(look.motion, length)
    theirs = np.stack([_spectrum(other.motion, length) for other in others])
    energy = np.stack([_energies(look, other, length) for other in others])  # [M,3,length]
    for mirrored in (False, True):
        seen = _mirrored(theirs) if mirrored else theirs
        products = np.fft.irfft(np.einsum("fv,mfv->mf", mine, seen.conj()), length, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            agreement = products / np.sqrt(energy[:, 0] * energy[:, 1])
        agreement[energy[:, 2] == 0] = 0
        best = agreement.argmax(axis=1)
        for place in np.flatnonzero(agreement.max(axis=1) >= AGREE).tolist():
            other, rows = others[place], int(best[place])
            rows -= length if rows >= len(look.motion) else 0
            found = _judged(look, other, rows, float(agreement[place, best[place]]), mirrored)
            if found:
                yield numbers[place], found


def _judged(look: Look, other: Look, rows: int, agreement: float, mirrored: bool) -> Match | None:
    """Compare the frames at a shift. rows: by which the second is to be moved over the first."""
    shift_s = look.start_s - other.start_s + rows / RATE_HZ
    bits = differing_bits(look, other, shift_s, mirrored)
    if bits is None or bits > BITS:
        return None
    begin, end = max(rows, 0), min(len(look.motion), rows + len(other.motion))
    return Match(round(agreement, 3), mirrored, round(shift_s, 3), (end - begin) / RATE_HZ, bits)


def differing_bits(look: Look, other: Look, shift_s: float, mirrored: bool) -> float | None:
    """By how many bits the hashes differ of frames at the same time: the median over these.

    Of all crops of one of the two the one that fits best. None where no frames are that near.
    """
    apart_s = np.abs(look.times_s[:, None] - (other.times_s + shift_s)[None, :])
    near = apart_s.min(axis=1, initial=np.inf) <= NEAR_S
    if not near.any():
        return None
    at = apart_s.argmin(axis=1)[near]
    whole = look.mirrored[near] if mirrored else look.hashes[near, 0]
    their_whole = other.mirrored[at] if mirrored else other.hashes[at, 0]
    pairs = [(whole, other.hashes[at, crop]) for crop in range(other.hashes.shape[1])]
    pairs += [(their_whole, look.hashes[near, crop]) for crop in range(1, look.hashes.shape[1])]
    return min(float(np.median(bits_between(a, b))) for a, b in pairs)


def bits_between(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits differ."""
    differ = np.ascontiguousarray(a ^ b)
    bits = np.unpackbits(differ.view(np.uint8).reshape(*differ.shape, 8), axis=-1)
    return np.asarray(bits.sum(-1), np.int64)


def _padded(rows: int) -> int:
    return 1 << (rows - 1).bit_length()


def _spectrum(motion: NDArray[np.int8], length: int) -> NDArray[np.complex128]:
    found: NDArray[np.complex128] = np.fft.rfft(motion.astype(np.float64), length, axis=0)
    return found


def _mirrored(spectra: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Spectra [M,F,18] of the mirrored motion: cells of a row change places, dx its sign."""
    cells = spectra.reshape(*spectra.shape[:2], GRID, GRID, 2)[:, :, :, ::-1]
    return (cells * (-1, 1)).reshape(*spectra.shape[:2], VALUES)


def _energies(look: Look, other: Look, length: int) -> NDArray[np.float64]:
    """For each shift the energy of both where they overlap, and whether that is enough: [3,length].

    A shift of r rows stands at r, a negative one, or one of no overlap, at length + r, as a
    transform gives them.
    """
    mine = _running(look.motion)
    theirs = _running(other.motion)
    rows = np.arange(length)
    rows[len(look.motion) :] -= length
    begin = rows.clip(0, len(look.motion))
    end = (rows + len(other.motion)).clip(0, len(look.motion))
    end = np.maximum(begin, end)
    own = mine[end] - mine[begin]
    other_begin = (begin - rows).clip(0, len(other.motion))
    other_end = np.maximum((end - rows).clip(0, len(other.motion)), other_begin)
    their = theirs[other_end] - theirs[other_begin]
    enough = (end - begin) >= LEAST_ROWS
    shorter = own / mine[-1] if len(look.motion) <= len(other.motion) else their / theirs[-1]
    enough &= (shorter >= SHARE) & (own > 0) & (their > 0)
    return np.stack([own, their, enough.astype(np.float64)])


def _running(motion: NDArray[np.int8]) -> NDArray[np.float64]:
    """Energy of the first 0, 1, ... rows."""
    energy = (motion.astype(np.float64) ** 2).sum(axis=1)
    return np.concatenate([[0.0], np.cumsum(energy)])
