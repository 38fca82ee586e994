"""The benchmark's data: collected videos and demonstrations, ingested, and which are learned from.

    COLLECTED/videos, COLLECTED/demos ─► sofdata ingest ─► OUT/data/HASH/videos, OUT/data/HASH/demos

Ingest is the ordinary one; the videos' dataset holds no actions. Of each task, the training seed
orders the videos and the demonstrations, and the first n are used: ten videos are a subset of
twenty-five, and the same for every arm. All spans of a file and all cameras of an episode count as
one and stay together, so that none of them is held out while another is learned from.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sofdata.bench.collect.episodes import PARTS, Part
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.config import BenchConfig
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig
from sofdata.storage import atomic
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked

MOST_HELD_OUT = 4  # demonstrations a task that held-out errors are measured on


@dataclass(frozen=True, slots=True)
class BenchData:
    """Ingested data. digest: of its sources and settings.

    folders, sources: by part; sources by the task's text, in the order of their names.
    files: by part, the file or episode that each source belongs to, where that is another name.
    cpu_s: CPU seconds of collecting and of ingesting, as far as they are known.
    """

    digest: str
    folders: dict[Part, str]
    sources: dict[Part, dict[str, tuple[str, ...]]]
    cpu_s: dict[str, float]
    files: dict[Part, dict[str, str]] = field(default_factory=dict)

    def choose(self, part: Part, texts: Sequence[str], number: int, seed: int) -> list[str]:
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

    def _file(self, part: Part, source: str) -> str:
        return self.files.get(part, {}).get(source, source)

    def _enough(self, part: Part, text: str, seed: int, number: int) -> list[list[str]]:
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


def prepare_data(config: BenchConfig, fps: float, collected: Path, out: Path) -> BenchData:
    """Ingest a collection, unless that is done, and list its videos and demonstrations.

    Videos are left alone where no arm learns from them: they are no matter to any cell then.

    Raises `ConfigError` where there is no collection, or one of another suite or at other frames/s.
    """
    record = _record(config, fps, collected)
    settings = ingest_config(config, fps)
    content = {"ingest": settings.content(), "collected": _identity(record)}
    digest = json_digest(content)
    base = out / "data" / digest[:16]
    base.mkdir(parents=True, exist_ok=True)
    folders, spent = dict[Part, str](), 0.0
    for part in PARTS if learns_from_videos(config) else ("demos",):
        chosen = settings.model_copy(update={"with_actions": part == "demos"})
        with locked(base / f"{part}.lock"):
            spent += _ingest(collected / part, base / part, chosen)
        folders[part] = str(base / part)
    sources, files = dict[Part, dict[str, tuple[str, ...]]](), dict[Part, dict[str, str]]()
    for part, folder in folders.items():
        sources[part], files[part] = _sources(folder)
    cpu_s = {"collect": float(record.get("cpu_s", 0.0)), "ingest": spent}
    return BenchData(digest, folders, sources, cpu_s, files)


def learns_from_videos(config: BenchConfig) -> bool:
    """Whether any of the arms that are wanted learns from videos."""
    arms = [ARMS[name] for name in (*config.arms, *config.more_arms * (len(config.demos) > 1))]
    return config.videos > 0 and any(arm.latent and arm.videos for arm in arms)


def _record(config: BenchConfig, fps: float, collected: Path) -> dict[str, Any]:
    """The record of a collection, checked."""
    path = collected / "collect.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        suite, found_fps = str(record["suite"]), float(record["fps"])
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: 'sofdata bench collect' makes videos and demonstrations"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{path} has no valid suite and fps: collect again, into another folder"
        ) from None
    if suite != config.suite:
        raise ConfigError(
            f"{collected} was collected in the suite {suite}, and the settings are for "
            f"{config.suite}: give its folder with --data, or --suite {suite}"
        )
    if found_fps != fps:
        raise ConfigError(
            f"{collected} was collected at {found_fps:g} frames/s, and {suite} has {fps:g}: a step "
            "of flow would span other frames. Collect again, into another folder"
        )
    return record


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


def _sources(folder: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
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
