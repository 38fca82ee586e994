"""`sofdata bench collect`: scripted experts act; their episodes become videos and demonstrations.

    OUT/SUITE/videos/       action-free MP4s laid out as Something-Something V2; label: the task
    OUT/SUITE/demos/        other episodes with actions, a LeRobot dataset v3.0; with
                            `second_camera` of two cameras
    OUT/SUITE/collect.json  settings, seeds, layouts, how often experts succeed; written last

With `play_minutes`, undirected play in place of both, beside what is there:

    OUT/SUITE/play/         with actions, as demos
    OUT/SUITE/play.json     as collect.json

Only successes are kept. Seeds are tried in waves: first as many as episodes are wanted, then as
many as are still missing, and so on. Which seeds are tried therefore follows from the settings
alone, and the bytes are equal for any number of processes and after any interruption.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sofdata.bench.collect.config import CollectConfig
from sofdata.bench.collect.episodes import (
    Attempt,
    Part,
    attempt,
    read_demonstration,
)
from sofdata.bench.envs.base import Env, Suite, Task, Variant
from sofdata.bench.envs.play import TEXT as PLAY_TEXT
from sofdata.bench.envs.registry import (
    FIRST_CAMERA,
    SIMULATORS,
    camera_feature,
    collected_tasks,
    find_suite,
    playing,
    second_camera,
    varied,
)
from sofdata.bench.envs.seeds import seeds_for
from sofdata.bench.records import read_record
from sofdata.config.section import differing_keys
from sofdata.corpora.ssv2 import VIDEOS
from sofdata.errors import ConfigError, TransientError
from sofdata.storage import atomic
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.system.digests import json_digest
from sofdata.system.interrupts import held
from sofdata.system.processes import end_with_parent, end_workers
from sofdata.system.versions import __version__, installed

RECORD, PLAY_RECORD = "collect.json", "play.json"
CAMERA = camera_feature(FIRST_CAMERA)
WORK = "work"
_FORMAT = 1
_ATTEMPT_FORMAT = 2  # of the files of single attempts
_OF_ATTEMPTS = ("suite", "size", "hold_steps", "play_s", "look", "retreat", "second_camera")
_BATCH = 6  # attempts that a process makes between two reports of progress

CollectListener = Callable[["CollectProgress"], None]
Attempts = dict[tuple[Part, str], list[Attempt]]


@dataclass(frozen=True, slots=True)
class CollectProgress:
    """After each batch of attempts: episodes that succeeded, are wanted, and attempts made."""

    succeeded: int
    wanted: int
    tried: int


@dataclass(frozen=True, slots=True)
class AttemptBatch:
    """Some attempts at one task, for one process."""

    suite: str
    task: str
    part: Part
    seeds: tuple[int, ...]
    size: int
    hold_steps: int
    play_steps: int
    variant: Variant
    work: str
    second_camera: bool


def collect(
    config: CollectConfig,
    out: Path,
    workers: int | None = None,
    follow: CollectListener = lambda progress: None,
    choice: Choice = "auto",
) -> dict[str, Any]:
    """Collect into OUT/SUITE; returns what is in its record. Does nothing if that is there.

    workers: processes; default: one for each core. choice: as of `only_driver`.

    Raises `ConfigError` where packages or libraries are missing, where other settings were
    collected before, for a variant, play or second camera that the suite does not have, for an
    expert that succeeds too rarely, for a folder that is not on this machine, and if another
    command collects into it.
    """
    suite = varied(find_suite(config.suite), config.variant)
    if config.play_minutes:
        playing(suite)
    if config.second_camera:
        second_camera(suite)
    root = Path(local_folder(out, "the folder to collect into")) / suite.name
    tasks = collected_tasks(suite, config.tasks)
    record = _collected(root, config, tasks)
    if record:
        return record
    suite.check()
    with only_driver(Tree(str(root)), "collection", choice):
        # Again under the lock: another command may have finished it meanwhile.
        return _collected(root, config, tasks) or _collect(
            config, suite, tasks=tasks, root=root, workers=workers, follow=follow
        )


def _collect(
    config: CollectConfig,
    suite: Suite,
    *,
    tasks: tuple[Task, ...],
    root: Path,
    workers: int | None,
    follow: CollectListener,
) -> dict[str, Any]:
    began, work = time.monotonic(), root / WORK / json_digest(_of_attempts(suite, config))[:16]
    made = _attempts(config, tasks, suite.fps, work, workers or cores(), follow)
    cpu_s = sum(one.cpu_s for attempts in made.values() for one in attempts)
    assembling = time.process_time()
    if config.play_minutes:
        _assemble_demos(root, suite, config, tasks, made, work, "play")
    else:
        _assemble_videos(root, tasks, made, work)
        _assemble_demos(root, suite, config, tasks, made, work, "demos")
    cpu_s += time.process_time() - assembling
    measured = {"cpu_s": round(cpu_s, 1), "wall_s": round(time.monotonic() - began, 1)}
    record = _record(suite, config, tasks, made) | measured
    atomic.write_json(root / _record_name(config), record)
    shutil.rmtree(work)
    if not list((root / WORK).iterdir()):
        (root / WORK).rmdir()
    return record


def _collected(root: Path, config: CollectConfig, tasks: tuple[Task, ...]) -> dict[str, Any] | None:
    """The record of an earlier collection. Raises `ConfigError` if it had other settings, or was
    made before some of the tasks were."""
    path = root / _record_name(config)
    try:
        record = read_record(path)
    except FileNotFoundError:
        return None
    if "config" not in record:
        raise ConfigError(f"{path} was not written by 'collect': use another folder")
    differing = "; ".join(differing_keys(config.content(), record["config"]))
    if differing:
        raise ConfigError(
            f"{root} was collected with other settings ({differing}): use another folder, or "
            "remove this one"
        )
    if lacking := [task.name for task in tasks if task.name not in record["texts"]]:
        raise ConfigError(
            f"{root} was collected before {', '.join(lacking)} were among the tasks that are "
            "collected where none is named: use another folder, or name the tasks that it has "
            f"(--set 'tasks=[{', '.join(record['texts'])}]')"
        )
    return record


def _record_name(config: CollectConfig) -> str:
    return PLAY_RECORD if config.play_minutes else RECORD


def _of_attempts(suite: Suite, config: CollectConfig) -> dict[str, Any]:
    """The settings that decide the bytes of one attempt: not how many of them are wanted."""
    content = config.content()
    return {
        "format": _ATTEMPT_FORMAT,
        "sofdata": __version__,
        "fps": suite.fps,
        **{name: content[name] for name in _OF_ATTEMPTS if name in content},
    }


def _attempts(
    config: CollectConfig,
    tasks: tuple[Task, ...],
    fps: float,
    work: Path,
    workers: int,
    follow: CollectListener,
) -> Attempts:
    """Waves of attempts until there are enough successes of every part and task."""
    wanted = _wanted(config, tasks)
    made: Attempts = {(part, task.name): [] for part in wanted for task in tasks}
    with _Pool(workers) as pool:
        while wave := _wave(config, wanted, made, fps, work):
            for batch, attempts in pool.run(wave):
                made[batch.part, batch.task] += attempts
                follow(_progress(made, sum(wanted.values()) * len(tasks)))
            for attempts in made.values():
                attempts.sort(key=lambda one: one.seed)
    return made


def _wanted(config: CollectConfig, tasks: tuple[Task, ...]) -> dict[Part, int]:
    """Episodes of each part, for each task."""
    if config.play_minutes:
        return {"play": config.play_episodes(len(tasks))}
    return {"videos": config.videos, "demos": config.demos}


def _progress(made: Attempts, wanted: int) -> CollectProgress:
    everything = [one for attempts in made.values() for one in attempts]
    return CollectProgress(sum(one.success for one in everything), wanted, len(everything))


def _wave(
    config: CollectConfig, wanted: Mapping[Part, int], made: Attempts, fps: float, work: Path
) -> list[AttemptBatch]:
    """The attempts that are still missing. Those of one task come one after the other, since making
    a simulator takes a second.

    Raises `ConfigError` for an expert that succeeds too rarely.
    """
    batches = []
    for (part, task), attempts in sorted(made.items(), key=lambda item: item[0][1]):
        succeeded = sum(one.success for one in attempts)
        lacking = wanted[part] - succeeded
        most = math.ceil(wanted[part] / config.least_rate)
        if lacking and len(attempts) + lacking > most:
            raise ConfigError(
                f"the expert of '{task}' succeeded in {succeeded} of {len(attempts)} attempts, "
                f"less than least_rate ({config.least_rate:g}): leave the task out, or lower it"
            )
        seeds = seeds_for(part, len(attempts) + lacking)[len(attempts) :]
        batches += [
            AttemptBatch(
                config.suite,
                task,
                part,
                seeds[start : start + _BATCH],
                config.size,
                config.hold_steps,
                max(1, round(config.play_s * fps)),
                config.variant,
                str(work),
                config.second_camera,
            )
            for start in range(0, len(seeds), _BATCH)
        ]
    return batches


class _Pool:
    """Worker processes; with one worker, this process."""

    def __init__(self, workers: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that begin now
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, end_with_parent, (os.getpid(),))

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _close_simulator()
        if self._pool:
            if kind is not None:
                end_workers()  # their attempts need no waiting for: they are made again
            self._pool.shutdown(cancel_futures=True)

    def run(self, batches: list[AttemptBatch]) -> Iterator[tuple[AttemptBatch, list[Attempt]]]:
        """The attempts of each batch, in the order in which batches are finished."""
        if self._pool is None:
            yield from ((batch, _do(batch)) for batch in batches)
            return
        try:
            with held():
                running = {self._pool.submit(_do, batch): batch for batch in batches}
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenExecutor as error:
            raise TransientError(
                f"a process that collects died: {error} If memory ran out, use fewer with "
                "--workers; the same command resumes from here"
            ) from None


_kept: dict[tuple[str, str, int, Variant], Env] = {}  # the simulator that this process made last


def _do(batch: AttemptBatch) -> list[Attempt]:
    suite = varied(find_suite(batch.suite), batch.variant)
    task = next(task for task in suite.tasks if task.name == batch.task)
    key = (batch.suite, batch.task, batch.size, batch.variant)
    if key not in _kept:
        _close_simulator()
        _kept[key] = suite.make(task, batch.size)
    return [
        attempt(
            suite,
            _kept[key],
            task,
            seed=seed,
            part=batch.part,
            hold_steps=batch.hold_steps,
            play_steps=batch.play_steps,
            work=Path(batch.work),
            second_camera=batch.second_camera,
        )
        for seed in batch.seeds
    ]


def _close_simulator() -> None:
    while _kept:
        _kept.popitem()[1].close()


def _assemble_videos(root: Path, tasks: tuple[Task, ...], made: Attempts, work: Path) -> None:
    """Number the videos, task by task, and label each with its task."""
    labels: list[dict[str, str]] = []
    with _Folder(root / "videos") as folder:
        for name in (VIDEOS, "labels"):
            (folder / name).mkdir()
        for task in tasks:
            for seed in _kept_seeds(made["videos", task.name]):
                labels.append(
                    {"id": f"{len(labels) + 1}", "label": task.text, "template": task.text}
                )
                source = work / "videos" / task.name / f"{seed}.mp4"
                shutil.copyfile(source, folder / VIDEOS / f"{len(labels)}.mp4")
        (folder / "labels" / "train.json").write_text(json.dumps(labels, indent=1) + "\n")


def _assemble_demos(
    root: Path,
    suite: Suite,
    config: CollectConfig,
    tasks: tuple[Task, ...],
    made: Attempts,
    work: Path,
    part: Part,
) -> None:
    """Write the demonstrations, or the play, task by task. Play has no task's text."""
    from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter

    if not any(made.get((part, task.name)) for task in tasks):
        return
    with _Folder(root / part) as folder:
        writer = LeRobotWriter(
            folder,
            fps=round(suite.fps),
            action_names=suite.action_names,
            state_names=suite.state_names,
            robot_type=suite.name,
            episodes_per_file=50,
        )
        for task in tasks:
            text = PLAY_TEXT if part == "play" else task.text
            for seed in _kept_seeds(made[part, task.name]):
                found: Any = read_demonstration(work / part / task.name / f"{seed}.npz")
                names = ("frames", "second") if config.second_camera else ("frames",)
                films = zip(_cameras(suite, config), (found[name] for name in names), strict=True)
                writer.add(Episode(dict(films), found["actions"], text, found["states"]))
        writer.finish()


