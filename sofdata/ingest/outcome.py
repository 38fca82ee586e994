"""How a video ended, as the ledger records it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sofdata.ingest.retries import VideoAttempt, status_of
from sofdata.shards.schema import VideoRecord
from sofdata.shards.writer import VideoSamples
from sofdata.storage.urls import public_text
from sofdata.types import VideoRef
from sofdata.video.isolate import DecoderDied
from sofdata.video.tally import StreamReport


@dataclass(frozen=True, slots=True)
class VideoOutcome:
    """How a video ended. stderr: the end of what its decoder wrote before it died."""

    record: VideoRecord
    stderr: str = ""


def finished_outcome(
    ref: VideoRef, decoder: str, report: StreamReport, samples: VideoSamples, attempt: VideoAttempt
) -> VideoOutcome:
    """Of a video that was read to its end. decoder: name and version of the one that did."""
    reasons = Counter(window.reason for window in samples.rejected)
    kept = len(samples.rows)
    reason = "" if kept else reasons.most_common(1)[0][0] if reasons else "too_short"
    record = VideoRecord(
        id=ref.id,
        status="done" if kept else "rejected",
        reason=reason,
        detail="" if kept else _why_empty(reason, report.frames_sampled, report.covered_s),
        decoder=decoder,
        tries=attempt.tries,
        frames=report.frames_sampled,
        decode_errors=report.decode_errors,
        frames_lost=report.frames_lost,
        frames_undated=report.frames_undated,
        missing_s=report.missing_s,
        salvaged=report.salvaged,
        covered_s=report.covered_s,
        windows=kept,
        windows_rejected=dict(sorted(reasons.items())),
    )
    return VideoOutcome(record)


def failed_outcome(
    ref: VideoRef, error: Exception, attempt: VideoAttempt, path: str
) -> VideoOutcome:
    """Of a video whose last attempt has raised. path: under which the error may name it."""
    status, reason = status_of(error)
    record = VideoRecord(
        id=ref.id,
        status=status,
        reason=reason,
        detail=_detail(error, path, ref),
        decoder=attempt.decoder,
        tries=attempt.tries,
    )
    return VideoOutcome(record, error.tail if isinstance(error, DecoderDied) else "")


def _why_empty(reason: str, frames: int, covered_s: float) -> str:
    if reason == "too_short":
        what = "1 frame was" if frames == 1 else f"{frames} frames over {covered_s:.2f} s were"
        return f"{what} sampled: too few for a window"
    return f"none of its windows is kept: {reason}"


def _detail(error: Exception, path: str, ref: VideoRef) -> str:
    """An error's text without the path, which is this machine's: it has no place in a dataset."""
    if isinstance(error, OSError) and error.filename:
        error = OSError(error.errno, error.strerror, ref.id)
    text = str(error).replace(path or ref.uri, ref.id).removeprefix(f"{ref.id}: ")
    return public_text(text)
