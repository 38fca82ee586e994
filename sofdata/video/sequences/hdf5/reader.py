"""The format "hdf5" of `sofdata.video.sequences`: what its places and looks mean.

The name of a place is the path of a dataset whose rows are pictures, or of datasets that are one
each, with "*" for their number: "data/demo_0/obs/agentview_image", "frames/*". Its options: `fps`,
pictures a second, or `times`, the path of a dataset of times, with their `unit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows, StoredImage, at_rate, damaged
from sofdata.video.sequences.frames import oddities
from sofdata.video.sequences.hdf5 import numbers
from sofdata.video.sequences.hdf5.files import check_readable, find, opened, translated
from sofdata.video.sequences.hdf5.looking import look_into
from sofdata.video.sequences.hdf5.numbers import Clock, stored_times_s
from sofdata.video.sequences.hdf5.pictures import (
    MOST_ROW_BYTES,
    RowPictures,
    layout_of,
    reopened,
    row_bytes,
    written_rows,
)
from sofdata.video.sequences.hdf5.singles import SinglePictures, members
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import gaps, timeline

MOST_PICTURES = 1 << 24  # in one sequence


@dataclass(slots=True)
class Hdf5Sequence:
    """Pictures of an HDF5 file."""

    source: Source
    pictures: RowPictures | SinglePictures
    times_s: NDArray[np.float64]
    lost: int
    sentences: tuple[str, ...]
    stack: ExitStack

    @property
    def codec(self) -> str:
        return self.pictures.codec

    @property
    def damage(self) -> tuple[int, tuple[str, ...]]:
        """With a word on pictures of which all is zero, as far as they were read."""
        black, read = self.pictures.black, self.pictures.read
        what = f"{black} of {read} pictures hold nothing but zeros: perhaps they were never written"
        return self.lost, (*self.sentences, what) if black else self.sentences

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        with translated(source=self.source):
            yield from self.pictures.images(numbers)

    def close(self) -> None:
        self.stack.close()


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """What a file holds, as `looking.look_into` tells it.

    options: "times", the name of the datasets of times. Or "arrays", paths of datasets: tell of
    these alone, {path: {"shape": [...], "dtype": "float64"}}, but for those that are not there.
    """
    with opened(source) as root:
        if "arrays" not in options:
            return look_into(root, str(options.get("times") or ""))
        found = {str(name): find(root, str(name)) for name in options["arrays"]}
        return {
            name: {"shape": list(each.shape), "dtype": str(each.dtype)}
            for name, each in found.items()
            if getattr(each, "shape", None) is not None
        }


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """Numbers by the names of their datasets: see `sofdata.video.sequences.hdf5.numbers`."""
    with opened(source) as root:
        return numbers.read_rows(root, place)


def open_sequence(source: Source, place: SequencePlace) -> Hdf5Sequence:
    """Raises `Unusable` where there is no such picture, no time for it, or too much of it."""
    stack = ExitStack()
    with ExitStack() as undo:
        undo.callback(stack.close)
        root = stack.enter_context(opened(source))
        with translated(source=source):
            found = _singles(root, place) if "*" in place.name else _rows(root, place)
        sequence = Hdf5Sequence(source, *found, stack)
        undo.pop_all()
    return sequence


Opened = tuple[RowPictures | SinglePictures, NDArray[np.float64], int, tuple[str, ...]]


def _rows(root: Any, place: SequencePlace) -> Opened:
    dataset = find(root, place.name)
    if not getattr(dataset, "shape", None):
        raise damaged(f"there are no pictures at '{place.name:.200}'")
    check_readable(dataset)
    layout = layout_of(dataset)
    if layout is None or layout.single:
        what = f"{place.name} is {dataset.dtype} {dataset.shape}: no pictures that can be read"
        raise Unusable("no_frames", what)
    count = int(dataset.shape[0])
    if count > MOST_PICTURES or row_bytes(dataset) > MOST_ROW_BYTES:
        raise Unusable("too_large", f"{place.name} is {dataset.shape}: more than can be read")
    dataset = reopened(dataset)
    written = written_rows(dataset)
    lost = count - len(written)
    what = f"{lost} of {count} pictures were never written"
    times_s = _times_s(root, place, count)[written]
    return RowPictures(dataset, layout, written), times_s, lost, (what,) if lost else ()


def _singles(root: Any, place: SequencePlace) -> Opened:
    """Pictures that are a dataset each, at their numbers."""
    found = members(root, place.name)
    if not 0 < len(found.numbers) <= MOST_PICTURES:
        raise Unusable("no_frames", f"there are no pictures at '{place.name:.200}'")
    pictures, odd = SinglePictures(root, found.names), tuple(oddities(found))
    if place.get("times"):
        times_s = _stored_times_s(root, place, len(found.numbers))
        lost, missing = gaps(np.array(found.numbers, np.int64))
        return pictures, times_s, lost, (*missing, *odd)
    line = timeline(found.numbers, place, None)
    return pictures, line.times_s, line.lost, (*line.odd, *odd)


def _times_s(root: Any, place: SequencePlace, count: int) -> NDArray[np.float64]:
    """float64 [count], in s from the first."""
    if place.get("times"):
        return _stored_times_s(root, place, count)
    return at_rate(count, place.number("fps"))


def _stored_times_s(root: Any, place: SequencePlace, count: int) -> NDArray[np.float64]:
    clock = Clock(times=place.get("times"), unit=place.get("unit", "s"))
    return stored_times_s(numbers.numeric(root, clock.times), clock, count)
