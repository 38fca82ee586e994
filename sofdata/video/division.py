"""Where a long video may be divided, so that its parts are decoded apart and give the same frames.

A part is a run of the frames that are sampled of the whole video. It begins with the last frame of
the part before, as chunks do, and where a chunk of the whole video begins, so that whatever is done
chunk by chunk is done with the same chunks. A decoder gets to its first frame from a key packet
from which on all is exact (`sofdata.video.keys`); of the chunks about the wanted length, that one
is taken which lies nearest behind such a packet.

A video is divided only where the times of its packets say all: which frames are sampled is then
known before any is decoded. What a part gives is held against that (`sofdata.video.part_reader`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.video.container import Key, seconds
from sofdata.video.entries import INDEXED
from sofdata.video.keys import RESTARTABLE
from sofdata.video.orientation import Orientation
from sofdata.video.probe import VideoInfo
from sofdata.video.sampling import Stretches
from sofdata.video.tally import StreamReport

MOST_SAMPLES = 1 << 20  # of a video that is divided: their times travel in one message
LEAD_SHARE = 0.25  # of a part's frames that may be decoded before its first one


class NotAsWhole(InputError):
    """A part of a video does not come, or may not come, as from the whole video."""


@dataclass(frozen=True, slots=True)
class Track:
    """What of a video has to be known to decode a part of it.

    index: of the stream in its container. time_base: numerator and denominator, s.
    zero_pts, pixel_aspect, orientation, max_pixels: as of `VideoInfo`.
    hidden_s: as of `Sampling`, on the clock of the file.
    """

    index: int
    time_base: tuple[int, int]
    zero_pts: int
    pixel_aspect: float
    orientation: Orientation
    max_pixels: int | None
    hidden_s: Stretches

    def seconds(self, pts: int) -> float:
        """As `VideoInfo.seconds`."""
        return float(seconds(pts - self.zero_pts, Fraction(*self.time_base)))

    def first_not_before(self, time_s: float) -> int:
        """The first tick of the stream's clock from that time on."""
        return self.zero_pts + math.ceil(Fraction(time_s) / Fraction(*self.time_base))


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive samples of a video.

    key_pts, key_dts: times of the packet to begin to decode with, in the stream's time base.
    pts: of the samples; the first one is the last one of the part before.
    following: of the sample after the last one; None at the end of the video.
    """

    key_pts: int
    key_dts: int
    pts: tuple[int, ...]
    following: int | None


@dataclass(frozen=True, slots=True)
class Division:
    """The parts of a video.

    first: how many samples the part before all of `parts` has.
    report: of the whole video, if all comes as the packets promise.
    """

    track: Track
    first: int
    parts: tuple[Part, ...]
    report: StreamReport

    def seams(self) -> dict[int, int]:
        """The number of the part that begins once there are so many samples, by these."""
        lengths = [self.first, *(len(part.pts) - 1 for part in self.parts[:-1])]
        return {total: number for number, total in enumerate(itertools.accumulate(lengths))}

    def lasts_s(self, number: int) -> float:
        """Length of what is decoded for one of `parts`, s."""
        part = self.parts[number]
        return self.track.seconds(part.pts[-1]) - self.track.seconds(part.key_pts)

    def to_json(self) -> dict[str, Any]:
        """Fit for JSON; see `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """What `to_json` has given.

        Raises `KeyError`, `TypeError`, `ValueError`, or `OverflowError` for anything else.
        """
        parts = tuple(part_from_json(part) for part in fields["parts"])
        report = StreamReport(**fields["report"])
        if not parts or not all(part.pts for part in parts):
            raise ValueError("a division has parts, and each has samples")
        return cls(track_from_json(fields["track"]), int(fields["first"]), parts, report)


def track_from_json(fields: dict[str, Any]) -> Track:
    """A `Track` from what `dataclasses.asdict` makes of it."""
    most = fields["max_pixels"]
    return Track(
        index=int(fields["index"]),
        time_base=(int(fields["time_base"][0]), int(fields["time_base"][1])),
        zero_pts=int(fields["zero_pts"]),
        pixel_aspect=float(fields["pixel_aspect"]),
        orientation=Orientation(**fields["orientation"]),
        max_pixels=None if most is None else int(most),
        hidden_s=tuple((float(start), float(end)) for start, end in fields["hidden_s"]),
    )


def part_from_json(fields: dict[str, Any]) -> Part:
    """A `Part` from what `dataclasses.asdict` makes of it."""
    following = fields["following"]
    return Part(
        key_pts=int(fields["key_pts"]),
        key_dts=int(fields["key_dts"]),
        pts=tuple(int(pts) for pts in fields["pts"]),
        following=None if following is None else int(following),
    )


def divide(
    info: VideoInfo,
    samples: NDArray[np.int64],
    hidden_s: Stretches,
    chunk_frames: int,
    part_s: float,
    report: StreamReport,
) -> Division | None:
    """The parts of a video, each about `part_s` long; None where it is to be decoded as a whole.

    samples: int64 [n]; presentation times of the frames that will be sampled.
    hidden_s: as of `Sampling`. report: as of `Division`.
    """
    if len(samples) > MOST_SAMPLES or not _is_plain(info):
        return None
    seams = _seams(info, samples, chunk_frames, part_s)
    if not seams:
        return None
    ends = [*(seam for seam, _ in seams[1:]), len(samples) - 1]
    parts = tuple(
        _part(samples, key, seam, end) for (seam, key), end in zip(seams, ends, strict=True)
    )
    return Division(_track(info, hidden_s), seams[0][0] + 1, parts, report)


def _is_plain(info: VideoInfo) -> bool:
    """Whether packets say which frames there are, and a decoder can begin with the key packets."""
    sets = {key.brings_sets for key in info.keys}
    return (
        info.container in INDEXED
        and info.codec in RESTARTABLE
        and not (info.by_order or info.undated or info.restarts)
        and len(sets) == 1
    )


def _track(info: VideoInfo, hidden_s: Stretches) -> Track:
    base = info.time_base
    return Track(
        index=info.stream_index,
        time_base=(base.numerator, base.denominator),
        zero_pts=info.zero_pts,
        pixel_aspect=info.pixel_aspect,
        orientation=info.orientation,
        max_pixels=info.max_pixels,
        hidden_s=hidden_s,
    )


def _part(samples: NDArray[np.int64], key: Key, seam: int, end: int) -> Part:
    pts = samples[seam : end + 2].tolist()
    following = pts.pop() if end + 1 < len(samples) else None
    return Part(key.pts, key.dts, tuple(pts), following)


def _seams(
    info: VideoInfo, samples: NDArray[np.int64], chunk_frames: int, part_s: float
) -> list[tuple[int, Key]]:
    """Numbers of the samples at which parts begin, and the keys that lead to them."""
    places = np.arange(chunk_frames - 1, len(samples) - 1, chunk_frames)  # last of each chunk
    keys = [key for key in info.keys if key.is_exact]
    before = np.searchsorted([key.pts for key in keys], samples[places], "right") - 1
    places, before = places[before >= 0], before[before >= 0]
    leads = _leads(info, samples[places], [keys[number] for number in before])
    times_s = info.time_base.numerator / info.time_base.denominator * (samples - samples[0])
    most = LEAD_SHARE * part_s / info.frame_s if info.frame_s else 0.0
    seams: list[tuple[int, Key]] = []
    begun_s = 0.0
    while True:
        since_s = times_s[places] - begun_s
        left_s = times_s[-1] - times_s[places]
        near = (since_s > part_s / 2) & (left_s > part_s / 2) & (leads <= most)
        if not near.any():
            return seams
        near &= since_s <= max(1.5 * part_s, since_s[near].min())
        chosen = int(np.flatnonzero(near)[np.argmin(leads[near])])
        seams.append((int(places[chosen]), keys[int(before[chosen])]))
        begun_s = float(times_s[places[chosen]])


def _leads(info: VideoInfo, samples: NDArray[np.int64], keys: Sequence[Key]) -> NDArray[np.int64]:
    """How many frames are shown from each key on before the sample that it leads to."""
    starts = np.array([key.pts for key in keys], np.int64)
    return np.searchsorted(info.pts, samples) - np.searchsorted(info.pts, starts)
