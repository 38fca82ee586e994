"""Results that stand are taken over and not computed again.

A unit of the next generation holds mostly videos whose samples lie in shards already: those of the
unit that one video joins or leaves, or that is run again for one quarantined video. Their samples
are copied byte for byte, once the shard has proved to be the one that its record names; the
outcome is that of a fresh run. So neither time is lost, nor can a video come out worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import NamedTuple

from sofdata.errors import InputError
from sofdata.ingest.committed import Committed
from sofdata.ingest.kept_flow import KeptFlow
from sofdata.ingest.libraries import UNKNOWN, split_digests
from sofdata.ingest.units import Unit
from sofdata.shards.schema import LedgerRecord, VideoRecord
from sofdata.shards.writer import ShardWriter, VideoSamples
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

_RANK = {"quarantined": 0, "rejected": 1, "done": 2}


class Taken(NamedTuple):
    """An earlier result that was taken over. libraries: digest of those that computed it."""

    record: VideoRecord
    libraries: str


class Carrier:
    """The earlier results of a unit's videos. A context: it closes the shards that it opened.

    libraries: digests of those whose results may be taken over; any if there are none. What an
        older version made, which recorded none, may be.
    kept_size: side in px of the flow that is kept of whole videos; None where none is.
    """

    def __init__(
        self,
        dest: Tree,
        unit: Unit,
        config_sha256: str,
        libraries: Collection[str] = (),
        kept_size: int | None = None,
    ) -> None:
        self._libraries = {*libraries, UNKNOWN} if libraries else None
        self._unit = unit
        self._committed = Committed(dest, config_sha256)
        self._kept = KeptFlow(dest, self._committed, kept_size) if kept_size else None

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept:
            self._kept.close()
        self._committed.close()

    def take(self, ref: VideoRef, shard: ShardWriter) -> Taken | None:
        """Append a video's earlier samples to the shard; None if there are none to be trusted."""
        for earlier in self._unit.earlier:
            if earlier.usable and ref.id in earlier.videos:
                record = self._committed.record(earlier.path)
                video = self._committed.held(earlier.path).videos.get(ref.id)
                if record is None or video is None or not self._may_take(record, video):
                    continue
                try:
                    with shard.video(ref.id) as samples:
                        self._copy(earlier.path, video, samples)
                except (InputError, ValueError):  # damaged: the video is computed again
                    continue
                return Taken(video, record.libraries)
        return None

    def not_likely(self, videos: Iterable[VideoRef]) -> list[VideoRef]:
        """The videos that `take` will not find; of the others, only those in a damaged shard."""
        usable = [earlier for earlier in self._unit.earlier if earlier.usable]
        return [ref for ref in videos if not any(ref.id in each.videos for each in usable)]

    def worse(self, videos: list[VideoRecord]) -> list[str]:
        """What of a unit's outcome is worse than what stood before, a sentence each."""
        before = [
            video
            for earlier in self._unit.earlier
            if (record := self._committed.record(earlier.path))
            for video in record.videos
            if video.id in earlier.videos
        ]
        now = {video.id: video for video in videos}
        return [
            f"{video.id} was {_in_words(video)}, now it is {_in_words(now[video.id])}"
            for video in before
            if _is_worse(now[video.id], video)
        ]

    def standing(self) -> LedgerRecord | None:
        """The unit's own earlier record if its shard is whole."""
        for earlier in self._unit.earlier:
            record = self._committed.record(earlier.path)
            own = record is not None and record.unit == self._unit.id and earlier.usable
            if own and self._is_whole(earlier.path):
                return record
        return None

    def _is_whole(self, path: str) -> bool:
        with suppress(InputError):
            if self._kept:
                self._kept.check(path)
            return self._committed.is_whole(path)
        return False

    def _may_take(self, record: LedgerRecord, video: VideoRecord) -> bool:
        known = self._libraries
        # A quarantined video is tried again: that is what its unit is run for.
        same = known is None or known.issuperset(split_digests(record.libraries))
        return same and video.status != "quarantined"

    def _copy(self, path: str, video: VideoRecord, samples: VideoSamples) -> None:
        """Raises `InputError` where record and shard do not agree. path: of the record."""
        samples.rejected += self._committed.held(path).rejected.get(video.id, ())
        for row in self._committed.rows(path, video):
            stored = self._committed.sample(path, row, video.id)
            samples.copy(row, stored.members, stored.flow)
        if self._kept and self._kept.has_flow(path, video.id):
            pieces = self._kept.pieces(path, video.id)
            samples.keep((piece.kept.record, piece.members) for piece in pieces)


def _is_worse(now: VideoRecord, before: VideoRecord) -> bool:
    ranks = _RANK[now.status], _RANK[before.status]
    return ranks[0] < ranks[1] or (ranks[0] == ranks[1] and now.windows < before.windows)


def _in_words(video: VideoRecord) -> str:
    windows = f"{video.windows} windows" if video.status == "done" else video.reason
    return f"{video.status} ({windows})"
