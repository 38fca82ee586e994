"""The account of an ingest: how everything ended, counted record by record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sofdata.ingest.libraries import split_digests
from sofdata.ingest.plan import IngestPlan
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.sample import quarantine_name
from sofdata.shards.schema import Counts, DatasetKept, KeptShard, ShardRecord
from sofdata.shards.stats import Merged

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTED = (
    "id",
    "status",
    "salvaged",
    "reason",
    "missing_s",
    "frames",
    "frames_lost",
    "frames_undated",
)


def kept_size(config: Mapping[str, Any]) -> int:
    """Side in px of the flow that a dataset of this configuration keeps; 0 where it keeps none."""
    flow = config.get("flow", {})
    return int(flow["kept"]["size"] or config["windows"]["size"]) if flow.get("keep") else 0


class _Kept:
    """Counts what is kept of the flow of whole videos."""

    def __init__(self) -> None:
        self.shards: list[ShardRecord] = []
        self.is_any = False  # whether a unit keeps flow, if only of no video
        self._videos = self._steps = self._vectors = 0
        self._covered_s = self._error_sum_px = self._error_max_px = 0.0

    def add(self, kept: KeptShard, covered_s: float) -> None:
        """Count a unit. covered_s: of its videos."""
        self.is_any = True
        self.shards += [kept.shard] if kept.shard else []
        self._covered_s += covered_s
        self._videos += len(kept.videos)
        for video in kept.videos:
            self._steps += video.steps
            self._vectors += video.vectors
            self._error_sum_px += video.error_sum_px
            self._error_max_px = max(self._error_max_px, video.error_max_px)

    def summary(self, codec: str, size: int) -> DatasetKept:
        """What `dataset.json` says of it."""
        size_bytes = sum(shard.size_bytes for shard in self.shards)
        return DatasetKept(
            codec=codec,
            size=size,
            shards=len(self.shards),
            bytes=size_bytes,
            videos=self._videos,
            steps=self._steps,
            bytes_per_video_s=round(size_bytes / self._covered_s, 1) if self._covered_s else 0.0,
            error_mean_px=round(self._error_sum_px / max(self._vectors, 1), 6),
            error_max_px=self._error_max_px,
        )


class Account:
    """Counts how everything ended, record by record."""

    def __init__(self, plan: IngestPlan) -> None:
        self._videos = plan.videos
        self._status: Counter[str] = Counter(rejected=len(plan.refused))
        self._reasons = Counter(refused.reason for refused in plan.refused)
        self._window_reasons: Counter[str] = Counter()
        self._windows = 0
        self._parts: Counter[str] = Counter()
        self._shards: list[ShardRecord] = []
        self._flow = Merged()
        self._kept = _Kept()
        self.quarantine_notes: set[str] = set()
        self.digests: set[str] = set()  # of the libraries that computed the units

    def add(self, record: LedgerColumns) -> None:
        """Count a unit. Units come in the order of the plan."""
        self._add_videos(record.videos)
        self._window_reasons.update(record.rejected_windows["reason"].to_pylist())
        self._windows += record.windows.num_rows
        self._flow.add(record.statistics)
        self.digests.update(split_digests(record.libraries))
        if record.shard:
            self._shards.append(record.shard)
        if record.kept:
            self._kept.add(record.kept, sum(record.videos["covered_s"].to_pylist()))

    def _add_videos(self, videos: pa.RecordBatch) -> None:
        column = {name: videos[name].to_pylist() for name in _COUNTED}
        self._status.update(column["status"])
        self._reasons.update(filter(None, column["reason"]))
        for video, status, salvaged in zip(*(column[name] for name in _COUNTED[:3]), strict=True):
            self._parts["salvaged"] += status == "done" and bool(salvaged)
            if status == "quarantined":
                self.quarantine_notes.add(quarantine_name(video))
        self._parts["spans_cut"] += sum(missing_s > 0 for missing_s in column["missing_s"])
        for name in ("frames", "frames_lost", "frames_undated"):
            self._parts[name] += sum(column[name])

    @property
    def windows(self) -> int:
        return self._windows

    @property
    def shards(self) -> list[str]:
        """Names of the shards."""
        return [shard.name for shard in self._shards]

    @property
    def kept_shards(self) -> list[str]:
        """Names of the shards of kept flow."""
        return [shard.name for shard in self._kept.shards]

    def kept(self, config: Mapping[str, Any]) -> DatasetKept | None:
        """What is kept of the flow of whole videos; None where nothing is.

        config: of the dataset.
        """
        if not self._kept.is_any or not (size := kept_size(config)):
            return None
        return self._kept.summary(config["flow"]["kept"]["codec"], size)

    def counts(self, listed: Counts) -> Counts:
        """The counts. listed: those of what the source holds beside its videos are taken over."""
        return Counts(
            videos=self._videos,
            done=self._status["done"],
            rejected=self._status["rejected"],
            quarantined=self._status["quarantined"],
            windows=self._windows,
            windows_rejected=self._window_reasons.total(),
            shards=len(self._shards),
            bytes=sum(shard.size_bytes for shard in self._shards),
            reasons=dict(sorted(self._reasons.items())),
            window_reasons=dict(sorted(self._window_reasons.items())),
            ignored_files=listed.ignored_files,
            label_files=listed.label_files,
            unused_rows=listed.unused_rows,
            **self._parts,
        )

    def flow(self) -> dict[str, Any]:
        """Statistics of all stored flow."""
        return self._flow.summary()

    def wids_index(self) -> bytes:
        """The index that `wids` reads; its URLs are relative to itself."""
        shards = [
            {
                "url": shard.name,
                "nsamples": shard.samples,
                "filesize": shard.size_bytes,
                "md5sum": shard.md5,
            }
            for shard in self._shards
        ]
        index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}
        return json.dumps(index, sort_keys=True, indent=1).encode()
