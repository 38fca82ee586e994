"""Choices of data: datasets of one's own videos, each learned from in place of the collected ones.

    sofdata ingest ─► A, B ─► sofdata bench run --videos A --videos B

All else is the same for every choice: the demonstrations and how they are ingested, the number of
videos of each task, settings, training seeds, episodes. So what differs in success is the data.
Arms that learn from no videos are measured once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.data import BenchData, ingest_config, sources_of
from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError
from sofdata.ingest.config import IngestConfig, stored_config
from sofdata.loading.catalog import SHARED_KEYS
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.train.run import dataset_digest

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SHOWN_TEXTS = 5
_EVEN = 0.1  # of a frame, that a step of flow may be off


@dataclass(frozen=True, slots=True)
class Choice:
    """A dataset of videos. name: as results have it. place: a path or URL."""

    name: str
    place: str


def choices_of(config: BenchConfig) -> tuple[Choice, ...]:
    """The choices that the settings name, by their own names or by those of their folders.

    Raises `ConfigError` where two have one name, or a place gives none.
    """
    found = [_choice(given) for given in config.video_datasets]
    for place, choice in enumerate(found):
        if choice.name in {other.name for other in found[:place]}:
            raise ConfigError(
                f"two choices of videos are named '{choice.name}': give each a name of its own, "
                "with --videos NAME=PATH"
            )
    return tuple(found)


def _choice(given: str) -> Choice:
    name, equals, place = given.partition("=")
    if equals and place and _NAME.fullmatch(name):
        return Choice(name, place)
    name = given.rstrip("/").rpartition("/")[2]
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{given}' gives no name for results: give --videos NAME=PATH")
    return Choice(name, given)


def chosen_data(
    config: BenchConfig, fps: float, texts: Sequence[str], base: BenchData
) -> dict[str, BenchData]:
    """The data of each choice by its name: of `base`, with the choice's videos.

    texts: of the tasks that take part. base: what does not depend on the videos.

    Raises `ConfigError` for what is no complete dataset, was cut otherwise than the demonstrations
    are, or lacks videos of a task.
    """
    return {
        choice.name: _with_videos(choice, config, fps, texts, base) for choice in choices_of(config)
    }


def _with_videos(
    choice: Choice, config: BenchConfig, fps: float, texts: Sequence[str], base: BenchData
) -> BenchData:
    tree = Tree(choice.place)
    digest = dataset_digest(tree)
    record = read_dataset(tree)
    assert record is not None  # or there would be no digest
    theirs = stored_config(record.config)
    check_fit(choice, theirs, config, fps)
    sources, files = sources_of(choice.place)
    _check_tasks(choice, config, texts, list(sources))
    return replace(
        base,
        digest=json_digest({"base": base.digest, "videos": digest}),
        shared=base.digest,
        folders=base.folders | {"videos": choice.place},
        sources=base.sources | {"videos": sources},
        files=base.files | {"videos": files},
        dataset=choice.name,
        dataset_sha256=digest,
    )


def check_fit(choice: Choice, theirs: IngestConfig, config: BenchConfig, fps: float) -> None:
    """Raises `ConfigError` where videos that were ingested so cannot stand beside the benchmark's
    demonstrations of `fps` frames/s."""
    _check_cut(choice, theirs, config, fps)
    _check_numbers(choice, theirs, config)


def _check_cut(choice: Choice, theirs: IngestConfig, config: BenchConfig, fps: float) -> None:
    """Raises `ConfigError` where a skill of the videos would be another thing than one of the
    demonstrations."""
    differences = list(misfits(theirs, ingest_config(config, fps), fps))
    if not differences:
        return
    keys = [each.partition(" is ")[0] for each in differences]
    raise ConfigError(
        f"the videos in {choice.place} do not fit the demonstrations: {'; '.join(differences)}. "
        f"Ingest them with the same {', '.join(keys)}, or give the benchmark theirs "
        f"({', '.join(f'--set ingest.{key}=...' for key in keys)}; a step of flow is step_frames)"
    )


def misfits(theirs: IngestConfig, ours: IngestConfig, fps: float) -> Iterator[str]:
    """Settings that must be equal and are not: "windows.size is 64, the benchmark's is 32"."""
    values = [config.model_dump(mode="json") for config in (theirs, ours)]
    for section, keys in SHARED_KEYS.items():
        for key in keys:
            found, wanted = (value[section][key] for value in values)
            alike = found == wanted or {found, wanted} == {"record", "off"}  # neither changes flow
            if key == "step_s":
                alike = abs(found - wanted) * fps <= _EVEN
            if not alike:
                yield f"{section}.{key} is {_shown(found)}, and the benchmark has {_shown(wanted)}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _check_tasks(
    choice: Choice, config: BenchConfig, texts: Sequence[str], found: Sequence[str]
) -> None:
    """Raises `ConfigError` where a task has no video with its text."""
    missing = [text for text in texts if text not in found]
    if not missing:
        return
    shown = ", ".join(f"'{text}'" for text in found[:_SHOWN_TEXTS])
    more = f" and {len(found) - _SHOWN_TEXTS} others" if len(found) > _SHOWN_TEXTS else ""
    raise ConfigError(
        f"no video in {choice.place} has the text '{missing[0]}' of a task of {config.suite}; "
        f"there are {shown or 'none'}{more}. A video is of the task whose text is its label: name "
        "them so in the corpus (a manifest, for instance), or leave the task out with "
        "--set 'tasks=[...]'"
    )


def _check_numbers(choice: Choice, theirs: IngestConfig, config: BenchConfig) -> None:
    """Raises `ConfigError` where the numbers of windows are to say when they begin, and the
    dataset's begin at other steps."""
    if not (config.naming.context or config.naming.overlap or config.decoder.model.history):
        return
    found, wanted = (each.content()["windows"] for each in (theirs, config.ingest))
    if differences := list(differing_keys(found, wanted)):
        raise ConfigError(
            "naming.context, naming.overlap and decoder.model.history go by the numbers of "
            f"windows, and those of {choice.place} were cut otherwise: windows.{differences[0]}. "
            "Ingest with the benchmark's windows, or leave these settings out"
        )