def _cameras(suite: Suite, config: CollectConfig) -> list[str]:
    """What the dataset calls the cameras, the first one first."""
    return [CAMERA, *([camera_feature(second_camera(suite))] if config.second_camera else [])]


class _Folder:
    """A folder that gets its final name once it is complete."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(f".partial-{path.name}")

    def __enter__(self) -> Path:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self._partial

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self._path, ignore_errors=True)
            os.replace(self._partial, self._path)


def _kept_seeds(attempts: list[Attempt]) -> list[int]:
    return [one.seed for one in attempts if one.success]


def _record(
    suite: Suite, config: CollectConfig, tasks: tuple[Task, ...], made: Attempts
) -> dict[str, Any]:
    """The content of the record. Keys that end in _s are measurements of time."""
    content, parts = config.content(), list(dict.fromkeys(part for part, _ in made))
    return {
        "format": _FORMAT,
        "suite": config.suite,  # as `find_suite` finds it
        "fps": suite.fps,
        "config": content,
        "config_sha256": json_digest(content),
        "texts": {task.name: task.text for task in tasks},
        **({"cameras": _cameras(suite, config)} if config.second_camera else {}),
        **{part: {task.name: _summary(made[part, task.name]) for task in tasks} for part in parts},
        "versions": {"sofdata": __version__, **installed("av", *SIMULATORS)},
        "episode_cpu_s": {
            task.name: _mean([one.cpu_s for part in parts for one in made[part, task.name]])
            for task in tasks
        },
    }


def _summary(attempts: list[Attempt]) -> dict[str, Any]:
    good = [one for one in attempts if one.success]
    return {
        "episodes": len(good),
        "tried": len(attempts),
        "rate": round(len(good) / len(attempts), 4) if attempts else None,
        "mean_steps": _mean([float(one.steps) for one in good]),
        "seeds": [one.seed for one in good],
        "layouts": [one.layout for one in good],
    }


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None
