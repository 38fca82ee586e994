"""A unit's shard while it is written: the samples of one video after the other, then the commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.commit import commit_shard
from sofdata.shards.layout import FLOW
from sofdata.shards.sample import Sample
from sofdata.shards.schema import (
    KeptRecord,
    KeptShard,
    KeptVideo,
    RejectedWindowRecord,
    ShardRecord,
    WindowRow,
)
from sofdata.shards.stats import FlowSums
from sofdata.shards.tar import TarWriter
from sofdata.storage.tree import Tree
from sofdata.types import RejectedWindow


class VideoSamples:
    """What one video brings to a shard: its samples, and the account of all of its windows.

    rows: of the windows that were written. rejected: of those that were not.
    sums: over the flow that was written. kept: what is kept of its flow; None where nothing is.
    """

    def __init__(self, video: str, tar: TarWriter, kept_tar: TarWriter | None = None) -> None:
        self.rows: list[WindowRow] = []
        self.rejected: list[RejectedWindowRecord] = []
        self.sums = FlowSums()
        self.kept: KeptVideo | None = None
        self._video = video
        self._tar = tar
        self._kept_tar = kept_tar

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

    def keep(self, samples: Iterable[tuple[KeptRecord, Mapping[str, bytes]]]) -> None:
        """Append what is kept of the video's flow, in its order; none if no frame was sampled."""
        assert self._kept_tar is not None
        kept = self.kept or KeptVideo(
            id=self._video, offset=0, records=0, steps=0, vectors=0, error_sum_px=0, error_max_px=0
        )
        for record, members in samples:
            offset = self._kept_tar.add(record.key, members)
            kept = _with_piece(kept, record, kept.offset if kept.records else offset)
        self.kept = kept

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

    kept_path: of a second file for the flow of whole videos; "" where none is kept.
    rows, rejected, sums, kept: as of `VideoSamples`, of all videos that were written whole.
    """

    def __init__(self, path: str, kept_path: str = "") -> None:
        self.path = path
        self.kept_path = kept_path
        self.kept: list[KeptVideo] = []
        self.rows: list[WindowRow] = []
        self.rejected: list[RejectedWindowRecord] = []
        self.sums = FlowSums()
        self._tar = TarWriter(path)
        self._kept_tar = TarWriter(kept_path) if kept_path else None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.discard()
        if self._kept_tar:
            self._kept_tar.discard()

    @property
    def size_bytes(self) -> int:
        """How much was written so far, kept flow included, without the ends of the archives."""
        kept = self._kept_tar.position().offset if self._kept_tar else 0
        return self._tar.position().offset + kept

    @contextmanager
    def video(self, video: str) -> Iterator[VideoSamples]:
        """Where the samples of one video go: all of them, or none if the block raises.

        video: its id.
        """
        tars = [self._tar, *([self._kept_tar] if self._kept_tar else [])]
        starts = [tar.position() for tar in tars]
        samples = VideoSamples(video, self._tar, self._kept_tar)
        try:
            yield samples
        except BaseException:
            # A video may be tried again, and fails late as well as early: what it has written must
            # neither stand before the samples of the next try nor reach the shard at all.
            for tar, start in zip(tars, starts, strict=True):
                tar.rollback(start)
            raise
        self.rows += samples.rows
        self.rejected += samples.rejected
        # Video by video, not window by window: the order of additions decides the last digits.
        self.sums.merge(samples.sums)
        self.kept += [samples.kept] if samples.kept else []

    def commit(self, dest: Tree, ordinal: int, unit: str) -> ShardRecord | None:
        """Finish, verify and publish the shard; see `sofdata.shards.commit.commit_shard`."""
        return commit_shard(dest, self._tar, ordinal, unit)

    def commit_kept(self, dest: Tree, ordinal: int, unit: str) -> KeptShard | None:
        """The same of the flow that is kept; None where none is."""
        if self._kept_tar is None:
            return None
        shard = commit_shard(dest, self._kept_tar, ordinal, unit, FLOW)
        return KeptShard(shard=shard, videos=self.kept)


def _with_piece(kept: KeptVideo, record: KeptRecord, offset: int) -> KeptVideo:
    """What is kept of a video, with one more of its samples."""
    shape = record.flow.get("shape", (0, 0, 0, 0))
    vectors = shape[0] * shape[1] * shape[2]
    return KeptVideo(
        id=kept.id,
        offset=offset,
        records=kept.records + 1,
        steps=kept.steps + len(record.moves),
        vectors=kept.vectors + vectors,
        error_sum_px=kept.error_sum_px + vectors * record.flow.get("error_mean_px", 0.0),
        error_max_px=max(kept.error_max_px, record.flow.get("error_max_px", 0.0)),
    )


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
