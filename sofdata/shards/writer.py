"""A unit's shard while it is written: the samples of one video after the other, then the commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.commit import commit_shard
from sofdata.shards.sample import Sample
from sofdata.shards.schema import RejectedWindowRecord, ShardRecord, WindowRow
from sofdata.shards.stats import FlowSums
from sofdata.shards.tar import TarWriter
from sofdata.storage.tree import Tree
from sofdata.types import RejectedWindow


class VideoSamples:
    """What one video brings to a shard: its samples, and the account of all of its windows.

    rows: of the windows that were written. rejected: of those that were not.
    sums: over the flow that was written.
    """

    def __init__(self, video: str, tar: TarWriter) -> None:
        self.rows: list[WindowRow] = []
        self.rejected: list[RejectedWindowRecord] = []
        self.sums = FlowSums()
        self._video = video
        self._tar = tar

    def write(self, sample: Sample) -> None:
        """Append a sample. Raises `StorageError` where the disk fails."""
        offset = self._tar.add(sample.record.key, sample.members)
        self.rows.append(_row(sample, offset))
        self.sums.add(sample.flow)

    def copy(self, row: WindowRow, members: Mapping[str, bytes], flow: NDArray[np.float32]) -> None:
        """Append a sample of another shard byte for byte. flow: [L,h,w,2], as it is stored."""
        offset = self._tar.add(row.key, members)
        self.rows.append(row.model_copy(update={"offset": offset}))
        self.sums.add(flow)

    def reject(self, window: RejectedWindow) -> None:
        """Count a window that is not written."""
        self.rejected.append(
            RejectedWindowRecord(
                video=self._video,
                window=window.index,
                start_s=window.start_s,
                end_s=window.end_s,
                reason=window.reason,
            )
        )


class ShardWriter:
    """Writes a shard to a new local file. A context: what is not committed is given up at its end.

    rows, rejected, sums: as of `VideoSamples`, of all videos that were written whole.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[WindowRow] = []
        self.rejected: list[RejectedWindowRecord] = []
        self.sums = FlowSums()
        self._tar = TarWriter(path)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.discard()

    @property
    def size_bytes(self) -> int:
        """How much was written so far, without the end of the archive."""
        return self._tar.position().offset

    @contextmanager
    def video(self, video: str) -> Iterator[VideoSamples]:
        """Where the samples of one video go: all of them, or none if the block raises.

        video: its id.
        """
        start, samples = self._tar.position(), VideoSamples(video, self._tar)
        try:
            yield samples
        except BaseException:
            # A video may be tried again, and fails late as well as early: what it has written must
            # neither stand before the samples of the next try nor reach the shard at all.
            self._tar.rollback(start)
            raise
        self.rows += samples.rows
        self.rejected += samples.rejected
        # Video by video, not window by window: the order of additions decides the last digits.
        self.sums.merge(samples.sums)

    def commit(self, dest: Tree, ordinal: int, unit: str) -> ShardRecord | None:
        """Finish, verify and publish the shard; see `sofdata.shards.commit.commit_shard`."""
        return commit_shard(dest, self._tar, ordinal, unit)


def _row(sample: Sample, offset: int) -> WindowRow:
    record = sample.record
    return WindowRow(
        key=record.key,
        offset=offset,
        source=record.source,
        window=record.window,
        steps=len(sample.flow),
        start_s=record.start_s,
        end_s=record.end_s,
        cut=record.cut,
        text=record.text,
        codec=record.flow["codec"],
        error_mean_px=record.flow["error_mean_px"],
        error_max_px=record.flow["error_max_px"],
        **record.motion,
        **(record.quality or {}),
    )
