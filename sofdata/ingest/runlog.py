"""The log of one run: what differs from run to run, and lies in `runs/` for that reason."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from typing import Any

from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import libraries_digest, used_libraries
from sofdata.shards.layout import RUNS
from sofdata.storage.lock import Lock
from sofdata.system.cores import cores
from sofdata.system.versions import __version__


def log_start(job: UnitJob, lock: Lock, why_engine: str) -> str:
    """Write the log of a run that begins; returns its name. why_engine: of `run.engine`."""
    began = datetime.now(UTC)
    name = f"{RUNS}/{began.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{os.urandom(2).hex()}.json"
    record = {
        "began": began.isoformat(timespec="seconds"),
        "source": job.source.name,
        "sofdata": __version__,
        "libraries": libraries_digest(used_libraries(job.config)),
        "other_libraries": job.mixes,
        "run": job.config.run.model_dump(mode="json"),
        "why_engine": why_engine,
        "lock": lock.kind,
        "cores": cores(),
        "machine": platform.platform(),
    }
    job.dest.write(name, json.dumps(record, indent=1).encode())
    return name


def log_end(job: UnitJob, name: str, figures: dict[str, Any]) -> None:
    """Add to a log when its run ended and what it did."""
    record = json.loads(job.dest.read(name))
    record |= {"ended": datetime.now(UTC).isoformat(timespec="seconds"), **figures}
    job.dest.write(name, json.dumps(record, indent=1).encode())
