"""Compares a stored window with a plain decode, and says in words where they disagree.

Times must be those of frames that are shown, each the nearest to the one before plus the step.
Pictures must be the frames at both ends, and not their neighbours, and upright.

Another way of reducing a frame, and JPEG, make a difference of their own: 0.2 to 2.6 grey levels on
the shared clips, after a slight blur. So a picture is not asked how far it is from a frame, but how
far it has gone from the true frame towards another one, as a share of the way between the two: 0
for the true frame, 1 for the other. On the shared clips that was 0.49 at most (99 % below 0.3), and
it holds where frames differ by a third of a grey level.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.audit.seen import Picture, Seen
from sofdata.shards.schema import SampleRecord
from sofdata.types import VideoRef

TIME_S = 0.002  # containers round to a millisecond
SHORTEST_SHARE = 0.66  # of a step; see docs/format.md

# How far towards another frame, turned or shown at another time, a picture may have gone.
AWAY_SHARE = 0.65
# Frames that differ by less look the same: what was taken for the other cannot be said.
ALIKE_LEVELS = 0.3
# A picture that differs by more grey levels from every candidate shows something else.
ANOTHER_LEVELS = 12.0
SAME_LEVELS = 0.05

Turn = Callable[[Picture], NDArray[np.uint8]]
TURNED: dict[str, Turn] = {
    "mirrored left to right": lambda p: p[:, ::-1],
    "mirrored top to bottom": lambda p: p[::-1],
    "upside down": lambda p: p[::-1, ::-1],
    "turned to the left": lambda p: np.rot90(p, 1),
    "turned to the right": lambda p: np.rot90(p, -1),
    "transposed": lambda p: p.swapaxes(0, 1),
    "transposed and upside down": lambda p: p[::-1, ::-1].swapaxes(0, 1),
}


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """A disagreement.

    window: its number in its video, None for one of the whole video.
    kind: "time", "step", "gap", "repeat", "shifted", "orientation", "picture", "flow", "span",
        "redacted", "text", "sample" or "decode".
    """

    window: int | None
    key: str
    kind: str
    text: str


def check_times(record: SampleRecord, seen: Seen, step_s: float) -> list[AuditFinding]:
    """Whether a window's times are those of frames, and follow each other as they should."""
    pts_s = record.pts_s
    places = [seen.nearest(time_s) for time_s in pts_s]
    findings = []
    for time_s, place in zip(pts_s, places, strict=True):
        true_s = float(seen.times_s[place])
        if abs(time_s - true_s) > TIME_S:
            text = f"no frame is shown at {time_s:.3f} s, the nearest is at {true_s:.3f} s"
            findings.append(_finding(record, "time", text))
    if findings:
        return findings
    for (from_s, to_s), (here, there) in zip(
        itertools.pairwise(pts_s), itertools.pairwise(places), strict=True
    ):
        if here == there:
            text = f"the frame at {seen.times_s[here]:.3f} s is taken twice"
            findings.append(_finding(record, "repeat", text))
        elif (due := _due(seen.times_s, here, step_s)) != there:
            findings.append(_step(record, from_s, to_s, due=due, seen=seen, step_s=step_s))
    return findings


def check_place(
    record: SampleRecord, ref: VideoRef, max_step_s: float | None
) -> list[AuditFinding]:
    """Whether a window keeps to what the plan allows: span, redacted stretches, gaps, texts."""
    findings = []
    pts_s = np.array(record.pts_s)
    if ref.span_s and (pts_s[0] < ref.span_s[0] - TIME_S or pts_s[-1] >= ref.span_s[1] + TIME_S):
        text = f"lies outside the span {ref.span_s[0]:.3f} to {ref.span_s[1]:.3f} s"
        findings.append(_finding(record, "span", text))
    for start_s, end_s in ref.annotations.hidden_s:
        if pts_s[0] <= end_s and pts_s[-1] >= start_s:
            text = f"overlaps the redacted stretch {start_s:.3f} to {end_s:.3f} s"
            findings.append(_finding(record, "redacted", text))
    longest_s = float(np.diff(pts_s).max())
    if max_step_s is not None and longest_s > max_step_s + TIME_S:
        text = f"spans a gap of {longest_s:.3f} s"
        findings.append(_finding(record, "gap", text))
    said = ref.text_at(record.start_s, record.end_s)
    if record.text != said:
        text = f"has the text {record.text[:60]!r}, the corpus says {said[:60]!r}"
        findings.append(_finding(record, "text", text))
    return findings


def _due(times_s: NDArray[np.float64], here: int, step_s: float) -> int | None:
    """The frame that is to follow: the nearest to a step later, the earlier of two that tie."""
    later = np.flatnonzero(times_s >= times_s[here] + SHORTEST_SHARE * step_s)
    if not len(later):
        return None
    off_s = np.abs(times_s[later] - times_s[here] - step_s)
    return int(later[np.argmax(off_s <= off_s.min() + TIME_S)])


