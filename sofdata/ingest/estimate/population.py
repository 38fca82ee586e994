"""The videos that an ingest is yet to work on, and what is known of each before it is opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from sofdata.ingest.estimate.sampling import Numbers
from sofdata.ingest.units import Unit
from sofdata.types import VideoRef


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Videos, sorted by id, and the units that they belong to.

    unit_of: [N]; the place of each video's unit among `units`, which are in the order in which
        they will be run. sizes: [N]; what is known of each video's length: the seconds of its span
        where all are spans, else its share of its file's bytes.
    carried: number of videos whose earlier result is taken over, and which are no work.
    """

    videos: tuple[VideoRef, ...]
    unit_of: tuple[int, ...]
    units: int
    sizes: Numbers
    carried: int

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def fetched_bytes(self) -> int:
        """Of the files that hold them, each counted once."""
        return sum({video.uri: video.size_bytes for video in self.videos}.values())


def population_of(units: tuple[Unit, ...]) -> Population:
    """The videos of units that wait, but for those whose earlier result will be taken over."""
    found: list[tuple[VideoRef, int]] = []
    carried = 0
    for number, unit in enumerate(units):
        taken = {name for each in unit.earlier if each.usable for name in each.videos}
        found += [(video, number) for video in unit.videos if video.id not in taken]
        carried += sum(video.id in taken for video in unit.videos)
    found.sort(key=lambda pair: pair[0].id)
    videos = tuple(video for video, _ in found)
    return Population(
        videos, tuple(number for _, number in found), len(units), _sizes(videos), carried
    )


def _sizes(videos: tuple[VideoRef, ...]) -> Numbers:
    spans = [video.span_s for video in videos]
    if spans and all(spans):
        return np.array([span[1] - span[0] for span in spans if span])
    sharing = Counter(video.uri for video in videos)
    return np.array([video.size_bytes / sharing[video.uri] for video in videos], np.float64)
