"""Results that stand are taken over and not computed again.

A unit of the next generation holds mostly videos whose samples lie in shards already: those of the
unit that one video joins or leaves, or that is run again for one quarantined video. Their samples
are copied byte for byte, once the shard has proved to be the one that its record names; the
outcome is that of a fresh run. So neither time is lost, nor can a video come out worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from functools import cache
from typing import BinaryIO, NamedTuple

from sofdata.bounded.files import read_small
from sofdata.errors import InputError
from sofdata.flow.codec import decode
from sofdata.ingest.libraries import UNKNOWN, split_digests
from sofdata.ingest.units import Unit
from sofdata.shards.layout import SHARDS
from sofdata.shards.schema import (
    LedgerRecord,
    RejectedWindowRecord,
    SampleRecord,
    VideoRecord,
    WindowRow,
)
from sofdata.shards.tar import hash_file, read_sample_at
from sofdata.shards.writer import ShardWriter, VideoSamples
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

_RANK = {"quarantined": 0, "rejected": 1, "done": 2}


class _Held(NamedTuple):
    """What a record says, by id of the video: a unit may hold thousands of them."""

    videos: dict[str, VideoRecord]
    rows: dict[str, list[WindowRow]]
    rejected: dict[str, list[RejectedWindowRecord]]


class Taken(NamedTuple):
    """An earlier result that was taken over. libraries: digest of those that computed it."""

    record: VideoRecord
    libraries: str


class Carrier:
    """The earlier results of a unit's videos. A context: it closes the shards that it opened.

    libraries: digests of those whose results may be taken over; any if there are none. What an
        older version made, which recorded none, may be.
    """

    def __init__(
        self, dest: Tree, unit: Unit, config_sha256: str, libraries: Collection[str] = ()
    ) -> None:
        self._libraries = {*libraries, UNKNOWN} if libraries else None
        self._dest = dest
        self._unit = unit
        self._config_sha256 = config_sha256
        self._open = ExitStack()
        self._record = cache(self._read_record)
        self._shard = cache(self._open_shard)
        self._held = cache(self._sort_by_video)

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, ref: VideoRef, shard: ShardWriter) -> Taken | None:
        """Append a video's earlier samples to the shard; None if there are none to be trusted."""
        for earlier in self._unit.earlier:
            if earlier.usable and ref.id in earlier.videos:
                record = self._record(earlier.path)
                video = self._held(earlier.path).videos.get(ref.id)
                if record is None or video is None or not self._may_take(record, video):
                    continue
                try:
                    with shard.video(ref.id) as samples:
                        self._copy(earlier.path, record, video, samples)
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
            if (record := self._record(earlier.path))
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
            record = self._record(earlier.path)
            own = record is not None and record.unit == self._unit.id and earlier.usable
            if own and record and (record.shard is None or self._shard(earlier.path)):
                return record
        return None

    def _may_take(self, record: LedgerRecord, video: VideoRecord) -> bool:
        known = self._libraries
        # A quarantined video is tried again: that is what its unit is run for.
        same = known is None or known.issuperset(split_digests(record.libraries))
        return same and video.status != "quarantined"

    def _copy(
        self, path: str, record: LedgerRecord, video: VideoRecord, samples: VideoSamples
    ) -> None:
        """Raises `InputError` where record and shard do not agree. path: of the record."""
        held = self._held(path)
        samples.rejected += held.rejected.get(video.id, ())
        rows = held.rows.get(video.id, [])
        if len(rows) != video.windows:
            raise InputError(f"{video.id}: the record lists {len(rows)} windows")
        for row in rows:
            stream, name = self._stream(path, record)
            key, members = read_sample_at(stream, row.offset, name)
            sample = SampleRecord.model_validate_json(members.get("json", b""))
            if (key, sample.key, sample.source) != (row.key, row.key, video.id):
                raise InputError(f"{name}: sample {key} is not the one that its record lists")
            flow = {suffix: data for suffix, data in members.items() if suffix.startswith("flow.")}
            samples.copy(row, members, decode(flow, sample.flow))

    def _stream(self, path: str, record: LedgerRecord) -> tuple[BinaryIO, str]:
        stream = self._shard(path)
        if stream is None or record.shard is None:
            raise InputError(f"the shard of unit {record.unit} is not whole")
        return stream, record.shard.name

    def _sort_by_video(self, path: str) -> _Held:
        record, held = self._record(path), _Held({}, {}, {})
        if record is not None:
            held.videos.update({video.id: video for video in record.videos})
            for row in record.windows:
                held.rows.setdefault(row.source, []).append(row)
            for each in record.rejected_windows:
                held.rejected.setdefault(each.video, []).append(each)
        return held

    def _read_record(self, path: str) -> LedgerRecord | None:
        try:
            record = LedgerRecord.parse(read_small(self._dest, path, LedgerRecord.MOST_BYTES))
        except (FileNotFoundError, InputError, ValueError):
            return None
        return record if record.config_sha256 == self._config_sha256 else None

    def _open_shard(self, path: str) -> BinaryIO | None:
        """The shard that a record names, if its bytes have the record's hash."""
        record = self._record(path)
        if record is None or record.shard is None:
            return None
        try:
            name = f"{SHARDS}/{record.shard.name}"
            local = self._open.enter_context(self._dest.local_copy(name, record.shard.size_bytes))
            if hash_file(local)[0] != record.shard.sha256:
                return None
            return self._open.enter_context(open(local, "rb"))
        except OSError:
            return None


def _is_worse(now: VideoRecord, before: VideoRecord) -> bool:
    ranks = _RANK[now.status], _RANK[before.status]
    return ranks[0] < ranks[1] or (ranks[0] == ranks[1] and now.windows < before.windows)


def _in_words(video: VideoRecord) -> str:
    windows = f"{video.windows} windows" if video.status == "done" else video.reason
    return f"{video.status} ({windows})"
