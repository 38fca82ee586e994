"""The two ways in which a unit opens its videos."""

from __future__ import annotations

from sofdata.config import IngestConfig
from sofdata.ingest.unit import DecodedVideo
from sofdata.types import VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.isolate import DecoderProcess
from sofdata.video.ranges import Source
from sofdata.video.reader import open_video


class InProcess:
    """Opens videos in this process."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        flow, said = self._config.flow, ref.annotations
        return open_video(
            path,
            self._config.video,
            flow.size,
            flow.step_s,
            ref.span_s,
            decoder,
            said.hidden_s,
            said.eye,
        )


class Isolated:
    """Opens videos in a process that is killed if a video makes it hang."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._process = DecoderProcess(config.run.limits)

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        flow, said = self._config.flow, ref.annotations
        return self._process.open(
            path,
            self._config.video,
            flow.size,
            flow.step_s,
            ref.span_s,
            decoder,
            said.hidden_s,
            said.eye,
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()
