"""The steps of a long video in their order, whoever has done them.

The worker that has the video decodes it from its beginning, as it would without any help. Where it
comes to a part that another worker has taken meanwhile, it ends its decoder, and joins the parts
from there on: those that others have done, and in between those that it does itself. It waits only
for parts that are under way, and meanwhile does others. Nobody has to help: alone, it decodes the
whole video in one go.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.splitting.split import POLL_S, OwnSplit, VideoSplit
from sofdata.ingest.stages import FlowSource, StepChunk, estimate_flow, reduce_flow
from sofdata.system.fault_points import fault_point
from sofdata.types import Frames, VideoRef
from sofdata.video.division import NotAsWhole
from sofdata.video.tally import StreamReport


class WholeVideo(Protocol):
    """A video being decoded; see `sofdata.video.reader.VideoStream`."""

    @property
    def is_sound(self) -> bool: ...
    @property
    def report(self) -> StreamReport: ...
    def __iter__(self) -> Iterator[Frames]: ...


class Join:
    """The steps of a video, split or not, and its report; for the worker that has the video.

    split: None for a video that nobody else works on.
    """

    def __init__(
        self,
        whole: WholeVideo,
        ref: VideoRef,
        config: IngestConfig,
        flow: FlowSource,
        split: OwnSplit | None = None,
    ) -> None:
        self._whole = whole
        self._annotations = ref.annotations
        self._config = config
        self._flow = flow
        self._split = split
        self._lost: int | None = None  # the first part that another worker has taken

    @property
    def report(self) -> StreamReport:
        """What became of the video, once all chunks were read."""
        if self._split is None or self._lost is None:
            return self._whole.report
        return self._split.video.division.report

    def __iter__(self) -> Iterator[StepChunk]:
        """All chunks of the whole video.

        Raises what decoding the whole video raises, and `NotAsWhole` where the parts do not make up
        the whole: then it is to be tried again without parts.
        """
        frames = self._until_lost(self._split.video) if self._split else self._whole
        chunks = estimate_flow(frames, self._flow, self._config, self._annotations)
        last: Frames | None = None
        config = self._config
        for chunk in reduce_flow(chunks, config.windows, config.quality, config.keeps_at):
            last = chunk.frames
            yield chunk
        if self._split is None or self._lost is None:
            return
        for number in range(self._lost, self._split.video.folder.parts):
            for chunk in _part(self._split, number):
                _check_follows(chunk.frames, last)
                last = chunk.frames
                yield chunk

    def _until_lost(self, split: VideoSplit) -> Iterator[Frames]:
        """The frames of the whole video, up to the first part that another worker has taken."""
        seams = split.division.seams()
        count = 1  # samples so far; chunks share one
        for frames in self._whole:
            yield frames
            count += len(frames) - 1
            number = seams.get(count)
            if number is None:
                continue
            if not self._whole.is_sound:
                split.folder.break_off("the video is damaged")
                seams = {}
            elif not split.folder.take(number):
                self._lost = number
                return


def _part(split: OwnSplit, number: int) -> Iterator[StepChunk]:
    """The steps of a part, by whoever has done it or, if nobody has, by this worker."""
    video, folder = split.video, split.video.folder
    while True:
        if why := folder.why_broken():
            raise NotAsWhole(why)
        if folder.take(number):
            yield from split.worker.steps(video, number)
            return
        if folder.is_done(number):
            fault_point("a part is joined")
            yield from folder.read(number)
            return
        if not split.worker.try_part(video):
            time.sleep(POLL_S)


def _check_follows(frames: Frames, before: Frames | None) -> None:
    """Two decoders have given the frame that a part shares with the one before: the same one?"""
    if before is None or frames.pts_s[0] != before.pts_s[-1]:
        raise NotAsWhole("a part does not begin with the last frame of the one before")
    if not np.array_equal(frames.rgb[0], before.rgb[-1]):
        raise NotAsWhole("a frame decodes to another one where a part begins")
