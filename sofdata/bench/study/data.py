"""The benchmark's data: collected videos and demonstrations, ingested, and which are learned from.

    COLLECTED/videos, COLLECTED/demos ─► sofdata ingest ─► OUT/data/HASH/videos, OUT/data/HASH/demos

With decoder.model.second_camera the demonstrations are ingested twice, each time of one camera; of
the second, OUT/data/HASH/demos-second, the first frames of windows are used alone (see
`sofdata.bench.study.second`).

With labels from play, COLLECTED/play stands in place of the demonstrations; with `videos_from`, the
videos are those of another collection, with `video_datasets` those of datasets that exist already
(see `sofdata.bench.study.datasets`). Ingest is the ordinary one; the videos' dataset holds no
actions. Of each task, the training seed orders the videos and the demonstrations, and the first n
are used: ten videos are a subset of twenty-five, and the same for every arm. All spans of a file
and all cameras of an episode count as one and stay together, so that none of them is held out while
another is learned from.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sofdata.bench.envs.registry import (
    camera_feature,
    find_suite,
    second_camera,
    tasks_of,
)
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.config import BenchConfig
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig
from sofdata.storage import atomic
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked

DataPart = Literal["videos", "demos", "play"]

COLLECT, PLAY = "collect.json", "play.json"
MOST_HELD_OUT = 4  # demonstrations a task that held-out errors are measured on


@dataclass(frozen=True, slots=True)
class SecondCamera:
    """folder: the dataset of its windows. cameras: the first and the second, as sources and
    demonstrations name them."""

    folder: str
    cameras: tuple[str, str]


@dataclass(frozen=True, slots=True)
class BenchData:
    """Ingested data. digest: of its sources and settings.

    folders, sources: by part; sources by the task's text, in the order of their names.
    files: by part, the file or episode that each source belongs to, where that is another name.
    cpu_s: CPU seconds of collecting and of ingesting, as far as they are known.
    play_s: the length of each episode of play. look: of the videos, "" for that of everything else.
    second: where what a second camera shows of demonstrations, or of play, was ingested to; None
        where it is not wanted.
    dataset, dataset_sha256: the name and content of the dataset that the videos are of, "" where
        they were collected. shared: digest of all but that dataset, "" where there is none.
    """

    digest: str
    folders: dict[DataPart, str]
    sources: dict[DataPart, dict[str, tuple[str, ...]]]
    cpu_s: dict[str, float]
    files: dict[DataPart, dict[str, str]] = field(default_factory=dict)
    play_s: dict[str, float] = field(default_factory=dict)
    look: str = ""
    second: SecondCamera | None = None
    dataset: str = ""
    dataset_sha256: str = ""
    shared: str = ""

    @property
    def terms(self) -> str:
        """The digest of what results must share to be compared: choices of videos may differ."""
        return self.shared or self.digest

    def choose(self, part: DataPart, texts: Sequence[str], number: int, seed: int) -> list[str]:
        """The videos or demonstrations of each task that a training seed learns from.

        Raises `ConfigError` where there are fewer than `number`.
        """
        chosen = [
            source
            for text in texts
            for together in self._enough(part, text, seed, number)[:number]
            for source in together
        ]
        return list(dict.fromkeys(chosen))

    def held_out(self, texts: Sequence[str], number: int, seed: int) -> list[str]:
        """Demonstrations that an arm with `number` of them does not learn from; may be none."""
        learned = {
            self._file("demos", source) for source in self.choose("demos", texts, number, seed)
        }
        chosen = list[str]()
        for text in texts:
            order = self._enough("demos", text, seed, number)
            left = min(MOST_HELD_OUT, len(order) - number)
            for together in order[len(order) - left :]:
                if self._file("demos", together[0]) not in learned:  # it may be, for another task
                    chosen += together
        return list(dict.fromkeys(chosen))

    def without(self, sources: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Those of some demonstrations that show nothing of the tasks with these texts: in a
        dataset of others, an episode may show two tasks."""
        barred = {source for text in texts for source in self.sources["demos"].get(text, ())}
        return [source for source in sources if source not in barred]

    def choose_play(self, minutes: int, seed: int) -> list[str]:
        """Episodes of play that last so long together, in the order of the training seed.

        Raises `ConfigError` where there are fewer minutes.
        """
        chosen, left_s = [], 60.0 * minutes
        for source in self._play(seed):
            if left_s <= 0:
                break
            chosen.append(source)
            left_s -= self.play_s[source]
        if left_s > 0:
            raise ConfigError(
                f"{minutes} minutes of play are wanted, and {self.folders['play']} has "
                f"{sum(self.play_s.values()) / 60:.1f}: collect more, or ask for fewer "
                "(play_minutes)"
            )
        return chosen

    def held_out_play(self, minutes: int, seed: int) -> list[str]:
        """Episodes of play that an arm with so many minutes does not learn from; may be none."""
        return self._play(seed)[len(self.choose_play(minutes, seed)) :][-MOST_HELD_OUT:]

    def _play(self, seed: int) -> list[str]:
        return sorted(self.play_s, key=lambda source: _place(seed, source))

    def _file(self, part: DataPart, source: str) -> str:
        return self.files.get(part, {}).get(source, source)

    def _enough(self, part: DataPart, text: str, seed: int, number: int) -> list[list[str]]:
        """The videos of a task in the order of the seed, those of one file together.

        Raises `ConfigError` where there are fewer than `number`.
        """
        files: dict[str, list[str]] = {}
        for source in self.sources.get(part, {}).get(text, ()):
            files.setdefault(self._file(part, source), []).append(source)
        if len(files) < number:
            where = self.folders.get(part, "the data")
            raise ConfigError(
                f"{number} {part} of '{text}' are wanted, and {where} has {len(files)}: collect "
                "more, or ask for fewer"
            )
        return sorted(files.values(), key=lambda together: _place(seed, together[0]))


