"""One unit: each of its videos to samples in a shard, then the commit."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from sofdata.corpora.registry import demonstration_corpus
from sofdata.errors import ActionError, DecodeError, FlowError, InputError
from sofdata.ingest.carry import Carrier
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.events import UnitDone, UnitKept, VideoDone
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.libraries import Libraries, join_digests, own_digest
from sofdata.ingest.outcome import Output
from sofdata.ingest.plan import fingerprint
from sofdata.ingest.process import FlowSource, windows_of
from sofdata.ingest.units import Unit, video_inputs
from sofdata.shards.commit import commit_record, commit_shard, committed
from sofdata.shards.layout import LEDGER, QUARANTINE
from sofdata.shards.sample import Sample, VideoContext, encode_sample, quarantine_name
from sofdata.shards.schema import LedgerRecord, RejectedWindowRecord, VideoRecord, WindowRow
from sofdata.shards.tar import TarWriter
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.storage.urls import public_text
from sofdata.system.fault_points import fault_point
from sofdata.types import (
    ActionSpec,
    ActionTrack,
    Frames,
    RejectedWindow,
    SkillWindow,
    VideoRef,
)
from sofdata.video.config import DecoderName
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.isolate import DecoderDied
from sofdata.video.limits import OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangesSpent, Source
from sofdata.video.tally import StreamReport
from sofdata.windows.actions import attach_actions

# Errors after which PyAV tries a video that decord was given.
_DECORDS_OWN = DecoderMisbehaved | DecoderDied | OverLimit


@dataclass(frozen=True, slots=True)
class Job:
    """What all units of an ingest share. It travels to every worker.

    corpus, actions: name of the corpus, and what its actions are where they were asked for.
    ledger: the folder of the destination to which units are committed.
    libraries: with what units may be computed, by digest; anything if empty. mixes: whether the
        user has chosen to go on with others than those that the units so far were made with.
    takes_worse: whether he has chosen to take what is worse than what is damaged beyond repair.
    """

    source: Tree
    dest: Tree
    config: IngestConfig
    corpus: str = ""
    actions: ActionSpec | None = None
    ledger: str = LEDGER
    libraries: Mapping[str, Libraries] = field(default_factory=dict)
    mixes: bool = False
    takes_worse: bool = False


class Size(Protocol):
    """Size of a video as shown, px."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class DecodedVideo(Protocol):
    """A video being decoded; see `sofdata.video.reader.VideoStream`."""

    decoder: str

    @property
    def info(self) -> Size: ...
    @property
    def report(self) -> StreamReport: ...
    def __iter__(self) -> Iterator[Frames]: ...


class Decoder(Protocol):
    """Opens videos: in this process, or in one that can be killed."""

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo: ...


def run_unit(
    unit: Unit, job: Job, flow: FlowSource, open_video: Decoder
) -> Iterator[VideoDone | UnitDone | UnitKept]:
    """Turn a unit into a committed shard, telling of each video as it ends.

    Videos whose earlier result stands are taken over. A bad video costs that video only, and a
    result that was better before is kept. Raises `StorageError` or `TransientError` if the
    destination fails; the unit is then not committed and may be run again.
    """
    output, videos = Output(), []
    with ExitStack() as stack:
        folder = stack.enter_context(job.dest.scratch())
        carrier = stack.enter_context(
            Carrier(job.dest, unit, job.config.digest(), job.libraries.keys())
        )
        wanted = [ref for ref in unit.videos if not carrier.is_likely(ref)]
        fetcher = stack.enter_context(Fetcher(job.source, wanted, job.config.run))
        writer = TarWriter(os.path.join(folder, "shard.tar"))
        stack.callback(writer.discard)
        digests = carrier.digests
        for ref in unit.videos:
            taken = carrier.take(ref, writer)
            if taken is None:
                digests.add(own_digest(job.config, job.libraries))
            video, brought = taken or run_video(ref, job, writer, flow, open_video, fetcher)
            said = {"labels": dict(ref.labels), "inputs": video_inputs(ref)}
            video = video.model_copy(update=said)
            output.extend(brought)
            videos.append(video)
            if video.status == "quarantined":
                _note_quarantine(job.dest, video, brought.stderr)
            fault_point("unit: video ended")
            yield VideoDone(unit.id, video, taken is not None)
        worse, standing = carrier.worse(videos), None
        if worse and ((standing := carrier.standing()) or not job.takes_worse):
            yield _keep(unit, job, standing, writer.path, worse)
        else:
            yield UnitDone(_commit(unit, job, writer, output, videos, join_digests(*digests)))


