"""What measures: it reads headers and runs videos as a worker does, and takes the time.

A video goes the same way as in an ingest: `run_video` in `sofdata.ingest.unit`, then the commit of
a shard, into a folder that is thrown away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from sofdata.errors import ContractError, InputError
from sofdata.flow.estimator import make_estimator
from sofdata.ingest.engines.decoders import InProcess, Isolated
from sofdata.ingest.estimate.clock import NO_TIME, CpuClock, Spent
from sofdata.ingest.estimate.guess import Header
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import DecodedVideo, Decoder, Tools, run_through
from sofdata.ingest.stages import Flow, FlowSource, Images, LocalFlow
from sofdata.ingest.unit import run_video, shard_in
from sofdata.shards.layout import FLOW, SHARDS
from sofdata.shards.schema import VideoRecord
from sofdata.shards.writer import ShardWriter
from sofdata.types import VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.ranges import RangeFile, Source

# Of a video, decoded when its header is read: a process that decodes takes no other question.
HEAD_S = 0.1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a video, or the span of it that `ref` names, took and gave.

    bytes: of its samples in a shard.
    frames_decoded: sampled or not; None where the decoder counts none.
    pairs: of frames whose flow was estimated. flow: what the estimator took, part of `spent`.
    commit: its share, by bytes, of checking and storing the shard.
    """

    ref: VideoRef
    record: VideoRecord
    bytes: int
    frames_decoded: int | None
    pairs: int
    flow: Spent
    spent: Spent
    commit: Spent = NO_TIME


class Meter:
    """Reads headers and measures videos, one after the other. `close` it.

    job: of the ingest, but for its destination, which is a folder that is thrown away.
    isolated: whether videos are decoded in a process of their own.
    """

    def __init__(self, job: UnitJob, isolated: bool) -> None:
        self._job = job
        self._own = (Isolated if isolated else InProcess)(job.config)
        self._decoder = _Watched(self._own)
        self._clock = CpuClock()
        self._shards = 0

    def start(self) -> None:
        """Begin as a worker does: with the source, the model of flow and what decodes.

        Raises what these raise.
        """
        self._job.source.connect()
        self._flow.reset()
        nobody = VideoRef("start", "start", 0, "")
        with suppress(InputError, OSError):  # no video; but now there is a process
            self._decoder(os.devnull, nobody, "pyav")

    def header(self, ref: VideoRef) -> Header | None:
        """What the header of a video says; None where it cannot be read."""
        start_s = ref.span_s[0] if ref.span_s else 0.0
        part = replace(ref, span_s=(start_s, start_s + HEAD_S))
        info = None
        with suppress(InputError, OSError), self._file(ref) as file:
            stream = self._decoder(file, part, "pyav")
            info = stream.info
            for _ in stream:  # to the end, which comes at once
                pass
        if info is None:
            return None
        return Header(info.width, info.height, info.fps, info.duration_s or 0.0)

    def measure(self, refs: Sequence[VideoRef]) -> list[Measured]:
        """Run some videos as a unit. Raises what storage raises, and nothing for a bad video."""
        self._shards += 1
        with (
            self._job.dest.scratch() as folder,
            Fetcher(self._job.source, refs, self._job.config.run) as fetcher,
            shard_in(folder, self._job.config) as shard,
        ):
            tools = Tools(fetcher, self._decoder, self._flow, shard)
            videos = [self._video(ref, tools) for ref in refs]
            return _with_commit(videos, self._commit(shard))

    def close(self) -> None:
        """End the process that decodes."""
        self._own.close()

    @cached_property
    def _flow(self) -> TimedFlow:
        return TimedFlow(LocalFlow(make_estimator(self._job.config.flow)))

    def _video(self, ref: VideoRef, tools: Tools) -> Measured:
        self._flow.reset()
        self._decoder.stream = None
        begin_bytes, begin = tools.shard.size_bytes, self._clock.read()
        outcome = run_through(run_video(ref, self._job, tools))
        spent = self._clock.since(begin)
        return Measured(
            ref=ref,
            record=outcome.record,
            bytes=tools.shard.size_bytes - begin_bytes,
            frames_decoded=self._decoder.frames_decoded(),
            pairs=self._flow.pairs,
            flow=self._flow.spent,
            spent=spent,
        )

    def _commit(self, shard: ShardWriter) -> Spent:
        begin = self._clock.read()
        dest, name = self._job.dest, (self._shards, str(os.getpid()))
        committed, kept = shard.commit(dest, *name), shard.commit_kept(dest, *name)
        spent = self._clock.since(begin)
        if committed:
            dest.remove(f"{SHARDS}/{committed.name}")
        if kept and kept.shard:
            dest.remove(f"{FLOW}/{kept.shard.name}")
        return spent

    @contextmanager
    def _file(self, ref: VideoRef) -> Iterator[Source]:
        """The file of a video: in place, in ranges where there are any, else copied."""
        source = self._job.source
        if source.is_on_disk(ref.where) or not source.has_ranges(ref.where):
            with source.local_copy(ref.where, ref.size_bytes) as path:
                yield path
        else:
            yield RangeFile(
                ref.uri,
                ref.size_bytes,
                lambda start, end: source.read_range(ref.where, start, end),
            )


class TimedFlow:
    """A source of flow that counts pairs and takes its time."""

    def __init__(self, flow: FlowSource) -> None:
        self.name, self.depth = flow.name, flow.depth
        self._flow = flow
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.pairs, self.spent = 0, NO_TIME

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]:
        """As of any source of flow."""
        self.pairs += len(first)
        wait = self._timed(lambda: self._flow.submit(first, second))
        return lambda: self._timed(wait)

    def _timed(self, action: Callable[[], _T]) -> _T:
        wall_s, own_s = time.perf_counter(), time.process_time()
        result = action()
        spent = Spent(time.perf_counter() - wall_s, time.process_time() - own_s, 0.0)
        self.spent = self.spent.plus(spent)
        return result


class _Watched:
    """A decoder of which it is known what it opened last."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.stream: DecodedVideo | None = None

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        self.stream = self._decoder(path, ref, decoder)
        return self.stream

    def frames_decoded(self) -> int | None:
        """Of the video that was read last; None where that is not known."""
        if self.stream is None:
            return None
        try:
            return self.stream.report.frames_decoded
        except ContractError:  # it was not read to its end
            return None


def _with_commit(videos: list[Measured], commit: Spent) -> list[Measured]:
    whole = sum(video.bytes for video in videos)
    return [
        replace(video, commit=commit.times(video.bytes / whole if whole else 1 / len(videos)))
        for video in videos
    ]