def _place(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def ingest_config(config: BenchConfig, fps: float) -> IngestConfig:
    """The ingest's settings, with a step of flow of `step_frames` frames."""
    flow = config.ingest.flow.model_copy(update={"step_s": config.step_frames / fps})
    return config.ingest.model_copy(update={"flow": flow})


@dataclass(frozen=True, slots=True)
class _Collected:
    """A part of a collection: its folder, and the record of how it was collected."""

    folder: Path
    record: dict[str, Any]

    def base(self, settings: IngestConfig, out: Path, with_state: bool) -> Path:
        """Where it is ingested to: the same for all studies that use it."""
        content = {"ingest": settings.content(), "collected": _identity(self.record)}
        if with_state:
            content["with_state"] = True
        return out / "data" / json_digest(content)[:16]

    @property
    def cameras(self) -> tuple[str, ...]:
        """What its record says of cameras, the first one first; () where it says nothing."""
        return tuple(self.record.get("cameras", ()))


def prepare_data(config: BenchConfig, fps: float, collected: Path, out: Path) -> BenchData:
    """Ingest a collection, unless that is done, and list its videos and demonstrations.

    Videos are left alone where no arm learns from them: they are no matter to any cell then.

    Of demonstrations of several cameras, by their record, the first is learned from alone.

    Raises `ConfigError` where there is no collection, or one of another suite or at other frames/s,
    and where a second camera is wanted that was not collected.
    """
    settings = ingest_config(config, fps)
    parts = _parts(config, fps, collected)
    both = _second_wanted(config, list(parts.values())[-1])
    folders, second, spent = dict[DataPart, str](), None, 0.0
    for part, found in parts.items():
        if part == "videos" and not needs_videos(config):
            continue
        labels = {"with_actions": part != "videos"}
        labels["with_state"] = config.decoder.model.state and part != "videos"
        base = found.base(settings, out, labels["with_state"])
        base.mkdir(parents=True, exist_ok=True)
        chosen = settings.model_copy(update=labels)
        if part != "videos" and found.cameras:
            chosen = _of_camera(chosen, found.cameras[0])
        with locked(base / f"{part}.lock"):
            spent += _ingest(found.folder, base / part, chosen)
        folders[part] = str(base / part)
        if part != "videos" and both:
            second = SecondCamera(f"{base / part}-second", both)
            with locked(base / f"{part}-second.lock"):
                of_it = _of_camera(_unsifted(chosen), both[1])
                spent += _ingest(found.folder, Path(second.folder), of_it)
    sources, files = dict[DataPart, dict[str, tuple[str, ...]]](), dict[DataPart, dict[str, str]]()
    for part, folder in folders.items():
        sources[part], files[part] = sources_of(folder)
    records = {id(found.record): found.record for found in parts.values()}.values()
    cpu_s = {
        "collect": sum(float(record.get("cpu_s", 0.0)) for record in records),
        "ingest": spent,
    }
    return BenchData(
        _digest(config, settings, parts),
        folders,
        sources,
        cpu_s,
        files,
        play_s=_lengths_s(folders["play"]) if "play" in folders else {},
        look=_look(parts),
        second=second,
    )


def _second_wanted(config: BenchConfig, labelled: _Collected) -> tuple[str, str] | None:
    """The cameras of demonstrations, or of play, whose second one decoders read; None: none is.

    Raises `ConfigError` where it was not collected, or is not the one that the suite draws.
    """
    if not config.decoder.model.second_camera:
        return None
    drawn, found = camera_feature(second_camera(find_suite(config.suite))), labelled.cameras
    where = labelled.folder.parent
    if len(found) != 2:
        play = " --play MINUTES" * (config.labels == "play")
        raise ConfigError(
            f"decoder.model.second_camera is true, and the {labelled.folder.name} in {where} were "
            "collected with one camera: collect again, into another folder, with 'sofdata bench "
            f"collect{play} --set second_camera=true'"
        )
    if found[1] != drawn:
        raise ConfigError(
            f"the second camera of the {labelled.folder.name} in {where} is {found[1]}, and that "
            f"of the suite {config.suite} is {drawn}: a policy would act by another view than it "
            "learned from. Collect again, into another folder"
        )
    return found[0], found[1]


def _of_camera(settings: IngestConfig, camera: str) -> IngestConfig:
    sequences = settings.sequences.model_copy(update={"camera": camera})
    return settings.model_copy(update={"sequences": sequences})


def _unsifted(settings: IngestConfig) -> IngestConfig:
    """Every window, whatever it shows: it is wanted for its first frame, at the time of another."""
    all_of_them = {"shots": False, "gradual_s": 0.0, "static_px": 0.0, "min_texture": 0.0}
    windows = settings.windows.model_copy(update=all_of_them)
    return settings.model_copy(update={"windows": windows})


def needs_videos(config: BenchConfig) -> bool:
    """Whether any of the arms that are wanted learns from collected videos.

    Where not all demonstrations may be read, their statistics are those of the videos.
    """
    if config.video_datasets:
        return False
    if config.held_out or config.folds is not None or config.labels != "demos":
        return True
    more = config.more_arms * (len(config.demos) > 1)
    arms = [ARMS[name] for name in (*config.arms, *more, *config.reference_arms)]
    return config.videos > 0 and any(arm.latent and arm.videos for arm in arms)


def _parts(config: BenchConfig, fps: float, collected: Path) -> dict[DataPart, _Collected]:
    """What is learned from, and where it was collected."""
    part: DataPart = "demos" if config.labels == "demos" else "play"
    record = _record(config, fps, collected / (COLLECT if part == "demos" else PLAY))
    labelled = _Collected(collected / part, record)
    if config.video_datasets:
        return {part: labelled}
    other = Path(config.videos_from) if config.videos_from else collected
    if other == collected and part == "demos":  # one record, whose CPU seconds count once
        return {"videos": _Collected(other / "videos", record), part: labelled}
    videos = _Collected(other / "videos", _record(config, fps, other / COLLECT))
    return {"videos": videos, part: labelled}


def _digest(
    config: BenchConfig,
    settings: IngestConfig,
    parts: dict[DataPart, _Collected],
) -> str:
    """Of everything that is learned from, and of how it was ingested."""
    labelled = parts["play" if config.labels == "play" else "demos"]
    content = {"ingest": settings.content(), "collected": _identity(labelled.record)}
    if "videos" in parts and (config.labels == "play" or config.videos_from):
        content["videos"] = _identity(parts["videos"].record)
    if config.decoder.model.state:
        content["with_state"] = True
    if config.decoder.model.second_camera:
        content["second_camera"] = True
    return json_digest(content)


def _look(parts: dict[DataPart, _Collected]) -> str:
    """The look of the videos, "" where what is labelled has the same, or nobody knows."""
    *videos, labelled = (_look_of(part.record) for part in parts.values())
    return "" if not videos or videos[0] == labelled else videos[0]


def _look_of(record: dict[str, Any]) -> str:
    return str(record.get("config", {}).get("look", "default"))


def collected_suite(collected: Path) -> str | None:
    """The suite that a collection is of; None where it does not say, which `prepare_data` tells."""
    for name in (COLLECT, PLAY):
        try:
            return str(json.loads((collected / name).read_text())["suite"])
        except (OSError, KeyError, TypeError, ValueError):
            continue
    return None


def _record(config: BenchConfig, fps: float, path: Path) -> dict[str, Any]:
    """The record of a collection, checked."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        suite, found_fps = str(record["suite"]), float(record["fps"])
    except FileNotFoundError:
        of_play = path.name == PLAY
        raise ConfigError(
            f"{path} does not exist: 'sofdata bench collect{' --play MINUTES' * of_play}' makes "
            f"{'play' if of_play else 'videos and demonstrations'}"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{path} has no valid suite and fps: collect again, into another folder"
        ) from None
    if suite != config.suite:
        raise ConfigError(
            f"{path.parent} was collected in the suite {suite}, and the settings are for "
            f"{config.suite}: give its folder with --data, or --suite {suite}"
        )
    if found_fps != fps:
        raise ConfigError(
            f"{path.parent} was collected at {found_fps:g} frames/s, and {suite} has {fps:g}: a "
            "step of flow would span other frames. Collect again, into another folder"
        )
    _check_tasks(config, path, record)
    cameras = record.get("cameras", [])
    named = isinstance(cameras, list) and all(isinstance(each, str) for each in cameras)
    if not named or len(set(cameras)) != len(cameras) or len(cameras) > 2:
        raise ConfigError(
            f"{path} says of cameras {cameras!r:.80}, where the names of one or two features of "
            "the demonstrations belong, such as observation.images.front"
        )
    return record


def _check_tasks(config: BenchConfig, path: Path, record: dict[str, Any]) -> None:
    """Raises `ConfigError` where videos and demonstrations are of fewer tasks than take part, by a
    record that says of which they are."""
    texts = record.get("texts")
    if path.name == PLAY or not isinstance(texts, dict):
        return
    tasks = tasks_of(find_suite(config.suite), config.tasks)
    if lacking := [task.name for task in tasks if task.text not in texts.values()]:
        raise ConfigError(
            f"{path.parent} holds nothing of {', '.join(lacking)}: collect all tasks that take "
            "part, into another folder ('sofdata bench collect'; --set 'tasks=[...]' names them), "
            f"or let those take part that it has: --set 'tasks=[{', '.join(texts)}]'"
        )


def _identity(value: Any) -> Any:
    """A collection's record without measurements of time, in which equal collections differ."""
    if not isinstance(value, dict):
        return value
    return {key: _identity(inner) for key, inner in value.items() if not key.endswith("_s")}


def _ingest(source: Path, dest: Path, config: IngestConfig) -> float:
    """Ingest unless it is complete; returns the CPU seconds that it took, workers included.

    Raises `ConfigError` where the source has changed since it was ingested.
    """
    from sofdata.ingest.run import execute, prepare

    note = dest.with_name(f"{dest.name}.cpu.json")
    began, wall = _cpu_s(), time.monotonic()
    try:
        prepared = prepare(Tree(str(source)), Tree(str(dest)), config, "auto")
    except ConfigError as error:
        if not note.exists():
            raise
        raise ConfigError(
            f"{source} has changed since it was ingested into {dest}, on which models and results "
            f"rest: use another --out, or restore the source: {error}"
        ) from None
    if prepared.complete is None:
        execute(prepared, lambda event: None)
    if not note.exists():
        spent = {"cpu_s": round(_cpu_s() - began, 2), "wall_s": round(time.monotonic() - wall, 2)}
        atomic.write_text(note, json.dumps(spent))
    return float(json.loads(note.read_text())["cpu_s"])


def _cpu_s() -> float:
    """CPU seconds of this process and of its finished children."""
    import os

    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def sources_of(folder: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The videos of each text, and the file of each video."""
    from sofdata.loading.catalog import open_catalog

    catalog = open_catalog([Tree(folder)])
    names = catalog.files()
    found: dict[str, set[str]] = {}
    files: dict[str, str] = {}
    row = 0
    for table in catalog.tables(["source", "text"]):
        for source, text in zip(
            table["source"].to_pylist(), table["text"].to_pylist(), strict=True
        ):
            found.setdefault(text, set()).add(source)
            files[source] = names.names[int(names.file[row])]
            row += 1
    return {text: tuple(sorted(names)) for text, names in sorted(found.items())}, files


def _lengths_s(folder: str) -> dict[str, float]:
    """Seconds from the first to the last frame of each source's windows."""
    from sofdata.loading.catalog import open_catalog

    bounds: dict[str, tuple[float, float]] = {}
    for table in open_catalog([Tree(folder)]).tables(["source", "start_s", "end_s"]):
        columns = (table[name].to_pylist() for name in ("source", "start_s", "end_s"))
        for source, start_s, end_s in zip(*columns, strict=True):
            first_s, last_s = bounds.get(source, (start_s, end_s))
            bounds[source] = min(first_s, start_s), max(last_s, end_s)
    return {source: last_s - first_s for source, (first_s, last_s) in bounds.items()}