def _step(
    record: SampleRecord, from_s: float, to_s: float, *, due: int | None, seen: Seen, step_s: float
) -> AuditFinding:
    text = f"steps from {from_s:.3f} to {to_s:.3f} s"
    if due is not None:
        text += f", where the frame at {seen.times_s[due]:.3f} s is nearest to a step of {step_s:g}"
    return _finding(record, "step", text)


def check_pictures(
    record: SampleRecord, first: Picture, last: Picture, seen: Seen, step_s: float
) -> tuple[list[AuditFinding], bool]:
    """Whether the first and last picture are what is shown then.

    Returns the findings, and whether a shift by a frame either way would have been seen: not where
    the frames beside look the same.
    """
    findings, ways = [], set[int]()
    ends = ("first", first, record.pts_s[0]), ("last", last, record.pts_s[-1])
    for name, picture, time_s in ends:
        here = seen.nearest(time_s)
        if here not in seen.pictures:
            text = f"there is no frame to compare the {name} picture with"
            findings.append(_finding(record, "picture", text))
            continue
        for way in (-1, 1):
            beside = seen.pictures.get(here + way)
            if beside is not None and differ(seen.pictures[here], beside):
                ways.add(way)
        if instead := _what_instead(picture, here, _others(seen, here, time_s, step_s), seen):
            kind, what = instead
            findings.append(_finding(record, kind, f"the {name} picture {what}"))
    if not findings:
        findings += _repeated(record, first, last, seen)
    return findings, len(ways) == 2


def _others(seen: Seen, here: int, time_s: float, step_s: float) -> list[int]:
    """The frames beside, and those about a step away."""
    away = [seen.nearest(time_s + way * step_s) for way in (-1, 1)]
    places = dict.fromkeys([here - 1, here + 1, *away])
    return [place for place in places if place != here and place in seen.pictures]


def _what_instead(
    picture: Picture, here: int, others: Sequence[int], seen: Seen
) -> tuple[str, str] | None:
    """What a picture shows if it is not the frame that it should be: (kind, in words)."""
    true = seen.pictures[here]
    turned = {name: turn(true) for name, turn in TURNED.items()}
    moved = {other: seen.pictures[other] for other in others}
    way = _nearest_of(picture, true, [*turned.values(), *moved.values()])
    if way is None:
        off = difference(picture, true)
        if off <= ANOTHER_LEVELS:
            return None
        text = f"is not the frame at {seen.times_s[here]:.3f} s, but {off:.0f} grey levels off it"
        return "picture", text
    if way < len(turned):
        return "orientation", f"is {list(turned)[way]}"
    other_s, here_s = seen.times_s[list(moved)[way - len(turned)]], seen.times_s[here]
    return "shifted", f"is the frame at {other_s:.3f} s, not the one at {here_s:.3f} s"


def _nearest_of(picture: Picture, true: Picture, others: Sequence[Picture]) -> int | None:
    """Which of others a picture is rather than the true one; None if it is that."""
    seen, start = _blurred(picture), _blurred(true)
    left: dict[int, float] = {}
    for number, other in enumerate(others):
        end = _blurred(other)
        way = end - start
        if np.abs(way).mean() < ALIKE_LEVELS:
            continue
        if float(((seen - start) * way).sum() / (way * way).sum()) > AWAY_SHARE:
            left[number] = float(((seen - end) ** 2).sum())
    return min(left, key=lambda number: left[number]) if left else None


def differ(a: Picture, b: Picture) -> bool:
    """Whether two frames differ enough to be distinguished."""
    return difference(a, b) >= ALIKE_LEVELS


def by_rank(picture: Picture) -> Picture:
    """A picture of the order of its brightnesses, which a tone curve leaves as it is."""
    import cv2

    return np.repeat(cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[..., None], 3, 2)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.blur(np.ascontiguousarray(picture), (3, 3)), np.float32)


def _repeated(
    record: SampleRecord, first: Picture, last: Picture, seen: Seen
) -> list[AuditFinding]:
    """One picture at both ends, where two different ones are shown."""
    ends = [seen.pictures[seen.nearest(record.pts_s[place])] for place in (0, -1)]
    apart = difference(ends[0], ends[1])
    if difference(first, last) <= SAME_LEVELS and apart > 4 * ALIKE_LEVELS:
        text = "first and last are one picture, where two are shown"
        return [_finding(record, "repeat", text)]
    return []


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean difference of two pictures [S,S,3] in grey levels, after a slight blur."""
    return float(np.abs(_blurred(a) - _blurred(b)).mean())


def _finding(record: SampleRecord, kind: str, text: str) -> AuditFinding:
    return AuditFinding(record.window, record.key, kind, text)
