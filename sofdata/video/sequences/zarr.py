"""Zarr stores, versions 2 and 3, folders and zips: arrays of pictures [T,H,W,3] or [T,3,H,W].

The name of a place is the path of an array. Its options: `start` and `end`, the rows that are
meant, all without them; `fps`, or `times`, the path of an array of timestamps, and their `unit`;
`range` of pictures that are floats. Of numbers `more` names further arrays, to be joined to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows, StoredImage, damaged
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.zarrs.checks import Refused
from sofdata.video.sequences.zarrs.clocks import times_of
from sofdata.video.sequences.zarrs.files import ARRAY_V2, NODE_V3, Files, open_files
from sofdata.video.sequences.zarrs.layout import look_into
from sofdata.video.sequences.zarrs.metadata import Array, parse_array
from sofdata.video.sequences.zarrs.pictures import RANGES, Layout
from sofdata.video.sequences.zarrs.reading import FAILURES, ArrayReader

MOST_WORDS = 300  # characters of a library's message
MOST_PICTURES = 1 << 24  # in one sequence
MOST_NUMBERS = 1 << 26  # of the actions of one recording
MORE = "\n"  # between paths; no name of a node has it


class PictureArray:
    """Rows of an array as a sequence; what was never written is left out, and counted."""

    def __init__(self, files: Files, array: Array, layout: Layout, place: SequencePlace) -> None:
        self._files = files
        self._array = array
        self._layout = layout
        self._reader = ArrayReader(files, array)
        self._range = place.get("range")
        start, end = _rows(array, place)
        if end - start > MOST_PICTURES:
            what = f"has {end - start} rows: more than can be read as one video"
            raise Unusable("too_large", f"'{array.path}' {what}")
        there = self._reader.present(start, end)
        times_s = times_of(files, place, _clock(files, place), start, end)
        self._numbers = start + np.flatnonzero(there)
        self._lost = int(len(there) - there.sum())
        self._first_lost = start + int(np.argmin(there)) if self._lost else 0
        self.times_s: NDArray[np.float64] = times_s[there]
        self.codec = array.pictures or "raw rgb24"

    @property
    def damage(self) -> tuple[int, tuple[str, ...]]:
        what = f"{self._lost} pictures were never written, the first in row {self._first_lost}"
        return self._lost, (what,) if self._lost else ()

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            row = int(self._numbers[number])
            try:
                stored = self._reader.row(row)
            except FAILURES as error:
                yield DamagedImage(f"row {row} cannot be unpacked: {error}"[:MOST_WORDS])
                continue
            yield self._layout.picture(stored, self._range)

    def close(self) -> None:
        self._files.close()


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """What a store holds, as `layout.look_into` says it. options: `times`, as it takes it."""
    with closing(open_files(source)) as files:
        return look_into(files, str(options.get("times") or ""))


def open_sequence(source: Source, place: SequencePlace) -> PictureArray:
    """Raises `Unusable` where there is no such array, or none of pictures."""
    files = open_files(source)
    try:
        array = _array(files, place.name)
        layout = Layout.of(array)
        if isinstance(layout, str):
            raise damaged(f"the array '{array.path}' {layout or 'holds no pictures'}")
        if layout.is_float and place.get("range") not in RANGES:
            raise Unusable("other_range", f"'{array.path}' is of floats whose range is not known")
        return PictureArray(files, array, layout, place)
    except BaseException:
        files.close()
        raise


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """Numbers of rows, those of several arrays side by side; NaN where a chunk is missing."""
    paths = [place.name, *filter(None, place.get("more").split(MORE))]
    with closing(open_files(source)) as files:
        arrays = [_array(files, path) for path in paths]
        start, end = _rows(arrays[0], place)
        values = [_numbers(files, array, start, end) for array in arrays]
        times_s = times_of(files, place, _clock(files, place), start, end)
    return Rows(np.concatenate(values, axis=1), times_s)


def _numbers(files: Files, array: Array, start: int, end: int) -> NDArray[np.float32]:
    """Rows of numbers, float32 [end - start, A]."""
    size = int(np.prod(array.shape[1:]))
    if not array.is_number or array.shape[0] < end or (end - start) * size > MOST_NUMBERS:
        raise damaged(f"'{array.path}' is {array.dtype} {list(array.shape)}: no such numbers")
    found = np.full((end - start, size), np.nan, np.float32)
    try:
        for rows, values in ArrayReader(files, array).pieces(start, end):
            found[rows.start - start : rows.stop - start] = values.reshape(len(rows), size)
    except FAILURES as error:
        raise damaged(f"'{array.path}' cannot be unpacked: {error}") from None
    return found


def _clock(files: Files, place: SequencePlace) -> Array | None:
    path = place.get("times")
    return _array(files, path) if path else None


def _array(files: Files, path: str) -> Array:
    if ".." in path.split("/") or path.startswith("/"):
        raise damaged(f"'{path:.80}' is no path of an array")
    prefix = f"{path}/" if path else ""
    try:
        there = [name for name in (NODE_V3, ARRAY_V2) if files.size(prefix + name)]
        array = parse_array(path, {name: files.read(prefix + name) for name in there})
    except Refused as refused:
        raise damaged(f"the array '{path:.80}' {refused}") from None
    except FAILURES as error:
        raise damaged(f"the metadata of '{path:.80}' cannot be read: {error}") from None
    if array is None:
        raise damaged(f"there is no array '{path:.80}'")
    return array


def _rows(array: Array, place: SequencePlace) -> tuple[int, int]:
    size = array.shape[0] if array.shape else 0
    start, end = int(place.number("start", 0)), int(place.number("end", size))
    if not 0 <= start < end <= size:
        what = f"has {size} rows, where {start} to {end} are meant"
        raise Unusable("no_frames", f"'{array.path}' {what}")
    return start, end
