"""One video, from its file to the samples in a shard.

`ingest_video` is all of it in order. What follows from an error is decided elsewhere, in
`sofdata.ingest.retries`; the videos of a unit, and its commit, are in `sofdata.ingest.unit`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sofdata.ingest.events import SplitOpened, VideoProgress
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.files import fingerprint
from sofdata.ingest.job import UnitJob
from sofdata.ingest.keeping import Keeper
from sofdata.ingest.libraries import own_digest
from sofdata.ingest.outcome import VideoOutcome, finished_outcome
from sofdata.ingest.retries import VideoAttempt
from sofdata.ingest.splitting.folder import part_folder
from sofdata.ingest.splitting.join import Join
from sofdata.ingest.splitting.split import OwnSplit, PartWorker, VideoSplit, most_ahead, state_of
from sofdata.ingest.stages import FlowSource, StepChunk, join_steps, with_actions
from sofdata.ingest.work import span_length_s, whole_bytes
from sofdata.shards.sample import Jpegs, VideoContext, encode_sample
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.system.fault_points import fault_point
from sofdata.types import ActionTrack, Frames, RejectedWindow, VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.division import Division
from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.tally import StreamReport

PROGRESS_S = 1.0  # between two reports of how far a video has come


class Shown(Protocol):
    """Size of a video as shown, px, and what its header states of frames a second and length, s.

    fps: 0 where it states none. duration_s: 0 or None where it states none.
    """

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def duration_s(self) -> float | None: ...


class DecodedVideo(Protocol):
    """A video being decoded; see `sofdata.video.reader.VideoStream`."""

    decoder: str

    @property
    def info(self) -> Shown: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def is_sound(self) -> bool: ...
    @property
    def division(self) -> Division | None: ...
    @property
    def report(self) -> StreamReport: ...
    def __iter__(self) -> Iterator[Frames]: ...


class Decoder(Protocol):
    """Opens videos: in this process, or in one that can be killed."""

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker reads a unit's videos with, and where their samples go.

    unit: its id. parts: does parts of long videos; None where nobody could help with them.
    """

    fetcher: Fetcher
    open_video: Decoder
    flow: FlowSource
    shard: ShardWriter
    unit: str = ""
    parts: PartWorker | None = None


VideoSteps = Generator[VideoProgress | SplitOpened, None, VideoOutcome]


def ingest_video(ref: VideoRef, attempt: VideoAttempt, job: UnitJob, tools: Tools) -> VideoSteps:
    """One attempt at a video: open it, estimate flow, cut windows, encode and write them.

    Yields, about once a second, how far it has come, at first whether others may work on parts of
    it, and returns how it ended. All of its samples get into the shard or, if this raises or is
    closed before its end, none. Raises `InputError` or `OSError` for what is wrong with the video,
    which `sofdata.ingest.retries` judges, and what the destination raises.
    """
    config = job.config
    # The samples outermost: what a file turns out to be when it is closed rolls them back as well.
    with ExitStack() as stack:
        samples = stack.enter_context(tools.shard.video(ref.id))
        file = stack.enter_context(opened(ref, attempt, job.source, tools.fetcher))
        actions = _read_actions(ref, job)
        video = tools.open_video(file, ref, attempt.decoder)
        split = stack.enter_context(_split(video, str(file), ref, attempt, job, tools))
        if split:
            yield SplitOpened(split.video)
            fault_point("a video is split")
        steps = Join(video, ref, config, tools.flow, split)
        clock = VideoClock(steps, video.duration_s, ref)
        context = _context(ref, video, job, tools.flow.name)
        chunks: Iterable[StepChunk] = clock
        if config.flow.keep:
            chunks = Keeper(samples, context, config, actions).along(clock)
        windows = join_steps(chunks, config.windows, ref.annotations)
        images = Jpegs(config.images)
        for window in with_actions(windows, actions):
            if isinstance(window, RejectedWindow):
                samples.reject(window)
            else:
                samples.write(encode_sample(window, context, config.codec, images))
            if clock.is_due():
                yield clock.progress(tools.unit)
        return finished_outcome(ref, video.decoder, steps.report, samples, attempt)


def run_through(steps: VideoSteps) -> VideoOutcome:
    """How a video ends, where nobody asks how far it has come."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            outcome: VideoOutcome = ended.value
            return outcome


class VideoClock:
    """The steps of a video, and how far they have come: by their own times, not by any count."""

    def __init__(self, steps: Iterable[StepChunk], duration_s: float, ref: VideoRef) -> None:
        self._steps = steps
        self._duration_s = duration_s
        self._ref = ref
        self._done_s = 0.0
        self._reported_s = time.monotonic()

    def __iter__(self) -> Iterator[StepChunk]:
        first_s: float | None = self._ref.span_s[0] if self._ref.span_s else None
        for chunk in self._steps:
            pts_s = chunk.frames.pts_s
            first_s = float(pts_s[0]) if first_s is None else first_s
            self._done_s = float(pts_s[-1]) - first_s
            yield chunk

    def is_due(self) -> bool:
        """Whether nothing was reported for `PROGRESS_S`."""
        return time.monotonic() - self._reported_s >= PROGRESS_S

    def progress(self, unit: str) -> VideoProgress:
        """How far it has come, for whoever follows the unit."""
        self._reported_s = time.monotonic()
        ref = self._ref
        total_s = span_length_s(ref) or self._duration_s
        return VideoProgress(unit, ref.id, self._done_s, total_s, whole_bytes(ref))


@contextmanager
def _split(
    video: DecodedVideo, path: str, ref: VideoRef, attempt: VideoAttempt, job: UnitJob, tools: Tools
) -> Iterator[OwnSplit | None]:
    """A video that is open, for others to work on parts of it; None where nobody may."""
    division = video.division if tools.parts and not attempt.in_one else None
    file = state_of(path) if division else None
    if tools.parts is None or division is None or file is None:
        yield None
        return
    own = own_digest(job.config, job.libraries)
    with part_folder(len(division.parts), most_ahead(job.config, division)) as folder:
        if folder is None:
            yield None
        else:
            split = VideoSplit(tools.unit, ref, path, file, division, folder, own)
            yield OwnSplit(split, tools.parts)


@contextmanager
def opened(
    ref: VideoRef, attempt: VideoAttempt, source: Tree, fetcher: Fetcher
) -> Iterator[Source]:
    """What a decoder reads a video from, as long as it is what the plan saw.

    Raises `Unusable` where it is not, and what the source raises.
    """
    if attempt.copy_whole:
        fetcher.copy_whole(ref)
    with fetcher.video(ref, attempt.decoder) as (file, path):
        _check_unchanged(ref, source, path)
        yield file
        if not path:  # what was read in ranges may have changed between them
            _check_unchanged(ref, source, path)


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
    from sofdata.corpora.registry import demonstration_corpus  # all adapters: few workers need one

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
