"""The two ways in which a unit opens its videos."""

from __future__ import annotations

from collections.abc import Iterable

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.pipeline import DecodedVideo
from sofdata.types import Frames, VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.division import Division
from sofdata.video.isolate import DecoderProcess, IsolatedPart
from sofdata.video.part_reader import read_part
from sofdata.video.ranges import Source
from sofdata.video.reader import open_video
from sofdata.video.sampling import DivideS, Sampling
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream


class InProcess:
    """Opens videos in this process. divides: whether long ones may be decoded in parts."""

    def __init__(self, config: IngestConfig, divides: bool = False) -> None:
        self._config = config
        self._divide_s = _divide_s(config) if divides else None

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        sampling = _sampling(self._config, ref)
        if sequence := ref.where.sequence:
            place = SequencePlace.parse(sequence)
            return SequenceStream(path, place, self._config.video, sampling)
        return open_video(path, self._config.video, sampling, decoder, self._divide_s)

    def part(self, path: str, ref: VideoRef, division: Division, number: int) -> Iterable[Frames]:
        """Decode one of the parts of a video."""
        sampling, part = _sampling(self._config, ref), division.parts[number]
        return read_part(path, self._config.video, sampling, division.track, part)

    def launch(self) -> None:
        """Nothing to start: there is no other process."""

    def close(self) -> None:
        """Nothing to end."""


class Isolated:
    """Opens videos in a process that is killed if a video makes it hang. divides: as above.

    process: one that was launched before the configuration was known.
    """

    def __init__(
        self, config: IngestConfig, process: DecoderProcess | None = None, divides: bool = False
    ) -> None:
        self._config = config
        self._divide_s = _divide_s(config) if divides else None
        self._process = process or DecoderProcess(config.run.limits)
        self._process.limits = config.run.limits

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        sampling = _sampling(self._config, ref)
        config, sequence = self._config.video, ref.where.sequence
        return self._process.open(path, config, sampling, decoder, self._divide_s, sequence)

    def part(self, path: str, ref: VideoRef, division: Division, number: int) -> Iterable[Frames]:
        """Decode one of the parts of a video."""
        sampling = _sampling(self._config, ref)
        return IsolatedPart(self._process, path, self._config.video, sampling, division, number)

    def launch(self) -> None:
        """Start the process, without waiting for it."""
        self._process.launch()

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _divide_s(config: IngestConfig) -> DivideS | None:
    split = config.run.split
    return None if split.from_s is None else (split.from_s, split.part_s)


def _sampling(config: IngestConfig, ref: VideoRef) -> Sampling:
    flow, said = config.flow, ref.annotations
    hidden = (said.hidden_s, said.eye, said.lasts_s)
    return Sampling(flow.size, flow.step_s, ref.span_s, *hidden)
