"""A dataset of windows as a LeRobot dataset, format v3.0, that lerobot 0.6 loads and trains on.

Episodes are stretches of a video that its windows cover without a gap. A row is a window with its
first frame, for which the dataset is enough; or a frame of the video as the ingest has sampled it,
for which the source is decoded once more. docs/export.md lists the columns. Parts, one a shard, are
written one after the other and committed by a record each; `meta/info.json`, without which nothing
loads, comes last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.statistics import Pictures
from sofdata.corpora.lerobot.writer import COLUMNS, camera_feature, make_info, tasks_table
from sofdata.errors import ConfigError, InputError
from sofdata.export.card import lerobot_card
from sofdata.export.features import ACTIVE, CAMERA, CAMERA_MOTION, Act, Form, RowPlan, rows_of
from sofdata.export.merged import Merged
from sofdata.export.part import Frames, PartWriter, Totals, first_frames
from sofdata.export.record import ExportRecord, LeftOut
from sofdata.export.rows import Stretch, stretches, window_row
from sofdata.export.skills import Skills
from sofdata.export.timing import rate_of, row_times_s, uneven_rows
from sofdata.ingest.frames import SourceFrames
from sofdata.loading.index import Index
from sofdata.shards.layout import SHARDS
from sofdata.shards.sample import decode_sample
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point

PARTS = "export"
SAME_TIME_S = 1e-6
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class LeRobotJob:
    """What is to be exported, resolved. source: where videos are, None to take none from there."""

    dest: Tree
    out: Tree
    dataset: DatasetRecord
    index: Index
    plan: RowPlan
    fps: int
    distance_s: float
    source: str | None = None


def plan_rows(
    dataset: DatasetRecord, index: Index, form: Form, act: Act | None, skills: Skills | None
) -> tuple[RowPlan, int, float]:
    """How rows are made, how many a second, and how far apart they are in truth, s.

    act: None for actions where the dataset has some, else skills, else statistics of the flow.

    Raises `ConfigError` for an `act` of which the dataset has nothing.
    """
    distance_s, longest_s = row_times_s(index, form)
    fps = rate_of(distance_s)
    given = dataset.actions
    if act is None:
        act = "actions" if given else "skill" if skills else "flow"
    if act == "actions" and given is None:
        raise ConfigError("--action actions: the dataset was made without --with-actions")
    if act == "skill" and skills is None:
        raise ConfigError("--action skill: there are no skills; 'sofdata encode' writes them")
    motion: tuple[str, ...] = (ACTIVE,)
    if dataset.config.get("windows", {}).get("camera") != "off":
        motion += CAMERA_MOTION
    names = tuple(given.names) if given else ()
    held_s = longest_s if form == "windows" else distance_s
    slots = max(1, round(given.fps * held_s)) if given else 1
    return RowPlan(form, act, skills, motion, names, slots), fps, distance_s


def export_lerobot(
    job: LeRobotJob, record: ExportRecord, on_progress: OnProgress, licence: str
) -> ExportRecord:
    """Write all parts that are not there yet, then `meta/`; returns the finished record."""
    names, starts = job.index.shard_starts()
    ends = [*starts[1:], job.index.num_rows]
    totals, done = Totals(), _Done()
    with ExitStack() as stack:
        frames = stack.enter_context(
            nullcontext() if job.plan.form == "windows" else SourceFrames(job.dest, job.source)
        )
        for number, (shard, start, end) in enumerate(zip(names, starts, ends, strict=True)):
            part = _read_part(job.out, number, shard)
            if part is None:
                part = _write_part(job, frames, shard, start, totals)
                job.out.write(_part_name(number), json.dumps(part).encode())
                fault_point("export: part")
            done.add(part, totals)
            on_progress(end, job.index.num_rows)
    finished = _finish(job, record, totals, done, licence)
    for number in range(len(names)):
        job.out.remove(_part_name(number))
    job.out.remove_folder(PARTS)
    return finished


class _Done:
    """What all parts so far have given."""

    def __init__(self) -> None:
        self.sums = {"windows_exported": 0, "uneven_rows": 0, "actions_beyond": 0}
        self.left_out: list[LeftOut] = []
        self.numbers, self.pictures = Merged(), Pictures()
        self.size: tuple[int, int] = (0, 0)

    def add(self, part: Mapping[str, Any], totals: Totals) -> None:
        for name in self.sums:
            self.sums[name] += part[name]
        self.left_out += [LeftOut(**each) for each in part["left_out"]]
        self.numbers.merge(Merged(part["numbers"]))
        self.pictures.merge(Pictures.restored(part["pictures"]))
        self.size = tuple(part["size"]) if part["episodes"] else self.size
        totals.episodes += part["episodes"]
        totals.frames += part["frames"]
        totals.files += bool(part["episodes"])
        for task in part["tasks"]:
            totals.tasks[task] = len(totals.tasks)


def _part_name(number: int) -> str:
    return f"{PARTS}/part-{number:06d}.json"


def _read_part(out: Tree, number: int, shard: str) -> dict[str, Any] | None:
    try:
        part: dict[str, Any] = json.loads(out.read(_part_name(number)))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigError(f"{_part_name(number)} of {out.name} is damaged: remove it") from None
    if part.get("shard") != shard:
        raise ConfigError(f"{_part_name(number)} of {out.name} is of another shard: remove it")
    return part


# A part


class _VideoLost(Exception):
    """A video whose frames cannot be had."""

    def __init__(self, video: str, cause: Exception) -> None:
        super().__init__(video)
        self.video, self.cause = video, cause


def _write_part(
    job: LeRobotJob, frames: SourceFrames | None, shard: str, start: int, totals: Totals
) -> dict[str, Any]:
    """Write the files of a part. A video that fails in the middle is left out of a new attempt."""
    lost: dict[str, LeftOut] = {}
    while True:
        try:
            return _attempt(job, frames, shard, start, totals, lost)
        except _VideoLost as error:
            assert frames is not None
            if not frames.may_retry(error.video, error.cause):
                reason, detail = _why(error.cause)
                lost[error.video] = LeftOut(
                    video=error.video, windows=0, reason=reason, detail=detail
                )


def _attempt(
    job: LeRobotJob,
    frames: SourceFrames | None,
    shard: str,
    start: int,
    totals: Totals,
    lost: dict[str, LeftOut],
) -> dict[str, Any]:
    features = job.plan.features()
    sums = {"windows_exported": 0, "uneven_rows": 0, "actions_beyond": 0}
    missed = dict.fromkeys(lost, 0)
    with job.out.scratch() as folder:
        part = PartWriter(folder, features, job.fps, totals)
        try:
            read = _stretches(job, shard, start)
            for video, group in groupby(read, key=lambda stretch: stretch.source):
                stream = frames.of(video) if frames and video not in lost else None
                for stretch in group:
                    if video in lost:
                        missed[video] += len(stretch.windows)
                        continue
                    rows = rows_of(stretch, job.plan)
                    shown = _shown(stretch, stream)
                    try:
                        part.add(stretch, rows, shown)
                    except (InputError, OSError) as error:
                        if stream is None:
                            raise
                        raise _VideoLost(video, error) from None
                    sums["windows_exported"] += len(stretch.windows)
                    sums["uneven_rows"] += uneven_rows(rows.times_s, job.fps)
                    sums["actions_beyond"] += rows.beyond
                _drain(video, stream)
            if part.episodes:
                part.put(job.out)
        finally:
            part.close()
    return {
        "shard": shard,
        "episodes": part.episodes,
        "frames": part.frames,
        "tasks": part.tasks,
        "size": part.size,
        "numbers": part.numbers.state,
        "pictures": part.pictures.state,
        "left_out": [
            each.model_copy(update={"windows": missed[video]}).model_dump()
            for video, each in lost.items()
        ],
        **sums,
    }


def _stretches(job: LeRobotJob, shard: str, start: int) -> Iterator[Stretch]:
    """The stretches of a shard, read from it."""
    rel, skills = f"{SHARDS}/{shard}", job.plan.skills

    def windows() -> Iterator[Any]:
        with job.dest.local_copy(rel) as path, open(path, "rb") as stream:
            for row, (key, _, members) in enumerate(read_samples(stream, rel), start):
                skill = skills.of_rows(row, [key])[0] if skills else None
                yield window_row(decode_sample(key, members), members["first.jpg"], skill)

    return stretches(windows())


def _shown(stretch: Stretch, stream: Iterator[tuple[float, NDArray[np.uint8]]] | None) -> Frames:
    """The frames of a stretch: the first of each window, or all of its times from the video."""
    if stream is None:
        yield from first_frames(stretch)
        return
    for wanted_s in stretch.times_s:
        for time_s, frame in stream:
            if time_s > wanted_s + SAME_TIME_S:
                raise InputError(
                    f"its frames are at other times than its windows: there is one at {time_s:g} s "
                    f"and none at {wanted_s:g} s"
                )
            if time_s > wanted_s - SAME_TIME_S:
                yield frame
                break


def _drain(video: str, stream: Iterator[Any] | None) -> None:
    """Read a video to its end, where it is checked that it has not changed meanwhile."""
    try:
        for _ in stream or ():
            pass
    except (InputError, OSError) as error:
        raise _VideoLost(video, error) from None


def _why(error: Exception) -> tuple[str, str]:
    """The reason and the detail of a video's being left out."""
    if isinstance(error, FileNotFoundError):
        return "missing", f"{error.filename or 'its file'} is not there any more"
    if isinstance(error, OSError):
        return "unreadable", error.strerror or str(error)
    return str(getattr(error, "reason", "") or "decode_error"), str(error)


