"""The two ways in which a unit opens its videos."""

from __future__ import annotations

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.pipeline import DecodedVideo
from sofdata.types import VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.isolate import DecoderProcess
from sofdata.video.ranges import Source
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling


class InProcess:
    """Opens videos in this process."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        return open_video(path, self._config.video, _sampling(self._config, ref), decoder)

    def launch(self) -> None:
        """Nothing to start: there is no other process."""

    def close(self) -> None:
        """Nothing to end."""


class Isolated:
    """Opens videos in a process that is killed if a video makes it hang.

    process: one that was launched before the configuration was known.
    """

    def __init__(self, config: IngestConfig, process: DecoderProcess | None = None) -> None:
        self._config = config
        self._process = process or DecoderProcess(config.run.limits)
        self._process.limits = config.run.limits

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        sampling = _sampling(self._config, ref)
        return self._process.open(path, self._config.video, sampling, decoder)

    def launch(self) -> None:
        """Start the process, without waiting for it."""
        self._process.launch()

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _sampling(config: IngestConfig, ref: VideoRef) -> Sampling:
    flow, said = config.flow, ref.annotations
    hidden = (said.hidden_s, said.eye, said.lasts_s)
    return Sampling(flow.size, flow.step_s, ref.span_s, *hidden)
