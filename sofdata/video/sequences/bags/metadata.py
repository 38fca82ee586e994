"""metadata.yaml of a ROS 2 bag, versions 1 to 9, as rosbag2 writes it when a recording ends."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import damaged

NAME = "metadata.yaml"
MOST_BYTES = 1 << 24
STORAGES = {"sqlite3": ".db3", "mcap": ".mcap"}
_TOP = "rosbag2_bagfile_information"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # makes plain values, nothing else


@dataclass(frozen=True, slots=True)
class Metadata:
    """files: names in the folder, in order. counts: messages of each topic, all files together."""

    files: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)


def read_metadata(folder: str) -> Metadata:
    """Raises `Unusable` where it is damaged, or tells of what is not read; it names no path."""
    path = Path(folder, NAME)
    if path.stat().st_size > MOST_BYTES:
        raise damaged(f"{NAME} is too large for what it should be")
    try:
        found = yaml.load(path.read_bytes(), _LOADER)  # noqa: S506 - a safe loader
        about = found[_TOP]
        files = tuple(posixpath.basename(str(each)) for each in about["relative_file_paths"])
        counts = _counts(about.get("topics_with_message_count") or [])
        storage = str(about.get("storage_identifier"))
        packing = str(about.get("compression_format") or "zstd")
    except (yaml.YAMLError, RecursionError, KeyError, TypeError, AttributeError, ValueError) as e:
        raise damaged(f"{NAME} does not describe a bag of ROS 2 ({_brief(e)})") from None
    if storage not in STORAGES:
        what = f"its storage '{storage:.40}' is none of {', '.join(STORAGES)}"
        raise Unusable("unsupported", f"{NAME}: {what}")
    if packing != "zstd":
        raise Unusable("unsupported", f"{NAME}: its compression '{packing:.40}' is not zstd")
    return Metadata(files, counts)


def _counts(topics: list[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in topics:
        name = str(each["topic_metadata"]["name"])
        counts[name] = counts.get(name, 0) + int(each["message_count"])
    return counts


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.100}"
