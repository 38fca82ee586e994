"""The flow of a video is kept while its windows are cut: in pieces of the same length for any
chunks, so that the bytes depend on neither chunks nor who has decoded which part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.stages import StepChunk
from sofdata.shards.kept import encode_actions, encode_kept
from sofdata.shards.sample import Jpegs, VideoContext
from sofdata.shards.writer import VideoSamples
from sofdata.types import ActionTrack
from sofdata.windows.kept import KeptSteps, joined

PIECE_STEPS = 32  # of a sample: some megabytes of memory at 64 px, and little to read for a part


class Keeper:
    """Writes what is kept of one video."""

    def __init__(
        self,
        samples: VideoSamples,
        context: VideoContext,
        config: IngestConfig,
        actions: ActionTrack | None = None,
    ) -> None:
        self._samples = samples
        self._context = context
        self._config = config.flow.kept
        self._images = Jpegs(config.images)
        self._actions = encode_actions(actions) if actions else {}
        self._waiting: list[KeptSteps] = []
        self._jpegs: list[bytes] = []  # of all frames of what is waiting
        self._frame_size = (0, 0)
        self._pieces = 0

    def along(self, chunks: Iterable[StepChunk]) -> Iterator[StepChunk]:
        """The chunks of the whole video as they come, each once it is kept."""
        for chunk in chunks:
            self._add(chunk)
            yield chunk
        if self._waiting and (sum(map(len, self._waiting)) or not self._pieces):
            self._write(joined(self._waiting), self._jpegs)
        self._samples.keep(())  # also of a video without any frame: it was read to its end

    def _add(self, chunk: StepChunk) -> None:
        if chunk.kept is None:
            raise ContractError("flow is to be kept, and a chunk came without it")
        frames: NDArray[np.uint8] = chunk.frames.rgb
        self._frame_size = (frames.shape[1], frames.shape[2])
        new = frames[1:] if self._jpegs else frames  # chunks share a frame
        self._jpegs += [self._images.encode(frame) for frame in new]
        self._waiting.append(chunk.kept)
        if sum(map(len, self._waiting)) >= PIECE_STEPS:
            self._write_whole_pieces()

    def _write_whole_pieces(self) -> None:
        steps, first = joined(self._waiting), 0
        while len(steps) - first >= PIECE_STEPS:
            end = first + PIECE_STEPS
            self._write(steps.part(first, end), self._jpegs[first : end + 1])
            first = end
        self._waiting, self._jpegs = [steps.part(first, len(steps))], self._jpegs[first:]

    def _write(self, steps: KeptSteps, jpegs: list[bytes]) -> None:
        record, members = encode_kept(
            steps, jpegs, self._frame_size, self._context, self._pieces, self._config
        )
        first = self._actions if not self._pieces else {}
        self._samples.keep([(record, {**members, **first})])
        self._pieces += 1
