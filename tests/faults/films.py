"""Folders of damaged videos with sound ones among them, ingested by the command line with Ray."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sofdata.scenes import write_clip
from tests.faults.judge import Score, compare, samples, unaccounted
from tests.faults.mutate import mutants, write_originals
from tests.faults.results import Result, judge_run
from tests.faults.runs import run
from tests.helpers import hashes

FOLDER_VIDEOS = 100
SOUND = 3
KIND = "mutated videos"
LIMITS = ("floor_s=10", "ceiling_s=20")
SETTINGS = ("run.allow_set_aside=1", "units.min_units=8", *(f"run.limits.{v}" for v in LIMITS))


def video_trials(
    folder: Path, number: int, seed: int, shared: Path | None = None
) -> list[tuple[str, Callable[[], Result]]]:
    """Trials that together hold `number` mutants."""
    trials: list[tuple[str, Callable[[], Result]]] = []
    for first in range(0, number, FOLDER_VIDEOS):
        count = min(FOLDER_VIDEOS, number - first)
        id = f"{KIND} {first} to {first + count - 1}"

        def attempt(id: str = id, first: int = first, count: int = count) -> Result:
            return attempt_videos(folder, id, first, count, seed, shared)

        trials.append((id, attempt))
    return trials


def attempt_videos(
    folder: Path,
    id: str,
    first: int,
    number: int,
    seed: int,
    shared: Path | None = None,
    repeat: bool = True,
) -> Result:
    """Ingest mutants and judge what comes out.

    repeat: do so again with another number of workers, and compare the bytes.
    """
    began = time.monotonic()
    result = Result(id, KIND)
    reference = _sound_samples(folder, shared)
    source, dests = folder / "source", (folder / "one", folder / "two")
    for path in (source, *dests):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder / "sound", source)
    paths = mutants(folder / "originals", source, first, number, seed)
    videos = {path.name for path in source.iterdir()}
    for workers, dest in ((2, dests[0]), (1, dests[1]))[: 1 + repeat]:
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        outcome = run(("ingest", source, dest, "--workers", str(workers), *settings), ray=True)
        result.runs += 1
        result.add(judge_run(outcome, (0,)), outcome.output[-1500:])
        if outcome.code == 0:
            result.add(_check(dest, videos, reference), f"{workers} workers")
    if repeat:
        found = compare(hashes(dests[0]), hashes(dests[1]))
        result.add(found, f"two runs differ: {_differing(*dests)}")
    result.fired = len(paths)
    result.wall_s = round(time.monotonic() - began, 2)
    return result


def _check(dest: Path, videos: set[str], reference: dict[str, str]) -> Score:
    """Every video has ended once, and the sound ones came out as they are."""
    found = samples(dest)
    ours = {key: found[key] for key in found if key in reference or key.endswith(" again")}
    verdict = run(("verify", dest))
    return (
        compare(reference, ours) + unaccounted(dest, videos) + Score(verify=int(verdict.code != 0))
    )


def _sound_samples(folder: Path, shared: Path | None) -> dict[str, str]:
    """The samples of the sound clips when they are alone. Makes the clips the first time."""
    sound, dest = folder / "sound", folder / "alone"
    if not dest.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_originals(folder / "originals", shared)
        sound.mkdir()
        for index in range(SOUND):
            write_clip(sound / f"{(17, 47, 99)[index]:05d}-sound.webm", index, seed=2, seconds=2.0)
        outcome = run(("ingest", sound, dest, "--engine", "inline"))
        if outcome.code != 0:
            raise SystemExit(f"an undisturbed ingest fails:\n{outcome.output}")
    return samples(dest)


def _differing(one: Path, two: Path) -> str:
    """The videos that ended differently in two runs, for a person."""
    import pyarrow.parquet as pq

    tables = []
    for dest in (one, two):
        path = dest / "videos.parquet"
        if not os.path.exists(path):
            return f"{path} is missing"
        with pq.ParquetFile(path) as file:
            tables.append({row["id"]: row for row in file.read().to_pylist()})
    pairs = [(row, tables[1].get(id)) for id, row in tables[0].items()]
    return str([pair for pair in pairs if pair[0] != pair[1]][:3])
