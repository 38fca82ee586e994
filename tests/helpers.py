"""What several test modules do with datasets."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.run import Summary, execute, prepare
from sofdata.storage.tree import Tree


def ingest(source: Path | str, dest: Path | str, *settings: str, corpus: str = "auto") -> Summary:
    """Ingest in this process."""
    config = load_config(None, ["run.engine=inline", *settings])
    return execute(prepare(Tree(str(source)), Tree(str(dest)), config, corpus), lambda event: None)


def script(name: str) -> ModuleType:
    """A script of `benchmarks/`, by its path there without `.py`, as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    return module


def can_draw() -> None:
    """Skip where the libraries that simulators draw with are missing, which CI must have.

    The reason names the command that installs them.
    """
    from sofdata.bench.envs.rendering import check_rendering

    try:
        check_rendering()
    except ConfigError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


# Logs, notes, the lock; and what the files of the source looked like, with their times.
NOT_COMPARED = ("runs", "quarantine", ".lock", "files.parquet")


def hashes(dest: Path) -> dict[str, str]:
    """sha256 of each file of a dataset that has to be the same on every run."""
    return {
        path.relative_to(dest).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(dest.rglob("*"))
        if path.is_file() and path.relative_to(dest).parts[0] not in NOT_COMPARED
    }


def sofdata(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "sofdata", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
