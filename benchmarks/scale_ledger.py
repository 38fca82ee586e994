"""Finishing and verifying a dataset of a million videos, whose records are made up: none is read.

A unit has 50 videos of ten windows each, so a million videos are 20,000 records of 290 KB. Numbers
and texts repeat after some thousand windows; shards are holes of the right size. The dataset is
kept under benchmarks/cache (6 GB for a million videos), and finished anew in each trial.

    python benchmarks/scale_ledger.py --videos 1000000

Goals are those of a million videos. Memory is that of a process, its plan included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scale_figures import CACHE, GIB, Figure, in_child, table

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.finish import finish as finish_dataset
from sofdata.ingest.finish import provenance
from sofdata.ingest.generation import Generation, read_generation, save_generation
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.units import Unit, unit_id
from sofdata.ingest.verify import verify as verify_dataset
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

VIDEOS, WINDOWS = 50, 10  # of a unit, of a video
KINDS = 128  # records whose numbers differ: a row group has more rows than all of them
# Of as many letters as what stands in their places, so that records are made by replacing them.
UNIT, NUMBER = "u" * 16, "n" * 8


def measure(videos: int) -> list[Figure]:
    """The figures for so many videos."""
    folder = CACHE / f"ledger-{videos}"
    if not (folder / "made").exists():
        _make(folder, videos)
    figures = []
    for step, goal_s in (("finish", 120.0), ("verify", None), ("resume", 30.0)):
        cost = in_child("scale_ledger", "--step", step, "--videos", videos)
        figures += [
            Figure(f"{_IN_WORDS[step]}, {videos} videos, wall", cost.wall_s, "s", goal_s),
            Figure(f"{_IN_WORDS[step]}, CPU", cost.cpu_s, "s"),
            Figure(f"{_IN_WORDS[step]}, peak memory", cost.peak_bytes / GIB, "GiB", 1.0),
        ]
    return figures


_IN_WORDS = {
    "finish": "finishing",
    "verify": "verify --fast",
    "resume": "reading what is there before a resume",
}


def _finish(dest: Tree) -> None:
    generation = read_generation(dest)
    assert generation is not None
    finish_dataset(dest, generation)


def _verify(dest: Tree) -> None:
    assert verify_dataset(dest, fast=True).whole


def _resume(dest: Tree) -> None:
    generation = read_generation(dest)
    assert generation is not None
    assert not generation.waiting


_STEPS: dict[str, Callable[[Tree], None]] = {
    "finish": _finish,
    "verify": _verify,
    "resume": _resume,
}


def _make(folder: Path, videos: int) -> None:
    """A dataset of so many videos, all of whose units are committed."""
    dest, config = Tree(str(folder)), IngestConfig()
    plan = IngestPlan.of(_units(videos // VIDEOS, config.digest()))
    save_generation(dest, Generation(plan, _record(config, plan)))
    for name in ("ledger", "shards"):
        (folder / name).mkdir(exist_ok=True)
    templates = [_template(kind, config.digest()) for kind in range(KINDS)]
    for number, unit in enumerate(plan.units):
        size, text = templates[number % KINDS]
        text = text.replace(UNIT, unit.id).replace(NUMBER, f"{number:08d}")
        text = text.replace('"ordinal":0', f'"ordinal":{unit.ordinal}')
        (folder / "ledger" / f"{unit.id}.json").write_text(text)
        os.truncate(_touched(folder / "shards" / _shard_name(unit.id)), size)
    (folder / "made").touch()


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _units(number: int, config_sha256: str) -> Iterator[Unit]:
    for ordinal in range(number):
        videos = tuple(
            VideoRef(
                id=_video(f"{ordinal:08d}", video),
                uri=f"{_video(f'{ordinal:08d}', video)}.webm",
                size_bytes=123_456,
                fingerprint=f"{ordinal:016x}{video:016x}",
                text="Pushing something from left to right",
                labels=_labels(video),
            )
            for video in range(VIDEOS)
        )
        yield Unit(unit_id(videos, config_sha256), ordinal, videos)


def _video(number: str, video: int) -> str:
    return f"clips/{number}/{video:03d}"


def _labels(video: int) -> dict[str, str]:
    return {"class": f"Pushing {video}", "split": "train"}


def _shard_name(unit: str) -> str:
    return f"sof-00000000-{unit}-01234567.tar"


def _record(config: IngestConfig, plan: IngestPlan) -> DatasetRecord:
    return DatasetRecord(
        complete=False,
        corpus="folder",
        config=config.content(),
        config_sha256=config.digest(),
        counts=Counts(videos=plan.videos),
        flow={},
        provenance=provenance(config),
    )


def _template(kind: int, config_sha256: str) -> tuple[int, str]:
    """A record in which the unit and its number are to be put in; and the size of its shard."""
    rng = np.random.default_rng(kind)
    names = [_video(NUMBER, video) for video in range(VIDEOS)]
    rows = [_window(rng, name, window) for name in names for window in range(WINDOWS)]
    size = int(rng.integers(1 << 22, 1 << 24))
    record = LedgerRecord(
        unit=UNIT,
        ordinal=0,
        config_sha256=config_sha256,
        shard=ShardRecord(
            name=_shard_name(UNIT),
            samples=len(rows),
            size_bytes=size,
            sha256="0" * 64,
            md5="0" * 32,
        ),
        videos=[_ended(name, video) for video, name in enumerate(names)],
        windows=rows,
        rejected_windows=[_rejected(name) for name in names],
        statistics=FlowStatistics(
            vectors=len(rows) * 61_440,
            sum_px=(float(rng.normal()), float(rng.normal())),
            sum_squares_px2=(float(rng.random() * 1e8), float(rng.random() * 1e8)),
            histogram={7000 + index: int(rng.integers(1, 1 << 20)) for index in range(700)},
        ),
        libraries="0123456789abcdef",
    )
    return size, record.to_json().decode()


def _window(rng: np.random.Generator, video: str, window: int) -> WindowRow:
    names = ("mean_px", "p99_px", "max_px", "active_share", "camera_px", "camera_share")
    more = ("residual_px", "error_mean_px", "error_max_px")
    return WindowRow(
        key=f"{video.replace('/', '-')}-{UNIT}-{window}",
        offset=int(rng.integers(1 << 15)) * 512,
        source=video,
        window=window,
        steps=15,
        start_s=round(window * 0.75, 6),
        end_s=round(window * 0.75 + 1.5, 6),
        cut="start",
        text="Pushing something from left to right",
        codec="q8",
        **{name: float(value) for name, value in zip(names + more, rng.random(9), strict=True)},
    )


def _ended(name: str, video: int) -> VideoRecord:
    return VideoRecord(
        id=name,
        status="done",
        decoder="PyAV 18.1.0",
        tries=1,
        frames=60,
        covered_s=8.25,
        windows=WINDOWS,
        windows_rejected={"static": 1},
        inputs="0123456789abcdef",
        labels=_labels(video),
    )


def _rejected(name: str) -> RejectedWindowRecord:
    return RejectedWindowRecord(video=name, window=WINDOWS, start_s=7.5, end_s=9.0, reason="static")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--step", choices=_STEPS)
    chosen = parser.parse_args()
    if chosen.step:
        _STEPS[chosen.step](Tree(str(CACHE / f"ledger-{chosen.videos}")))
        print(json.dumps(None))
        sys.exit()
    print(table(measure(chosen.videos)))


if __name__ == "__main__":
    main()
