"""The inline engine: every unit in this process, one after the other. For tests and debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.events import Event, Ready
from sofdata.ingest.plan import Unit
from sofdata.ingest.process import LocalFlow
from sofdata.ingest.unit import Job, run_unit
from sofdata.types import VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.reader import VideoStream, open_video


class InProcess:
    """Opens videos in this process."""

    def __init__(self, job: Job) -> None:
        self._config = job.config

    def __call__(self, path: str, ref: VideoRef, decoder: DecoderName) -> VideoStream:
        flow = self._config.flow
        return open_video(path, self._config.video, flow.size, flow.step_s, ref.span_s, decoder)


def run_inline(units: Iterable[Unit], job: Job) -> Iterator[Event]:
    """Run units in this process, in the order given."""
    flow, decoder = LocalFlow(make_estimator(job.config.flow)), InProcess(job)
    yield Ready()
    for unit in units:
        yield from run_unit(unit, job, flow, decoder)
