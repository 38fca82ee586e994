"""Ledger records, and datasets of them, with all kinds of outcomes, made up without a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.finish import provenance
from sofdata.ingest.generation import Generation, save_generation
from sofdata.ingest.inputs import Refused
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.units import Unit, unit_id
from sofdata.shards.layout import ledger_name
from sofdata.shards.schema import (
    Counts,
    DatasetRecord,
    FlowStatistics,
    LedgerRecord,
    RejectedWindowRecord,
    ShardRecord,
    VideoRecord,
    WindowRow,
)
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

TEXTS = ("", "Pushing something", 'a "quoted" text, with commas', "Käse schneiden → 切る", "a\0b\n")
KINDS = ("done", "salvaged", "static", "quarantined", "broken")


def made_up(seed: int, videos: int = 7, ids: list[str] | None = None) -> LedgerRecord:
    """A record of `videos` videos that end in turn in all the ways that there are."""
    rng = np.random.default_rng(seed)
    names = ids if ids is not None else [f"v{seed}/ü{number}" for number in range(videos)]
    rows, rejected, ended = list[WindowRow](), list[RejectedWindowRecord](), list[VideoRecord]()
    for number, name in enumerate(names):
        kind = KINDS[(number + seed) % len(KINDS)]
        kept = int(rng.integers(1, 6)) if kind in ("done", "salvaged") else 0
        lost = int(rng.integers(0, 4)) if kind in ("done", "static") else 0
        rows += [_window(rng, name, window, len(rows)) for window in range(kept)]
        rejected += [_rejected(rng, name, kept + window) for window in range(lost)]
        reasons = [each.reason for each in rejected if each.video == name]
        ended.append(_video(rng, name, kind, kept, reasons))
    shard = ShardRecord(
        name=f"sof-{seed:08x}-{seed:016x}-00000000.tar",
        samples=len(rows),
        size_bytes=1024 * (len(rows) + 1),
        sha256="0" * 64,
        md5="0" * 32,
    )
    return LedgerRecord(
        unit=f"{seed:016x}",
        ordinal=seed,
        config_sha256="c" * 64,
        shard=shard if rows else None,
        videos=ended,
        windows=rows,
        rejected_windows=rejected,
        statistics=_statistics(rng, len(rows)),
        libraries="" if seed % 4 == 0 else f"{seed % 3:016x}",
    )


def make_up_dataset(folder: Path | str, units: int, videos: int = 7) -> tuple[Tree, Generation]:
    """A dataset whose units are all committed, not finished yet. Its shards hold nothing."""
    config, dest = IngestConfig(), Tree(str(folder))
    digest = config.digest()
    planned, records = list[Unit](), list[LedgerRecord]()
    for seed in range(units):
        ids = [f"v{seed:04}/ü{number}" for number in range(videos)]
        refs = tuple(
            VideoRef(id=each, uri=f"{each}.mp4", size_bytes=9, fingerprint="f") for each in ids
        )
        planned.append(Unit(unit_id(refs, digest), seed, refs))
        named = {"unit": planned[-1].id, "config_sha256": digest}
        records.append(made_up(seed, ids=ids).model_copy(update=named))
    plan = IngestPlan.of(planned, map(_refused, range(5)))
    generation = Generation(plan, _dataset(config, plan), frozenset(unit.id for unit in planned))
    save_generation(dest, generation)
    for record in records:
        _commit(dest, record)
    return dest, generation


def _refused(number: int) -> Refused:
    return Refused(f"r{number}", f"r{number}.txt", number, "empty_file", "there is nothing in it")


def _dataset(config: IngestConfig, plan: IngestPlan) -> DatasetRecord:
    return DatasetRecord(
        complete=False,
        corpus="folder",
        config=config.content(),
        config_sha256=config.digest(),
        counts=Counts(videos=plan.videos, ignored_files={".txt": 2}),
        flow={},
        provenance=provenance(config),
    )


def _commit(dest: Tree, record: LedgerRecord) -> None:
    if record.shard:
        dest.write(f"shards/{record.shard.name}", bytes(record.shard.size_bytes))
    dest.write(f"ledger/{ledger_name(record.unit)}", record.to_json())


def _window(rng: np.random.Generator, video: str, window: int, place: int) -> WindowRow:
    camera = rng.random(3).tolist() if window % 3 else [None] * 3
    return WindowRow(
        key=f"{video.encode().hex()}-{window}",
        offset=place * 10240,
        source=video,
        window=window,
        steps=int(rng.integers(2, 16)),
        start_s=round(window * 0.75, 6),
        end_s=round(window * 0.75 + float(rng.random()), 6),
        cut=str(rng.choice(["start", "shot", "gap"])),
        text=str(rng.choice(TEXTS)),
        **dict(zip(("camera_px", "camera_share", "residual_px"), camera, strict=True)),
        **{name: float(value) for name, value in zip(_MOTION, rng.normal(size=6), strict=True)},
        codec="q8",
    )


_MOTION = ("mean_px", "p99_px", "max_px", "active_share", "error_mean_px", "error_max_px")


def _rejected(rng: np.random.Generator, video: str, window: int) -> RejectedWindowRecord:
    return RejectedWindowRecord(
        video=video,
        window=window,
        start_s=float(rng.random()),
        end_s=2.0,
        reason=str(rng.choice(["static", "too_short"])),
    )


def _video(
    rng: np.random.Generator, name: str, kind: str, windows: int, reasons: list[str]
) -> VideoRecord:
    status = {"static": "rejected", "quarantined": "quarantined", "broken": "rejected"}
    reason = {"static": "static", "quarantined": "decode_error", "broken": "not_a_video"}
    return VideoRecord(
        id=name,
        status=status.get(kind, "done"),
        reason=reason.get(kind, ""),
        detail="" if windows else f"{name}: it is {kind}",
        decoder="PyAV 1",
        tries=int(rng.integers(1, 3)),
        frames=int(rng.integers(0, 100)),
        frames_lost=int(kind == "salvaged"),
        missing_s=0.25 * (kind == "salvaged"),
        salvaged="1 frame is lost" * (kind == "salvaged"),
        covered_s=float(rng.random()),
        windows=windows,
        windows_rejected={each: reasons.count(each) for each in sorted({*reasons})},
        inputs="0123456789abcdef",
        labels={"split": "train", "class": "Öffnen"} if kind != "broken" else {},
    )


def _statistics(rng: np.random.Generator, windows: int) -> FlowStatistics:
    if not windows:
        return FlowStatistics()
    bins = np.unique(rng.integers(7000, 9000, 40)).tolist()
    return FlowStatistics(
        vectors=1000 * windows,
        sum_px=(float(rng.normal()), float(rng.normal())),
        sum_squares_px2=(float(rng.random() * 9e3), float(rng.random() * 9e3)),
        histogram={index: int(rng.integers(1, 1 << 40)) for index in bins},
    )
