"""The process of a worker of the engine `processes`: runs units, one at a time.

Speaks over one pipe, whose descriptor is the first argument; the second is the process id of the
driver. It is sent the job, then one unit after the other, and answers with what each brings. In
between it may be asked to help another worker with a long video. It ends when the driver closes the
pipe or is gone.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sofdata.errors import ContractError, Interrupted
from sofdata.ingest.engines.actors import UnitWorker
from sofdata.ingest.engines.batches import Batch, batch_s
from sofdata.ingest.job import UnitJob
from sofdata.ingest.splitting.split import VideoSplit
from sofdata.ingest.units import Unit
from sofdata.system import interrupts
from sofdata.system.cores import cores
from sofdata.system.processes import end_with_parent
from sofdata.video.isolate import DecoderProcess
from sofdata.video.limits import LimitConfig


@dataclass(frozen=True, slots=True)
class Idle:
    """The worker waits for a unit: it has started, or has ended the last one."""


@dataclass(frozen=True, slots=True)
class Helped:
    """The worker has helped another one, and waits. more: whether there may be more to do."""

    more: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked for, or the start of the worker, has raised an error. The worker waits.

    trace: the traceback in this process, for a log.
    """

    cause: Exception
    trace: str


Message = Idle | Helped | Failed | Batch


def main() -> None:
    """Answer requests until the driver wants no more."""
    descriptor, driver = map(int, sys.argv[1:])
    end_with_parent(driver)
    interrupts.own()  # SIGTERM raises, so that scratch folders and uploads are cleared away
    with suppress(Interrupted, EOFError, BrokenPipeError), Connection(descriptor) as pipe:
        serve(pipe)


def serve(pipe: Connection) -> None:
    """Start up, then run each unit that is sent. Raises `EOFError` once the pipe is closed.

    The process that decodes starts before the job is there, and what every job needs is imported:
    the driver may still be planning it.
    """
    with closing(DecoderProcess(LimitConfig())) as process:
        process.launch()
        _import_ahead()
        job: UnitJob = pipe.recv()
        every_s = batch_s(job.config.run.workers or cores())
        _work(UnitWorker(job, process), pipe, every_s)


def _import_ahead() -> None:
    import av  # noqa: F401
    import cv2  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401


def _work(worker: UnitWorker, pipe: Connection, every_s: float) -> None:
    with closing(worker):
        try:
            worker.prepare("", estimates_flow=True)
        except Exception as error:  # noqa: BLE001 - the driver decides what becomes of it
            pipe.send(failed(error))
            return
        pipe.send(Idle())
        while True:
            _run(worker, pipe, every_s)


def _run(worker: UnitWorker, pipe: Connection, every_s: float) -> None:
    wanted: Unit | VideoSplit = pipe.recv()
    try:
        if isinstance(wanted, VideoSplit):
            answer: Message = Helped(worker.help(wanted))
        else:
            for batch in worker.run(wanted, every_s=every_s):
                pipe.send(batch)
            answer = Idle()
    except BrokenPipeError:
        raise  # the driver is gone, or wants no more
    except Exception as error:  # noqa: BLE001 - the driver decides what becomes of it
        answer = failed(error)
    pipe.send(answer)


def failed(error: Exception) -> Failed:
    """An error in a form that can be sent; one that cannot be pickled is described."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, made in this line
    except Exception:  # noqa: BLE001 - whatever its class does
        return Failed(ContractError(f"{type(error).__name__}: {error}"), trace)
    return Failed(error, trace)