def _keep(
    unit: Unit, job: Job, standing: LedgerRecord | None, path: str, worse: list[str]
) -> UnitDone | UnitKept:
    """Let the earlier result of a unit stand, since the new one is worse."""
    if standing is None:
        return UnitKept(unit.id, tuple(worse))
    return UnitDone(commit_record(job.dest, standing, path, job.ledger), kept=tuple(worse))


def _commit(
    unit: Unit,
    job: Job,
    writer: TarWriter,
    output: Output,
    videos: list[VideoRecord],
    libraries: str,
) -> LedgerRecord:
    """Commit a unit, unless another driver has meanwhile; returns the record that stands."""
    if not job.dest.is_local and (standing := committed(job.dest, unit.id, job.ledger)):
        return standing
    record = LedgerRecord(
        unit=unit.id,
        ordinal=unit.ordinal,
        config_sha256=job.config.digest(),
        shard=commit_shard(job.dest, writer, unit.ordinal, unit.id),
        videos=videos,
        windows=output.rows,
        rejected_windows=output.rejected,
        statistics=output.sums.record(),
        libraries=libraries,
    )
    return commit_record(job.dest, record, writer.path, job.ledger)


def run_video(
    ref: VideoRef,
    job: Job,
    writer: TarWriter,
    flow: FlowSource,
    open_video: Decoder,
    fetcher: Fetcher,
) -> tuple[VideoRecord, Output]:
    """Append a video's samples to the shard, or nothing if the video cannot be used.

    A decoder that crashes is started once more as it is, since it may have been killed from
    outside; that try leaves no trace. Where decord is asked for and misbehaves, hangs or crashes
    twice, the video is started again with PyAV. One that is read in ranges, but needs most of its
    file, is started again with a copy. Returns how it ended and what it brought; never raises for
    what is wrong with the video itself or with its actions.
    """
    mark = writer.mark()
    decoder = job.config.video.decoder
    path, tries, spared = job.source.path(ref.where), 1, False
    while True:
        try:
            with fetcher.video(ref, decoder) as (source, path):
                _check_unchanged(ref, job.source, path)
                actions = _read_actions(ref, job)
                stream = open_video(source, ref, decoder)
                output = _write_windows(ref, stream, job, writer, flow, actions)
                if not path:  # what was read in ranges may have changed between them
                    _check_unchanged(ref, job.source, path)
                ended = _ended(ref, stream, output, tries)
            return ended, output
        except RangesSpent:
            writer.rollback(mark)
            fetcher.copy_whole(ref)
        except (InputError, OSError) as error:
            writer.rollback(mark)
            if isinstance(error, DecoderDied) and error.reason == "crash" and not spared:
                spared = True
                continue
            if not isinstance(error, _DECORDS_OWN) or decoder != "decord":
                detail = _detail(error, path, ref)
                stderr = error.tail if isinstance(error, DecoderDied) else ""
                return _failed(ref, error, detail, decoder, tries), Output(stderr=stderr)
            decoder, tries = "pyav", tries + 1


def _detail(error: Exception, path: str, ref: VideoRef) -> str:
    """An error's text without the path, which is this machine's: it has no place in a dataset."""
    if isinstance(error, OSError) and error.filename:
        error = OSError(error.errno, error.strerror, ref.id)
    told = str(error).replace(path or ref.uri, ref.id).removeprefix(f"{ref.id}: ")
    return public_text(told)


def _note_quarantine(dest: Tree, video: VideoRecord, stderr: str) -> None:
    """Keep what helps to find out why, for a person; the ledger holds what must repeat."""
    note = {
        **video.model_dump(include={"id", "reason", "detail", "decoder", "tries"}),
        "stderr": stderr,
        "replay": f"sofdata replay {shlex.quote(dest.name)} {shlex.quote(video.id)}",
    }
    name = f"{QUARANTINE}/{quarantine_name(video.id)}"
    dest.write(name, json.dumps(note, indent=1).encode())


def _read_actions(ref: VideoRef, job: Job) -> ActionTrack | None:
    """All actions of a demonstration; None where actions were not asked for."""
    if ref.actions is None or job.actions is None:
        return None
    corpus = demonstration_corpus(job.corpus)
    return corpus.read_actions(job.source, ref.actions, job.actions)


