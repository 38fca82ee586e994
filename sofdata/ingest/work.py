"""How much video there is to be worked through, as far as a plan says: no file is opened for it.

Of a span its seconds are known. Of a whole file only the bytes are, and they become seconds by
what a second of video takes: of the videos that are done, or by a guess where none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sofdata.ingest.inputs import PlannedVideos
from sofdata.ingest.units import Unit
from sofdata.types import VideoRef

GUESSED_BYTES_PER_S = 125_000  # 1 Mbit/s: clips for training take 0.2, films and 1080p 3 to 10


@dataclass(frozen=True, slots=True)
class Work:
    """What some videos are. span_s: of those that are spans; whole_bytes: of the other files."""

    videos: int = 0
    span_s: float = 0.0
    whole_bytes: int = 0

    def seconds(self, bytes_per_s: float = GUESSED_BYTES_PER_S) -> float:
        """About how many seconds of video."""
        return self.span_s + self.whole_bytes / bytes_per_s


def work_of(units: Iterable[Unit]) -> Work:
    """All videos of some units; linear in their number."""
    videos, span_s, size_bytes = 0, 0.0, 0
    for start_s, end_s, bytes_of_file in _extents([unit.videos for unit in units]):
        videos += 1
        if start_s is None or end_s is None:
            size_bytes += bytes_of_file
        else:
            span_s += end_s - start_s
    return Work(videos, span_s, size_bytes)


def _extents(
    videos: Sequence[Sequence[VideoRef]],
) -> Iterator[tuple[float | None, float | None, int]]:
    """Start and end of the span of each, and the bytes of its file; those of a plan without making
    its values, of which there may be millions.
    """
    if planned := [each for each in videos if isinstance(each, PlannedVideos)]:
        yield from PlannedVideos.joined(planned).values("span_start_s", "span_end_s", "size_bytes")
    for each in videos:
        if not isinstance(each, PlannedVideos):
            yield from ((*(ref.span_s or (None, None)), ref.size_bytes) for ref in each)


def span_length_s(ref: VideoRef) -> float:
    """Seconds that the plan knows of a video, 0 where all of its file is used."""
    return ref.span_s[1] - ref.span_s[0] if ref.span_s else 0.0


def whole_bytes(ref: VideoRef) -> int:
    """Bytes of a file that is used as a whole, 0 for a span."""
    return 0 if ref.span_s else ref.size_bytes
