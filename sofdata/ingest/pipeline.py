"""One video, from its file to the samples in a shard.

`ingest_video` is all of it in order. What follows from an error is decided elsewhere, in
`sofdata.ingest.retries`; the videos of a unit, and its commit, are in `sofdata.ingest.unit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sofdata.corpora.registry import demonstration_corpus
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.files import fingerprint
from sofdata.ingest.job import UnitJob
from sofdata.ingest.outcome import VideoOutcome, finished_outcome
from sofdata.ingest.retries import VideoAttempt
from sofdata.ingest.stages import FlowSource, cut_windows, estimate_flow, with_actions
from sofdata.shards.sample import VideoContext, encode_sample
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.types import ActionTrack, Frames, RejectedWindow, VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.tally import StreamReport


class FrameSize(Protocol):
    """Size of a video as shown, px."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class DecodedVideo(Protocol):
    """A video being decoded; see `sofdata.video.reader.VideoStream`."""

    decoder: str

    @property
    def info(self) -> FrameSize: ...
    @property
    def report(self) -> StreamReport: ...
    def __iter__(self) -> Iterator[Frames]: ...


class Decoder(Protocol):
    """Opens videos: in this process, or in one that can be killed."""

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker reads a unit's videos with, and where their samples go."""

    fetcher: Fetcher
    open_video: Decoder
    flow: FlowSource
    shard: ShardWriter


def ingest_video(ref: VideoRef, attempt: VideoAttempt, job: UnitJob, tools: Tools) -> VideoOutcome:
    """One attempt at a video: open it, estimate flow, cut windows, encode and write them.

    All of its samples get into the shard or, if this raises, none. Raises `InputError` or `OSError`
    for what is wrong with the video, which `sofdata.ingest.retries` judges, and what the
    destination raises.
    """
    config = job.config
    # The samples outermost: what a file turns out to be when it is closed rolls them back as well.
    with tools.shard.video(ref.id) as samples, _opened(ref, attempt, job, tools.fetcher) as file:
        actions = _read_actions(ref, job)
        frames = tools.open_video(file, ref, attempt.decoder)
        chunks = estimate_flow(frames, tools.flow, config, ref.annotations)
        windows = cut_windows(chunks, config.windows, ref.annotations)
        context = _context(ref, frames, job, tools.flow.name)
        for window in with_actions(windows, actions):
            if isinstance(window, RejectedWindow):
                samples.reject(window)
            else:
                samples.write(encode_sample(window, context, config.codec, config.images))
        return finished_outcome(ref, frames.decoder, frames.report, samples, attempt)


@contextmanager
def _opened(
    ref: VideoRef, attempt: VideoAttempt, job: UnitJob, fetcher: Fetcher
) -> Iterator[Source]:
    """What a decoder reads a video from, as long as it is what the plan saw."""
    if attempt.copy_whole:
        fetcher.copy_whole(ref)
    with fetcher.video(ref, attempt.decoder) as (source, path):
        _check_unchanged(ref, job.source, path)
        yield source
        if not path:  # what was read in ranges may have changed between them
            _check_unchanged(ref, job.source, path)


def _check_unchanged(ref: VideoRef, source: Tree, path: str) -> None:
    """A file that is no longer what the plan saw would give other bytes than the unit's id says.

    path: of the file or of its copy, "" if it is read where it lies.
    """
    size = Tree("/").size(local(path)) if path else source.size(ref.where)
    if size != ref.size_bytes or ref.fingerprint != fingerprint(
        source, ref.uri, size, ref.actions, path
    ):
        raise Unusable("changed", "the file has changed since the plan was made")


def _read_actions(ref: VideoRef, job: UnitJob) -> ActionTrack | None:
    """All actions of a demonstration; None where actions were not asked for."""
    if ref.actions is None or job.actions is None:
        return None
    corpus = demonstration_corpus(job.corpus)
    return corpus.read_actions(job.source, ref.actions, job.actions)


def _context(ref: VideoRef, video: DecodedVideo, job: UnitJob, estimator: str) -> VideoContext:
    return VideoContext(
        ref=ref,
        estimator=estimator,
        video_size=(video.info.height, video.info.width),
        fit=job.config.video.fit,
        action_names=job.actions.names if job.actions else (),
    )
