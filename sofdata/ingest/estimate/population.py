"""The videos that an ingest is yet to work on, and what is known of each before it is opened.

Of a million videos there are a few numbers each, no objects: those that are looked at are made when
they are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.ingest.estimate.sampling import Numbers
from sofdata.ingest.inputs import PlannedVideos
from sofdata.ingest.units import Unit
from sofdata.storage.uris import without_sequence
from sofdata.types import VideoRef


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """N videos, in the order of their units, and of each unit as it has them.

    units: in the order in which they will be run.
    unit_of, place_in: int64 [N]; the number of each video's unit, and its place there.
    sizes: [N]; what is known of each video's length: the seconds of its span where all are spans,
        else its share of its file's bytes.
    files_bytes: of the files that hold them, each counted once.
    carried: number of videos whose earlier result is taken over, and which are no work.
    """

    units: tuple[Unit, ...]
    unit_of: NDArray[np.int64]
    place_in: NDArray[np.int64]
    sizes: Numbers
    files_bytes: int
    carried: int

    def __len__(self) -> int:
        return len(self.sizes)

    def video(self, number: int) -> VideoRef:
        """One of the videos."""
        unit = self.units[int(self.unit_of[number])]
        return unit.videos[int(self.place_in[number])]


def population_of(units: tuple[Unit, ...]) -> Population:
    """The videos of units that wait, but for those whose earlier result will be taken over."""
    unit_of, place_in, files, spans_s, sizes = [], [], [], [], []
    videos = 0
    for number, unit in enumerate(units):
        taken = {name for each in unit.earlier if each.usable for name in each.videos}
        videos += len(unit.videos)
        for place, (id_, uri, size_bytes, start_s, end_s) in enumerate(_cells(unit.videos)):
            if id_ in taken:
                continue
            unit_of.append(number)
            place_in.append(place)
            files.append(hash(without_sequence(uri)))
            spans_s.append(np.nan if start_s is None or end_s is None else end_s - start_s)
            sizes.append(size_bytes)
    shares, files_bytes = _of_files(np.array(files, np.int64), np.array(sizes, np.float64))
    seconds = np.array(spans_s, np.float64)
    return Population(
        units,
        np.array(unit_of, np.int64),
        np.array(place_in, np.int64),
        shares if np.isnan(seconds).any() else seconds,
        files_bytes,
        videos - len(sizes),
    )


def _cells(
    videos: Sequence[VideoRef],
) -> Iterator[tuple[str, str, int, float | None, float | None]]:
    """Id, file, its size, start and end of the span of each."""
    if isinstance(videos, PlannedVideos):
        return videos.values("id", "uri", "size_bytes", "span_start_s", "span_end_s")
    return ((ref.id, ref.uri, ref.size_bytes, *(ref.span_s or (None, None))) for ref in videos)


def _of_files(files: NDArray[np.int64], sizes: Numbers) -> tuple[Numbers, int]:
    """The share [N] that each video has of its file's bytes, and the bytes of all files."""
    _, first, number, sharing = np.unique(
        files, return_index=True, return_inverse=True, return_counts=True
    )
    return sizes / sharing[number], int(sizes[first].sum())
