"""The pictures of a feature, one by one: encoded, or arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.video.sequences.base import StoredImage, damaged
from sofdata.video.sequences.images import DamagedImage, kind_of
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.rlds import example, steps
from sofdata.video.sequences.rlds.columns import unpacked
from sofdata.video.sequences.rlds.steps import Features

CHANNELS = (1, 3, 4)
MOST_SIDE = 1 << 16
_TRIES = 10  # pictures to look at for the kind of them


class Pictures(Protocol):
    """Pictures by the number of their step."""

    @property
    def codec(self) -> str: ...
    def picture(self, number: int) -> StoredImage: ...


def pictures_of(file: BinaryIO, features: Features, place: SequencePlace) -> Pictures:
    """The pictures of a place. Raises `Unusable` where there is not one for each step."""
    name, count = place.name, int(place.number("steps"))
    if not place.get("raw"):
        return _Encoded.of(file, _values(file, features, name, count))
    sides = place.get("raw").split("x")
    coding = place.get("coding", "none")
    if "?" in sides:
        shapes = steps.numbers_of(file, features, f"{name}/shape")
        if len(shapes) != 3 * count:
            raise damaged(f"'{name}/shape' does not have three numbers for each of {count} steps")
        rows = [_shape(map(int, row)) for row in shapes.reshape(-1, 3)]
        return _Arrays(file, _values(file, features, f"{name}/value", count), coding, rows)
    shape = _shape(map(int, sides))
    if coding == "none":
        return _Numbers(file, _offsets(file, features, name, count, shape), shape)
    return _Arrays(file, _values(file, features, name, count), coding, [shape] * count)


class _Encoded:
    """Pictures that are JPEG, PNG or the like; an empty one is none."""

    def __init__(self, file: BinaryIO, places: NDArray[np.int64], codec: str) -> None:
        self._file, self._places, self.codec = file, places, codec

    @classmethod
    def of(cls, file: BinaryIO, places: NDArray[np.int64]) -> _Encoded:
        for start, end in places[:_TRIES].tolist():
            try:
                return cls(file, places, kind_of(example.read_at(file, start, end)))
            except DamagedImage:
                continue
        return cls(file, places, "encoded")

    def picture(self, number: int) -> StoredImage:
        start, end = self._places[number].tolist()
        return example.read_at(self._file, start, end) or None


class _Arrays:
    """Pictures that are arrays of uint8 as bytes, each of a shape of its own."""

    codec = "raw"

    def __init__(
        self,
        file: BinaryIO,
        places: NDArray[np.int64],
        coding: str,
        shapes: list[tuple[int, int, int]],
    ) -> None:
        self._file, self._places, self._coding, self._shapes = file, places, coding, shapes

    def picture(self, number: int) -> StoredImage:
        height, width, channels = shape = self._shapes[number]
        start, end = self._places[number].tolist()
        try:
            data = example.read_at(self._file, start, end)
            data = unpacked(data, self._coding, height * width * channels)
        except InputError:
            return None
        return _colours(np.frombuffer(data, np.uint8).reshape(shape))


class _Numbers:
    """Pictures that are packed integers, a byte or two for each value."""

    codec = "raw"

    def __init__(
        self, file: BinaryIO, offsets: NDArray[np.int64], shape: tuple[int, int, int]
    ) -> None:
        self._file, self._offsets, self._shape = file, offsets, shape

    def picture(self, number: int) -> StoredImage:
        start, end = self._offsets[number : number + 2].tolist()
        values = example.integers(example.read_at(self._file, start, end))
        if values.min() < 0 or values.max() > 255:
            return None
        return _colours(values.astype(np.uint8).reshape(self._shape))


def _values(file: BinaryIO, features: Features, name: str, count: int) -> NDArray[np.int64]:
    """(start, end) of each picture: int64 [count, 2]."""
    feature = steps.needed(features, name, example.BYTES)
    flat = np.fromiter((at for pair in example.values(file, feature) for at in pair), np.int64)
    return _one_a_step(flat.reshape(-1, 2), len(flat) // 2, name, count)


def _offsets(
    file: BinaryIO, features: Features, name: str, count: int, shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Where each picture begins, and where the last one ends: int64 [count + 1]."""
    feature = steps.needed(features, name, example.INTS)
    packed = list(_first_two(example.number_parts(file, feature)))
    if len(packed) != 1:
        raise damaged(f"the numbers of '{name}' are not packed, as pictures have to be")
    offsets = example.offsets_of(file, *packed[0], every=shape[0] * shape[1] * shape[2])
    return _one_a_step(offsets, len(offsets) - 1, name, count)


def _one_a_step(
    found: NDArray[np.int64], pictures: int, name: str, count: int
) -> NDArray[np.int64]:
    if pictures != count:
        raise damaged(f"the record has {pictures} pictures in '{name}' for its {count} steps")
    return found


def _first_two(parts: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    return (part for _, part in zip(range(2), parts, strict=False))


def _shape(sides: Iterable[int]) -> tuple[int, int, int]:
    height, width, channels = sides
    if not (0 < height < MOST_SIDE and 0 < width < MOST_SIDE and channels in CHANNELS):
        raise damaged(f"{height} x {width} x {channels} is no picture")
    return height, width, channels


def _colours(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H,W,3], or [H,W] of grey; how much shows through is left out."""
    return array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
