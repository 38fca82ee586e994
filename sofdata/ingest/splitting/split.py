"""A video that is worked on in parts: what a worker has to know to do one of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sofdata.errors import InputError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.splitting.folder import PartFolder
from sofdata.ingest.stages import FlowSource, StepChunk, estimate_flow, reduce_flow
from sofdata.storage.folder import MIB
from sofdata.system.fault_points import fault_point
from sofdata.types import Frames, VideoRef
from sofdata.video.division import Division, NotAsWhole

WAIT_S = 1.0  # for a part to do, before a helper asks its driver again
POLL_S = 0.05


class PartDecoder(Protocol):
    """Decodes parts of a video: in this process, or in one that can be killed."""

    def part(
        self, path: str, ref: VideoRef, division: Division, number: int
    ) -> Iterable[Frames]: ...


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file is known by for as long as it is read."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class VideoSplit:
    """A long video is open, and workers of its node may do parts of it.

    unit: the id of its unit. path: of its file, or of the copy, on that node.
    libraries: digest of those of the worker that joins the parts.
    """

    unit: str
    ref: VideoRef
    path: str
    file: FileState
    division: Division
    folder: PartFolder
    libraries: str


def state_of(path: str) -> FileState | None:
    """The state of a file now; None where it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)


def most_ahead(config: IngestConfig, division: Division) -> int:
    """How many parts may be ahead of the one that is joined, by `run.split.ahead_mib`."""
    steps = max(len(part.pts) for part in division.parts)
    step_bytes = 3 * config.flow.size**2 + 3 * 4 * config.windows.size**2 + 4096
    step_bytes += 2 * 4 * config.keeps_at**2 + 4096 if config.keeps_at else 0
    return max(1, int(config.run.split.ahead_mib * MIB / (steps * step_bytes)))


class PartWorker:
    """Does parts of videos: of those of its own worker, and of those of others."""

    def __init__(self, config: IngestConfig, decoder: PartDecoder, flow: FlowSource) -> None:
        self._config = config
        self._decoder = decoder
        self._flow = flow

    def steps(self, split: VideoSplit, number: int) -> Iterator[StepChunk]:
        """The steps of a part. Raises `NotAsWhole` where they may not be those of the whole."""
        if state_of(split.path) != split.file:
            raise NotAsWhole(f"{split.path} is changing")
        try:
            frames = self._decoder.part(split.path, split.ref, split.division, number)
            chunks = estimate_flow(frames, self._flow, self._config, split.ref.annotations)
            config = self._config
            yield from reduce_flow(chunks, config.windows, config.quality, config.keeps_at)
        except (InputError, OSError) as error:
            # Whatever it is, the whole video may be tried with more patience, and it alone decides.
            raise NotAsWhole(f"part {number + 1}: {error}") from error

    def help(self, split: VideoSplit, libraries: str) -> bool:
        """Do one part of another worker's video, as soon as there is one to do.

        libraries: digest of those of this worker. Returns whether it makes sense to ask again.
        Never raises for what is wrong with the video: then its parts are broken off.
        """
        until_s = time.monotonic() + WAIT_S
        folder = split.folder
        while libraries == split.libraries and folder.is_open() and folder.has_left():
            try:
                if self.try_part(split) or time.monotonic() > until_s:
                    return folder.has_left()
            except NotAsWhole as error:  # as it does where the video has ended meanwhile
                folder.break_off(str(error))
                return False
            time.sleep(POLL_S)
        return False

    def try_part(self, split: VideoSplit) -> bool:
        """Do the next part that nobody has, if there is one; returns whether there was.

        Raises `NotAsWhole` where the folder fails.
        """
        with split.folder.next_part() as number:
            if number is None:
                return False
            fault_point("a part is claimed")
            steps = self.steps(split, number)
            try:
                split.folder.write(number, _while_open(steps, split.folder))
            except NotAsWhole as error:
                split.folder.break_off(str(error))
            return True


@dataclass(frozen=True, slots=True)
class OwnSplit:
    """A split video from the side of the worker that joins its parts, and does some of them."""

    video: VideoSplit
    worker: PartWorker


def _while_open(steps: Iterable[StepChunk], folder: PartFolder) -> Iterator[StepChunk]:
    for chunk in steps:
        yield chunk
        if not folder.is_open():
            raise NotAsWhole("nobody wants the part any more")
