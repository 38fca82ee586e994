"""Episodes in the TFRecord files of TensorFlow Datasets, as RLDS has them: a record is an episode.

What the features of a dataset are stands in its features.json, which the listing reads
(`sofdata.corpora.sequences.rlds`); a place says what of it is needed here:

    name            the feature that holds the pictures: "steps/observation/image"
    at, bytes       where the record's data begin in the file, and how many there are
    steps           how many steps the record has, each of which has a picture
    first, end      the steps that are meant, where a record holds several episodes
    fps             steps a second; or else `times`, the feature of their times, and `unit`, the
                    seconds in one of them
    raw             "HEIGHTxWIDTHxCHANNELS" of pictures that are not encoded, with "?" for a number
                    that each has of its own; and `coding` of them: none, bytes or zlib

and of numbers, in place of the last: `columns`, a line "SIZE CODING DTYPE FEATURE" for each feature
whose numbers are joined, and `last`, the feature that marks the last step of an episode. By RLDS'
rules the action of that step means nothing, so there is no row for it. Nor is there one for a step
whose time is not after all before, whose picture is left out too.

The whole record is read through once, for its checksum, before any of it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows, StoredImage, at_rate, damaged, opened_file
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.rlds import clocks, example, steps, tfrecord
from sofdata.video.sequences.rlds.columns import column_of
from sofdata.video.sequences.rlds.look import look
from sofdata.video.sequences.rlds.pictures import Pictures, pictures_of
from sofdata.video.sequences.rlds.steps import Features, Part
from sofdata.video.sequences.rlds.tfrecord import Record

__all__ = ["look", "open_sequence", "read_rows"]


@dataclass(slots=True)
class EpisodePictures:
    """The pictures of one camera in one episode. first: the step with which it begins."""

    times_s: NDArray[np.float64]
    codec: str
    damage: tuple[int, tuple[str, ...]]
    first: int
    pictures: Pictures
    file: BinaryIO

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            yield self.pictures.picture(self.first + number)

    def close(self) -> None:
        self.file.close()


def open_sequence(source: Source, place: SequencePlace) -> EpisodePictures:
    """Raises `Unusable` where the record is damaged, or does not have a picture for each step."""
    file = opened_file(source)
    try:
        features = _features(file, place)
        pictures = pictures_of(file, features, place)
        first, _ = _span(place)
        times_s = _times_s(file, features, place)
        return EpisodePictures(times_s, pictures.codec, (0, ()), first, pictures, file)
    except BaseException:
        file.close()
        raise


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """The numbers of features, side by side. Raises `Unusable` where they are not as they should.

    Memory is that of the numbers of one record.
    """
    with opened_file(source) as file:
        features = _features(file, place)
        first, end = _span(place)
        times_s = _times_s(file, features, place)
        lines = place.get("columns").split("\n")
        columns = [column_of(file, features, line, _count(place))[first:end] for line in lines]
        values = np.concatenate(columns, axis=1)
        last = steps.numbers_of(file, features, place.get("last"))
        is_marked = bool(first < end <= len(last) and last[end - 1])
        kept = steps.rows_of(Part(first, end, is_marked), clocks.in_order(times_s))
        return Rows(values[kept], times_s[kept])


def _features(file: BinaryIO, place: SequencePlace) -> Features:
    record = Record(int(place.number("at")), int(place.number("bytes")))
    tfrecord.check(file, record)
    return example.features(file, record.start, record.end)


def _count(place: SequencePlace) -> int:
    return int(place.number("steps"))


def _span(place: SequencePlace) -> tuple[int, int]:
    count = _count(place)
    return int(place.number("first", 0)), int(place.number("end", count))


def _times_s(file: BinaryIO, features: Features, place: SequencePlace) -> NDArray[np.float64]:
    """Of the steps that are meant, from the first of them on: float64 [n]."""
    first, end = _span(place)
    name = place.get("times")
    if not name:
        return at_rate(end - first, place.number("fps"))
    stated = steps.numbers_of(file, features, name)
    if len(stated) != _count(place):
        raise damaged(f"'{name}' has {len(stated)} times for {_count(place)} steps")
    return clocks.relative_s(stated[first:end], place.number("unit"))
