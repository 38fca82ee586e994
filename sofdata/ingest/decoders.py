"""The two ways in which a unit opens its videos."""

from __future__ import annotations

from sofdata.config import IngestConfig
from sofdata.ingest.unit import DecodedVideo
from sofdata.types import Eye, VideoRef
from sofdata.video.config import DecoderName, VideoConfig
from sofdata.video.isolate import DecoderProcess
from sofdata.video.ranges import Source
from sofdata.video.reader import open_video
from sofdata.video.sampling import Stretches


class InProcess:
    """Opens videos in this process."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        return open_video(path, *_asked(self._config, ref, decoder))


class Isolated:
    """Opens videos in a process that is killed if a video makes it hang."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._process = DecoderProcess(config.run.limits)

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        return self._process.open(path, *_asked(self._config, ref, decoder))

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _asked(
    config: IngestConfig, ref: VideoRef, decoder: DecoderName
) -> tuple[VideoConfig, int, float, tuple[float, float] | None, DecoderName, Stretches, Eye]:
    """What is wanted of a video, as `open_video` takes it behind the path."""
    flow, said = config.flow, ref.annotations
    return config.video, flow.size, flow.step_s, ref.span_s, decoder, said.hidden_s, said.eye
