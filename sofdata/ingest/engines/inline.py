"""The inline engine: every unit in this process, one after the other. For tests and debugging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.engines.decoders import InProcess
from sofdata.ingest.events import Event, Ready
from sofdata.ingest.job import UnitJob
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_unit
from sofdata.ingest.units import Unit


def run_inline(units: Iterable[Unit], job: UnitJob) -> Iterator[Event]:
    """Run units in this process, in the order given."""
    if job.maker is not None:
        yield Ready()
        for unit in units:
            yield from job.maker(unit, job)
        return
    flow, decoder = LocalFlow(make_estimator(job.config.flow)), InProcess(job.config)
    yield Ready()
    for unit in units:
        yield from run_unit(unit, job, flow, decoder)
