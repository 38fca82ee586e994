"""Local files that are there whole or not at all, whenever the process or the machine goes down.

A file is written beside the place where it belongs, under a name that begins with `PARTIAL`, and is
then renamed. Durable means: its content is on the disk before it is renamed, and its new name is on
the disk before the call returns.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sofdata.system.fault_points import fault_point

PARTIAL = ".partial-"
# What a file system answers that cannot sync a folder.
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def put(local_path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Move a finished file to its final name on the same file system, durably. Raises `OSError`."""
    fault_point("put")
    _sync(local_path)
    fault_point("put: synced")
    os.replace(local_path, target)
    fault_point("put: replaced")
    _sync_folder(os.path.dirname(target) or ".")


@contextmanager
def replacing(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """A path at which the block writes a file, which then takes the place of `path`.

    Where the block raises, what was at `path` stays. A process that is killed leaves the partial
    file, see `remove_partials`. The name ends as that of `path`, since writers of videos and arrays
    choose their format by it.

    durable: False for what can be made again, such as a copy in a cache; it costs no sync.

    Raises `OSError`.
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        if durable:
            put(partial, path)
        else:
            os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file durably. Raises `OSError`."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file as UTF-8, durably. Raises `OSError`."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON, durably. Raises `OSError`."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def remove_partials(folder: Path) -> None:
    """Remove what killed processes have left of unfinished files.

    For a folder in which only this process writes, such as one whose lock it holds.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):
            path.unlink()


def _sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: str) -> None:
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
