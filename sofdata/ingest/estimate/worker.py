"""A process that measures for the driver: as `sofdata.ingest.engines.worker`, with other questions.

It is sent the job, then one `Question` after the other, and answers each.
"""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sofdata.errors import Interrupted
from sofdata.ingest.engines.worker import Idle, failed
from sofdata.ingest.estimate.guess import Header
from sofdata.ingest.estimate.meter import Measured, Meter
from sofdata.system import interrupts
from sofdata.system.processes import end_with_parent
from sofdata.types import VideoRef


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a process: to read the headers of some videos, or to measure them."""

    refs: tuple[VideoRef, ...]
    headers: bool


Answer = list[Header | None] | list[Measured]


def main() -> None:
    """Answer questions until the driver wants no more."""
    descriptor, driver = map(int, sys.argv[1:])
    end_with_parent(driver)
    interrupts.own()  # SIGTERM raises, so that scratch folders are cleared away
    with suppress(Interrupted, EOFError, BrokenPipeError), Connection(descriptor) as pipe:
        serve(pipe)


def serve(pipe: Connection) -> None:
    """Start up, then answer. Raises `EOFError` once the pipe is closed."""
    job = pipe.recv()
    with closing(Meter(job, job.config.run.isolate)) as meter:
        try:
            meter.start()
            pipe.send(Idle())
            while True:
                pipe.send(answer(meter, pipe.recv()))
        except (EOFError, BrokenPipeError):
            raise  # the driver is gone, or wants no more
        except Exception as error:  # noqa: BLE001 - the driver says what it was
            pipe.send(failed(error))


def answer(meter: Meter, question: Question) -> Answer:
    """What a meter finds. Raises as `Meter.measure`."""
    if question.headers:
        return [meter.header(ref) for ref in question.refs]
    return meter.measure(question.refs)
