"""What follows from an error over a video: another attempt, or a final status with its reason.

Policy only: nothing is done here. `sofdata.ingest.pipeline` does one attempt at a video, and
`sofdata.ingest.unit` repeats it as `next_attempt` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from sofdata.errors import ActionError, DecodeError, FlowError
from sofdata.video.config import DecoderName
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.division import NotAsWhole
from sofdata.video.isolate import DecoderDied
from sofdata.video.limits import OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangesSpent

# Errors that may be decord's own fault: PyAV reads files that it cannot.
_DECORDS_OWN = DecoderMisbehaved | DecoderDied | OverLimit
# A source that is repaired or mounted again gives these videos back, so they are not final.
_MAY_COME_BACK = ("changed", "missing", "unreadable")


@dataclass(frozen=True, slots=True)
class VideoAttempt:
    """How a video is tried.

    tries: the number of decoders that were given it, this one included; it is stored.
    crash_retried: whether a decoder has crashed over it before and was retried.
    copy_whole: whether its file is copied, however large, rather than read in ranges.
    in_one: whether it is decoded in one go, however long, rather than in parts.
    """

    decoder: DecoderName
    tries: int = 1
    crash_retried: bool = False
    copy_whole: bool = False
    in_one: bool = False


def next_attempt(attempt: VideoAttempt, error: Exception) -> VideoAttempt | None:
    """How to try a video again after an attempt that has raised; None if the error is final.

    A decoder that crashes is retried once, since it may have been killed from outside, as by a
    system that is out of memory; that retry is not counted. Where decord
    misbehaves, hangs or crashes twice, PyAV tries. A file of which more than was worth it had to be
    read in ranges is copied. One whose parts do not make up the whole is decoded in one go, which
    is not counted either.
    """
    if isinstance(error, RangesSpent):
        return replace(attempt, copy_whole=True)
    if isinstance(error, NotAsWhole):
        return replace(attempt, in_one=True)
    crashed = isinstance(error, DecoderDied) and error.reason == "crash"
    if crashed and not attempt.crash_retried:
        return replace(attempt, crash_retried=True)
    if isinstance(error, _DECORDS_OWN) and attempt.decoder == "decord":
        return replace(attempt, decoder="pyav", tries=attempt.tries + 1)
    return None


def status_of(error: Exception) -> tuple[Literal["rejected", "quarantined"], str]:
    """Status and reason of a video whose last attempt has raised this.

    "rejected": the file cannot be used, which is final as long as it stays the same. "quarantined":
    it failed for a reason that may go away, so that `Mode.RETRY` tries it again.
    """
    if isinstance(error, Unusable):
        return "quarantined" if error.reason in _MAY_COME_BACK else "rejected", error.reason
    return "quarantined", _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, OverLimit):
        return error.reason
    if isinstance(error, DecoderDied):  # before `DecodeError`, of which it is one
        return f"decoder_{error.reason}"
    if isinstance(error, OSError):
        return "unreadable"
    if isinstance(error, ActionError):
        return "action_error"
    if isinstance(error, DecodeError):
        return "decode_error"
    if isinstance(error, FlowError):
        return "flow_error"
    return "changed"  # the file has shrunk while ranges of it were read
