"""What a reader of a format gives: a `Sequence` of pictures with their times, and rows of numbers.

A format is a module here with up to three functions, which run in the decoding process alone
(`sofdata.video.child`), under its limits:

    look(source, options)         what a file or folder holds, as JSON: for the listing of a corpus
    open_sequence(source, place)  one sequence of pictures
    read_rows(source, place)      numbers that lie beside pictures: actions

Nothing that a file says is trusted: a reader takes what it names itself, passes over all else, and
never runs, unpickles or imports what a file holds.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source

if TYPE_CHECKING:
    from sofdata.video.probe import Unusable

# A picture as a file holds it: an encoded one (JPEG, PNG, ...), uint8 [H,W,3] of RGB or [H,W] of
# grey, or a frame of PyAV. None: it cannot be had; a `DamagedImage` says why.
StoredImage = bytes | NDArray[np.uint8] | Any | None


class Sequence(Protocol):
    """Pictures in the order in which they were taken."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """float64 [n]; when each was taken, in s from the start of the sequence, as it is stored.

        What does not increase is left out, and counted.
        """

    @property
    def codec(self) -> str:
        """What the pictures are, for the record: "jpeg", "raw rgb24", "h264"."""

    @property
    def damage(self) -> tuple[int, tuple[str, ...]]:
        """How many pictures should be there and are not, and sentences on what is wrong."""

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        """The pictures of these numbers, which increase; may be called again for others.

        One that cannot be had is None, which costs that picture only.
        """

    def close(self) -> None:
        """Close what was opened."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Numbers that were recorded beside pictures.

    values: float32 [M,A]. times_s: float64 [M]; on the clock of the pictures of the same recording.
    """

    values: NDArray[np.float32]
    times_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.dtype != np.float32 or self.values.ndim != 2:
            raise ContractError(f"rows are float32 [M,A], got {self.values.dtype}")
        if self.times_s.dtype != np.float64 or self.times_s.shape != self.values.shape[:1]:
            raise ContractError("rows have a time each, float64")


def opened_file(source: Source) -> BinaryIO:
    """A file for reading, whose reads give all that is asked for: a local one, or one of ranges."""
    if isinstance(source, RangeFile):
        source.seek(0)
        return cast(BinaryIO, io.BufferedReader(_Ranges(source)))
    return open(source, "rb")


class _Ranges(io.RawIOBase):
    """A `RangeFile` as Python's libraries want a file."""

    def __init__(self, file: RangeFile) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        PROGRESS.packets += 1
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def at_rate(count: int, fps: float) -> NDArray[np.float64]:
    """Times float64 [count] of pictures at a constant rate. Raises `Unusable` for no rate."""
    from sofdata.video.probe import Unusable

    if not 0 < fps < 1e5:
        raise Unusable("no_times", f"{fps:g} frames a second is no rate")
    return np.arange(count, dtype=np.float64) / fps


def damaged(what: str) -> Unusable:
    """The error for a file that is not what its format says. what: a sentence."""
    from sofdata.video.probe import Unusable

    return Unusable("damaged", what)