# The end


def _finish(
    job: LeRobotJob, record: ExportRecord, totals: Totals, done: _Done, licence: str
) -> ExportRecord:
    account = {
        "windows": job.index.num_rows,
        **done.sums,
        "episodes": totals.episodes,
        "frames": totals.frames,
        "tasks": len(totals.tasks),
    }
    if account["windows"] != account["windows_exported"] + sum(
        each.windows for each in done.left_out
    ):
        raise InputError(
            f"the shards of {job.dest.name} do not hold what its index lists: verify it"
        )
    if not totals.episodes:
        raise InputError(
            f"nothing of {job.dest.name} can be exported: {done.left_out[0].detail or 'no window'}"
        )
    notes = _notes(job, account)
    finished = record.model_copy(
        update={"complete": True, "account": account, "left_out": done.left_out, "notes": notes}
    )
    features: dict[str, Any] = {CAMERA: camera_feature(*done.size, job.fps)}
    features |= {name: each.info() for name, each in job.plan.features().items()}
    features |= _counted()
    stats = {CAMERA: done.pictures.statistics(), **done.numbers.statistics()}
    _write_table(job.out, "meta/tasks.parquet", tasks_table(totals.tasks))
    job.out.write("meta/stats.json", _json(stats))
    card = lerobot_card(job.dataset, finished, job.plan, job.fps, licence)
    job.out.write("README.md", card.encode())
    sums = {name: account[name] for name in ("episodes", "frames", "tasks")}
    info = make_info(sums, job.fps, features, None)
    fault_point("export: finish")
    job.out.write("meta/info.json", _json(info))
    job.out.write("export.json", finished.to_json())
    return finished


