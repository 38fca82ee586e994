"""What of a file must not be shown, on the clock of that very file."""

from __future__ import annotations

from dataclasses import replace

from sofdata.types import merged
from sofdata.video.probe import Unusable, VideoInfo
from sofdata.video.sampling import Sampling

LENGTH_S = 0.5  # by which, beside one frame, a file may be longer or shorter than it should be


def on_file_clock(sampling: Sampling, info: VideoInfo, path: str) -> Sampling:
    """The sampling of a file, whose hidden stretches hold for where its clock begins.

    Where the first frame comes late, stretches may be meant to count from it or from where players
    begin to count: both are hidden.

    Raises `Unusable` where stretches are to be hidden and the file is not as long as the video that
    they belong to: it is a part of it, and which part is not known. The same goes for a clock that
    begins again, since the length of the pause is not known.
    """
    if not sampling.hidden_s:
        return sampling
    if info.restarts:
        raise Unusable(
            "bad_redaction",
            f"{path}: its clock begins again, so that what to hide after that is not known",
        )
    if sampling.lasts_s is not None and not _lasts(info, sampling.lasts_s):
        raise Unusable(
            "bad_redaction",
            f"{path}: it lasts {_length_s(info):.2f} s, and the video that is redacted "
            f"{sampling.lasts_s:.2f} s: which part of it this is, and what to hide, is not known",
        )
    late_s = info.start_s + info.seconds(0)
    both = ((min(a, a + late_s), max(b, b + late_s)) for a, b in sampling.hidden_s)
    return replace(sampling, hidden_s=merged(both))


def _lasts(info: VideoInfo, wanted_s: float) -> bool:
    """Whether a file, by its frames or by its header (it may be cut off), is as long as wanted."""
    found = [_length_s(info)] if info.whole else []
    found += [] if info.duration_s is None else [info.duration_s]
    return any(abs(each - wanted_s) <= LENGTH_S + info.frame_s for each in found)


def _length_s(info: VideoInfo) -> float:
    if info.whole or info.duration_s is None:
        return float(info.pts_s[-1] - info.pts_s[0]) + info.frame_s
    return info.duration_s