def _write_windows(
    ref: VideoRef,
    stream: DecodedVideo,
    job: Job,
    writer: TarWriter,
    flow: FlowSource,
    actions: ActionTrack | None,
) -> Output:
    config = job.config
    context = VideoContext(
        ref=ref,
        estimator=flow.name,
        video_size=(stream.info.height, stream.info.width),
        fit=config.video.fit,
        action_names=job.actions.names if job.actions else (),
    )
    output = Output()
    for found in windows_of(stream, config, flow, ref.annotations):
        window = _with_actions(found, actions)
        if isinstance(window, RejectedWindow):
            output.rejected.append(_rejected(ref, window))
            continue
        sample = encode_sample(window, context, config.codec, config.images)
        offset = writer.add(sample.record.key, sample.members)
        output.rows.append(_row(sample, window, offset))
        output.sums.add(sample.flow)
    return output


def _with_actions(
    window: SkillWindow | RejectedWindow, actions: ActionTrack | None
) -> SkillWindow | RejectedWindow:
    if actions is None or isinstance(window, RejectedWindow):
        return window
    return attach_actions(window, actions)


def _check_unchanged(ref: VideoRef, source: Tree, path: str) -> None:
    """A file that is no longer what the plan saw would give other bytes than the unit's id says.

    path: of the file or of its copy, "" if it is read where it lies.
    """
    size = Tree("/").size(local(path)) if path else source.size(ref.where)
    if size != ref.size_bytes or ref.fingerprint != fingerprint(
        source, ref.uri, size, ref.actions, path
    ):
        raise Unusable("changed", "the file has changed since the plan was made")


def _ended(ref: VideoRef, stream: DecodedVideo, output: Output, tries: int) -> VideoRecord:
    report = stream.report
    reasons = Counter(window.reason for window in output.rejected)
    kept = len(output.rows)
    reason = "" if kept else reasons.most_common(1)[0][0] if reasons else "too_short"
    return VideoRecord(
        id=ref.id,
        status="done" if kept else "rejected",
        reason=reason,
        detail="" if kept else _why_empty(reason, report.frames_sampled, report.covered_s),
        decoder=stream.decoder,
        tries=tries,
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


def _why_empty(reason: str, frames: int, covered_s: float) -> str:
    if reason == "too_short":
        what = "1 frame was" if frames == 1 else f"{frames} frames over {covered_s:.2f} s were"
        return f"{what} sampled: too few for a window"
    return f"none of its windows is kept: {reason}"


def _failed(ref: VideoRef, error: Exception, detail: str, decoder: str, tries: int) -> VideoRecord:
    if isinstance(error, Unusable):
        rejected = error.reason not in ("changed", "missing", "unreadable")
        status, reason = "rejected" if rejected else "quarantined", error.reason
    elif isinstance(error, OverLimit):
        status, reason = "quarantined", error.reason
    elif isinstance(error, DecoderDied):
        status, reason = "quarantined", f"decoder_{error.reason}"
    elif isinstance(error, OSError):
        status, reason = "quarantined", "unreadable"
    elif isinstance(error, ActionError):
        status, reason = "quarantined", "action_error"
    elif isinstance(error, DecodeError):
        status, reason = "quarantined", "decode_error"
    elif isinstance(error, FlowError):
        status, reason = "quarantined", "flow_error"
    else:  # the file has shrunk while ranges of it were read
        status, reason = "quarantined", "changed"
    return VideoRecord.model_validate(
        {
            "id": ref.id,
            "status": status,
            "reason": reason,
            "detail": detail,
            "decoder": decoder,
            "tries": tries,
        }
    )


def _row(sample: Sample, window: SkillWindow, offset: int) -> WindowRow:
    record = sample.record
    return WindowRow(
        key=record.key,
        offset=offset,
        source=record.source,
        window=record.window,
        steps=len(window),
        start_s=record.start_s,
        end_s=record.end_s,
        cut=record.cut,
        text=record.text,
        codec=record.flow["codec"],
        error_mean_px=record.flow["error_mean_px"],
        error_max_px=record.flow["error_max_px"],
        **record.motion,
    )


def _rejected(ref: VideoRef, window: RejectedWindow) -> RejectedWindowRecord:
    return RejectedWindowRecord(
        video=ref.id,
        window=window.index,
        start_s=window.start_s,
        end_s=window.end_s,
        reason=window.reason,
    )
