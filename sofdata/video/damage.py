"""What is missing of a video, or out of order in it: in numbers, and in words for a person."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sofdata.video.clock import JOIN_GAP_S
from sofdata.video.probe import VideoInfo
from sofdata.video.sampling import Sampling
from sofdata.video.tally import DecodeTally

# Headers are often off by a few frames without anything missing.
TOLERATED_FRAMES = 5
TOLERATED_SHARE = 0.02


@dataclass(slots=True)
class Damage:
    """Frames and seconds that cannot be had, and a sentence for each kind of damage."""

    frames_lost: int = 0
    missing_s: float = 0.0
    sentences: list[str] = field(default_factory=list)


def damage_of(info: VideoInfo, sampling: Sampling, tally: DecodeTally | None) -> Damage:
    """Compare what was promised with what came. A tally of None: the decoder counted nothing."""
    damage = Damage()
    if tally and tally.decode_errors:
        found = _frames_asked_for(info, sampling)
        damage.frames_lost += tally.decode_errors
        damage.sentences.append(
            f"{tally.decode_errors} of {found} frames lost: they could not be decoded"
        )
    if sampling.span_s is None:
        _compare_with_header(info, damage)
    elif info.is_end and not info.undated:  # else nobody knows when it ends
        _compare_with_span(info, sampling.span_s, damage)
    if info.restarts:
        times = "once" if info.restarts == 1 else f"{info.restarts} times"
        damage.sentences.append(
            f"the clock begins again {times}; what follows is put {JOIN_GAP_S:g} s later"
        )
    if tally and tally.frames_spread:
        damage.sentences.append(
            f"{tally.frames_spread} frames have no time of their own, and follow those that have"
        )
    if tally and tally.frames_undated:
        damage.sentences.append(
            f"{tally.frames_undated} frames left out: their times are missing or go back"
        )
    return damage


def _frames_asked_for(info: VideoInfo, sampling: Sampling) -> int:
    start_s, end_s = sampling.span_s or (-np.inf, np.inf)
    return int(np.count_nonzero((info.pts_s >= start_s) & (info.pts_s < end_s)))


def _compare_with_header(info: VideoInfo, damage: Damage) -> None:
    """What the header promises and the file does not hold."""
    short_s = _short_s(info)
    if info.frames_declared is not None:
        # Frames that an edit list hides are declared, and may not even be read.
        if short_s is None or short_s > 0:
            _compare_frames(info.packets + info.repeats, info.frames_declared, damage)
    elif short_s and info.duration_s:
        damage.missing_s += short_s
        damage.sentences.append(
            f"{info.duration_s - short_s:.2f} of {info.duration_s:.2f} declared seconds are in the "
            "file; the rest is missing"
        )


def _short_s(info: VideoInfo) -> float | None:
    """By how much the file ends before its header says; 0 for hardly, None for nobody knows."""
    if info.duration_s is None or not info.frame_s:
        return None
    # Some containers state the time of the end, others the time from start to end.
    end_s = float(info.pts_s[-1]) + info.frame_s - info.seconds(0)  # on the container's clock
    short_s = info.duration_s - max(end_s, end_s - info.start_s)
    slack_s = max(TOLERATED_FRAMES * info.frame_s, TOLERATED_SHARE * info.duration_s)
    return short_s if short_s > slack_s else 0.0


def _compare_frames(found: int, declared: int, damage: Damage) -> None:
    if declared - found > max(TOLERATED_FRAMES, TOLERATED_SHARE * declared):
        damage.frames_lost += declared - found
        damage.sentences.append(
            f"{found} of {declared} declared frames are in the file; the rest is missing"
        )


def _compare_with_span(info: VideoInfo, span_s: tuple[float, float], damage: Damage) -> None:
    """What was asked for lies beyond the end of the file."""
    end_s = float(info.pts_s[-1]) + info.frame_s
    slack_s = max(TOLERATED_FRAMES * info.frame_s, TOLERATED_SHARE * (span_s[1] - span_s[0]))
    if span_s[1] - end_s > slack_s:
        damage.missing_s += span_s[1] - max(span_s[0], end_s)
        damage.sentences.append(f"the file ends at {end_s:.2f} s, the span at {span_s[1]:.2f} s")
