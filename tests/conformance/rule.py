"""Which frames must be sampled: the rule in plain words, without a line of the code that is tested.

Of the frames that are shown within the span, the first is taken. The next is always the one whose
time is nearest to that of the last one taken plus the step. Of two that are equally near up to two
milliseconds (containers round), the earlier. None is taken that lies nearer than 0.66 of a step:
that happens at the end, and before a gap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TIE_S = 0.002
SHORTEST = 0.66
NOISE_S = 1e-6  # of adding and subtracting clocks
ROUNDING_S = 0.0011  # containers that count in milliseconds


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame as it is shown: when, on the file's own clock, and which one it is."""

    time_s: float
    number: int


def on_our_clock(shown: Sequence[Shown], begins_s: float) -> list[Shown]:
    """The same frames, their times as sofdata gives them and as spans are meant.

    begins_s: when the first frame is shown, counted from the start of the file's timeline as
        players count (docs/corpora.md, "Times"): zero, but for what begins before the video.
    """
    zero_s = shown[0].time_s - begins_s
    return [Shown(frame.time_s - zero_s, frame.number) for frame in shown]


def sampled(
    shown: Sequence[Shown], step_s: float, span_s: tuple[float, float] | None = None
) -> list[Shown]:
    """The frames that must come out; all times on our clock."""
    start_s, end_s = span_s or (-math.inf, math.inf)
    rest = [f for f in shown if start_s - NOISE_S <= f.time_s < end_s - NOISE_S]
    taken: list[Shown] = []
    while rest:
        if not taken:
            choice = rest[0]
        else:
            wanted_s = taken[-1].time_s + step_s
            far = [f for f in rest if f.time_s >= taken[-1].time_s + SHORTEST * step_s]
            if not far:
                break
            nearest_s = min(abs(f.time_s - wanted_s) for f in far)
            choice = next(f for f in far if abs(f.time_s - wanted_s) <= nearest_s + TIE_S)
        taken.append(choice)
        rest = [f for f in rest if f.time_s > choice.time_s]
    return taken
