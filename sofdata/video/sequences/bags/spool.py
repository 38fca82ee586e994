"""A file of a bag as one on this machine: itself, unpacked, or copied from where it is remote."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from sofdata.storage.temporary import TemporaryFile
from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.bags.unpack import zstd_module
from sofdata.video.sequences.base import damaged, opened_file

ZSTD = ".zstd"
LEFT_BYTES = 1 << 28  # of the temporary folder's disk, for others
_STEP_BYTES = 1 << 20


class LocalFile:
    """path: of the file, for as long as this lives; a temporary one goes with it.

    name: for messages.
    """

    def __init__(self, source: Source, name: str) -> None:
        self._copy: TemporaryFile | None = None
        self.path = str(source)
        packed = self.path.endswith(ZSTD)
        if packed or isinstance(source, RangeFile):
            self._copy = TemporaryFile()
            self.path = self._copy.path
            with opened_file(source) as file:
                _copy(_unpacking(file) if packed else file, self.path, name)

    def close(self) -> None:
        """Remove a temporary file."""
        self._copy = None


def _unpacking(file: IO[bytes]) -> IO[bytes]:
    found: IO[bytes] = zstd_module().open(file, "rb")
    return found


def _copy(source: IO[bytes], path: str, name: str) -> None:
    """Raises `Unusable` where the content is damaged, or does not fit on the disk."""
    errors: Any = (EOFError, zstd_module().ZstdError)
    try:
        with _may_write(), open(path, "wb") as target:
            while data := source.read(_STEP_BYTES):
                PROGRESS.packets += 1
                if shutil.disk_usage(os.path.dirname(path)).free < LEFT_BYTES + len(data):
                    raise Unusable(
                        "too_large",
                        f"{name}: does not fit into {os.path.dirname(path)} when unpacked: unpack "
                        "it (`unzstd`), or set TMPDIR to a folder with more room",
                    )
                target.write(data)
    except errors as error:
        raise damaged(f"{name}: cannot be unpacked: {error}") from None


@contextmanager
def _may_write() -> Iterator[None]:
    """Let this process write a file as large as it needs, which a decoding one else may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