def _counted() -> dict[str, Any]:
    return {name: {"dtype": each, "shape": [1], "names": None} for name, each in COLUMNS.items()}


def _notes(job: LeRobotJob, account: Mapping[str, int]) -> list[str]:
    plan, notes = job.plan, []
    if uneven := account["uneven_rows"]:
        notes.append(
            f"LeRobot has one frame rate: {job.fps} a second here, where rows are "
            f"{job.distance_s:g} s apart (median). {uneven} of {account['frames']} rows lie more "
            "than a tenth off; time_s holds the true times"
        )
    if beyond := account["actions_beyond"]:
        notes.append(
            f"{beyond} actions are left out: a row has room for {plan.slots}, and more were taken"
        )
    if plan.skills is None:
        notes.append("there are no skill tokens: 'sofdata encode' before the export adds them")
    elif plan.act == "skill" and not plan.skills.levels and plan.skills.codebook:
        notes.append(
            "action holds tokens as numbers, of which near ones are not alike: the skills were "
            "encoded by an earlier version; 'sofdata encode' again spreads them by their digits"
        )
    return notes


def _write_table(out: Tree, rel: str, table: Any) -> None:
    import pyarrow.parquet as pq

    with out.scratch() as folder:
        path = os.path.join(folder, "table.parquet")
        pq.write_table(table, path)
        out.put(path, rel)


def _json(values: Any) -> bytes:
    return json.dumps(values, indent=4).encode() + b"\n"
