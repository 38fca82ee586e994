"""What ledger records of a dataset hold, with their samples, read to be copied.

A record is parsed once, and its shard opened once its bytes have proved to be those that the record
names; nothing of another is used.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.files import read_small
from sofdata.errors import InputError
from sofdata.flow.codec import decode
from sofdata.shards.layout import SHARDS
from sofdata.shards.schema import (
    LedgerRecord,
    RejectedWindowRecord,
    SampleRecord,
    ShardRecord,
    VideoRecord,
    WindowRow,
)
from sofdata.shards.tar import hash_file, read_sample_at
from sofdata.storage.tree import Tree


class Held(NamedTuple):
    """What a record says, by id of the video: a unit may hold thousands of them."""

    videos: dict[str, VideoRecord]
    rows: dict[str, list[WindowRow]]
    rejected: dict[str, list[RejectedWindowRecord]]


class StoredSample(NamedTuple):
    """A sample as it lies in a shard. flow: float32 [L,h,w,2], decoded from its members."""

    record: SampleRecord
    members: dict[str, bytes]
    flow: NDArray[np.float32]


class Committed:
    """The records of one dataset, by their paths. A context: it closes the shards that it opened.

    config_sha256: records of another configuration count as missing.
    """

    def __init__(self, dest: Tree, config_sha256: str) -> None:
        self._dest = dest
        self._config_sha256 = config_sha256
        self._open = ExitStack()
        self.record = cache(self._read_record)
        self.shard_path = cache(self._copied_shard)
        self._shard = cache(self._open_shard)
        self.held = cache(self._sort_by_video)

    def __enter__(self) -> Committed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards, and remove copies of remote ones."""
        self._open.close()

    def is_whole(self, path: str) -> bool:
        """Whether a record can be read, and its shard, if it has one, is the one that it names."""
        record = self.record(path)
        return record is not None and (record.shard is None or self.shard_path(path) is not None)

    def sample(self, path: str, row: WindowRow, video: str) -> StoredSample:
        """The sample of a row of a record, of a video by the id that it has there.

        Raises `InputError` where record and shard do not agree.
        """
        stream, name = self._stream(path)
        key, members = read_sample_at(stream, row.offset, name)
        sample = SampleRecord.model_validate_json(members.get("json", b""))
        if (key, sample.key, sample.source) != (row.key, row.key, video):
            raise InputError(f"{name}: sample {key} is not the one that its record lists")
        flow = {suffix: data for suffix, data in members.items() if suffix.startswith("flow.")}
        return StoredSample(sample, members, decode(flow, sample.flow))

    def rows(self, path: str, video: VideoRecord) -> list[WindowRow]:
        """The windows of a video of a record. Raises `InputError` where they are not as many."""
        found = self.held(path).rows.get(video.id, [])
        if len(found) != video.windows:
            raise InputError(f"{video.id}: the record lists {len(found)} windows")
        return found

    def _stream(self, path: str) -> tuple[BinaryIO, str]:
        stream, record = self._shard(path), self.record(path)
        if stream is None or record is None or record.shard is None:
            raise InputError(f"the shard of {path} is not whole")
        return stream, record.shard.name

    def _sort_by_video(self, path: str) -> Held:
        record, held = self.record(path), Held({}, {}, {})
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

    def _copied_shard(self, path: str) -> str | None:
        """A local copy of the shard that a record names, if its bytes have the record's hash."""
        record = self.record(path)
        shard: ShardRecord | None = record.shard if record else None
        if shard is None:
            return None
        try:
            name = f"{SHARDS}/{shard.name}"
            local = self._open.enter_context(self._dest.local_copy(name, shard.size_bytes))
            return local if hash_file(local)[0] == shard.sha256 else None
        except OSError:
            return None

    def _open_shard(self, path: str) -> BinaryIO | None:
        local = self.shard_path(path)
        try:
            return self._open.enter_context(open(local, "rb")) if local else None
        except OSError:
            return None
