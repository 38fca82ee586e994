"""One unit: each of its videos to samples in a shard, as often as it takes, then the commit."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from functools import cache

from sofdata.errors import InputError
from sofdata.ingest.carry import Carrier
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.events import SplitOpened, UnitDone, UnitKept, VideoDone, VideoProgress
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import join_digests, own_digest
from sofdata.ingest.outcome import VideoOutcome, failed_outcome
from sofdata.ingest.pipeline import Decoder, Tools, VideoSteps, ingest_video
from sofdata.ingest.retries import VideoAttempt, next_attempt
from sofdata.ingest.splitting.split import PartWorker
from sofdata.ingest.stages import FlowSource
from sofdata.ingest.units import Unit, video_inputs
from sofdata.ingest.work import span_length_s, whole_bytes
from sofdata.shards.commit import commit_record, committed
from sofdata.shards.layout import QUARANTINE
from sofdata.shards.sample import quarantine_name
from sofdata.shards.schema import LedgerRecord, VideoRecord
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.types import VideoRef


def run_unit(
    unit: Unit,
    job: UnitJob,
    flow: FlowSource,
    open_video: Decoder,
    parts: PartWorker | None = None,
) -> Iterator[VideoProgress | SplitOpened | VideoDone | UnitDone | UnitKept]:
    """Turn a unit into a committed shard; each video is reported as it goes on and as it ends.

    parts: as of `Tools`.

    Videos whose earlier result stands are taken over. A bad video costs that video only, and a
    result that was better before is kept. Raises `StorageError` or `TransientError` if the
    destination fails; the unit is then not committed and may be run again.
    """
    config_sha256 = job.config.digest()
    own = cache(lambda: own_digest(job.config, job.libraries))
    with (
        job.dest.scratch() as folder,
        Carrier(
            job.dest, unit, config_sha256, job.libraries.keys(), job.config.keeps_at
        ) as carrier,
        Fetcher(job.source, carrier.not_likely(unit.videos), job.config.run) as fetcher,
        shard_in(folder, job.config) as shard,
    ):
        tools = Tools(fetcher, open_video, flow, shard, unit.id, parts)
        videos, digests = list[VideoRecord](), set[str]()
        for ref in unit.videos:
            taken = carrier.take(ref, shard)
            # Before any work: a process with other libraries than the job allows must not begin.
            digests.add(taken.libraries if taken else own())
            if taken:
                outcome = VideoOutcome(taken.record)
            else:
                outcome = yield from run_video(ref, job, tools)
            video = labelled(ref, outcome.record)
            videos.append(video)
            if video.status == "quarantined":
                _note_quarantine(job.dest, video, outcome.stderr)
            fault_point("unit: video ended")  # where tests kill a worker between two videos
            yield video_done(unit, ref, video, taken is not None)
        # Judged by unit, since a record stands for all of its videos: one that lost what another
        # gained would be committed with it.
        worse, standing = carrier.worse(videos), None
        if worse and ((standing := carrier.standing()) or not job.takes_worse):
            yield _keep(unit, job, standing, shard, worse)
        else:
            computed = config_sha256, join_digests(*digests)
            yield unit_done(commit_unit(unit, job, shard, videos, *computed))


def shard_in(folder: str, config: IngestConfig) -> ShardWriter:
    """Files in a folder for the shards of a unit."""
    kept = os.path.join(folder, "kept.tar") if config.flow.keep else ""
    return ShardWriter(os.path.join(folder, "shard.tar"), kept)


def run_video(ref: VideoRef, job: UnitJob, tools: Tools) -> VideoSteps:
    """Append a video's samples to the shard, or nothing if the video cannot be used.

    Yields how far it has come, and returns how it ended. It is tried as often as `next_attempt`
    says; an attempt that fails leaves no trace in the shard.
    Never raises for what is wrong with the video itself or with its actions.
    """
    attempt = VideoAttempt(job.config.video.decoder)
    while True:
        try:
            return (yield from ingest_video(ref, attempt, job, tools))
        except (InputError, OSError) as error:
            following = next_attempt(attempt, error)
            if following is None:
                return failed_outcome(ref, error, attempt, tools.fetcher.path_of(ref))
            attempt = following


def video_done(unit: Unit, ref: VideoRef, video: VideoRecord, taken_over: bool) -> VideoDone:
    """What a driver counts of a video."""
    return VideoDone(
        unit=unit.id,
        video=video.id,
        status=video.status,
        reason=video.reason,
        windows=video.windows,
        frames=video.frames,
        is_salvaged=bool(video.salvaged),
        seconds=video.covered_s,
        span_s=span_length_s(ref),
        size_bytes=whole_bytes(ref),
        taken_over=taken_over,
    )


def unit_done(record: LedgerRecord, kept: tuple[str, ...] = ()) -> UnitDone:
    """What a driver counts of a committed unit."""
    return UnitDone(record.unit, len(record.videos), len(record.windows), kept=kept)


def labelled(ref: VideoRef, record: VideoRecord) -> VideoRecord:
    """A record with what the plan says of its video now, also where its samples are older."""
    return record.model_copy(update={"labels": dict(ref.labels), "inputs": video_inputs(ref)})


def _keep(
    unit: Unit, job: UnitJob, standing: LedgerRecord | None, shard: ShardWriter, worse: list[str]
) -> UnitDone | UnitKept:
    """Let the earlier result of a unit stand, since the new one is worse."""
    if standing is None:  # damaged: committing neither leaves the choice to the user
        return UnitKept(unit.id, tuple(worse))
    paths = shard.path, job.ledger, shard.kept_path
    return unit_done(commit_record(job.dest, standing, *paths), tuple(worse))


def commit_unit(
    unit: Unit,
    job: UnitJob,
    shard: ShardWriter,
    videos: list[VideoRecord],
    config_sha256: str,
    libraries: str,
) -> LedgerRecord:
    """Commit a unit, unless another driver has meanwhile; returns the record that stands."""
    # Looked up before the upload, which may be large; `commit_record` settles a race after it.
    if not job.dest.is_local and (standing := committed(job.dest, unit.id, job.ledger)):
        return standing
    record = LedgerRecord(
        unit=unit.id,
        ordinal=unit.ordinal,
        config_sha256=config_sha256,
        shard=shard.commit(job.dest, unit.ordinal, unit.id),
        videos=videos,
        windows=shard.rows,
        rejected_windows=shard.rejected,
        statistics=shard.sums.record(),
        libraries=libraries,
        kept=shard.commit_kept(job.dest, unit.ordinal, unit.id),
    )
    return commit_record(job.dest, record, shard.path, job.ledger, shard.kept_path)


def _note_quarantine(dest: Tree, video: VideoRecord, stderr: str) -> None:
    """Keep what helps a person to find out why; the ledger holds only what repeats on every run."""
    note = {
        **video.model_dump(include={"id", "reason", "detail", "decoder", "tries"}),
        "stderr": stderr,
        "replay": f"sofdata replay {shlex.quote(dest.name)} {shlex.quote(video.id)}",
    }
    name = f"{QUARANTINE}/{quarantine_name(video.id)}"
    dest.write(name, json.dumps(note, indent=1).encode())
