"""What came out of a run under faults, held against what comes out of an undisturbed one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from sofdata.shards.tar import read_samples
from tests.helpers import hashes


@dataclass(frozen=True, slots=True)
class Score:
    """Everything that may be wrong, counted. All zero is the promise.

    lost: files, or samples or videos, that should be there. duplicated: that should not be, or are
    there twice. differing: with other bytes; shards and records seen right after the fault count
    too. verify: a dataset that `verify` refuses. exits: a wrong exit code, or no clear message.
    leaked: processes left behind.
    """

    lost: int = 0
    duplicated: int = 0
    differing: int = 0
    verify: int = 0
    hung: int = 0
    tracebacks: int = 0
    exits: int = 0
    leaked: int = 0

    def __add__(self, other: Score) -> Score:
        sums = (getattr(self, name) + getattr(other, name) for name in NAMES)
        return Score(*sums)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in NAMES)


NAMES = tuple(field.name for field in fields(Score))


def compare(reference: dict[str, str], found: dict[str, str]) -> Score:
    """Compare hashes by name."""
    return Score(
        lost=len(reference.keys() - found.keys()),
        duplicated=len(found.keys() - reference.keys()),
        differing=sum(found[name] != reference[name] for name in reference.keys() & found.keys()),
    )


def half_way(reference: dict[str, str], dest: Path, atomic: bool = True) -> Score:
    """Check what a fault leaves behind: no record without its shard, nothing half-written.

    atomic: files appear whole or not at all; without it a shard may be cut, but not once its
    record stands.
    """
    found = hashes(dest) if dest.is_dir() else {}
    there = {name: sha for name, sha in found.items() if name.startswith(("shards/", "ledger/"))}
    there.pop("shards/index.json", None)
    bad = {name for name, sha in there.items() if reference.get(name) != sha}
    lost = 0
    for name in there:
        if name.startswith("ledger/") and name not in bad:
            shard = json.loads((dest / name).read_bytes())["shard"]
            path = f"shards/{shard['name']}" if shard else ""
            lost += bool(shard) and (path not in there or path in bad)
    if not atomic:
        bad = {name for name in bad if name.startswith("ledger/")}
    return Score(lost=lost, differing=len(bad))


def units(dest: Path) -> dict[str, str]:
    """Hashes of the ledger records whose shard is there as they say, and of those shards."""
    found = hashes(dest) if dest.is_dir() else {}
    sound: dict[str, str] = {}
    for name in found:
        if name.startswith("ledger/"):
            try:
                shard = json.loads((dest / name).read_bytes())["shard"]
            except (ValueError, KeyError, TypeError):
                continue
            path = f"shards/{shard['name']}" if shard else ""
            if shard and found.get(path) == shard["sha256"]:
                sound |= {name: found[name], path: found[path]}
    return sound


def samples(dest: Path) -> dict[str, str]:
    """sha256 over all members of each sample. A key that stands in two shards gets a mark."""
    found: dict[str, str] = {}
    for path in sorted((dest / "shards").glob("*.tar")):
        with path.open("rb") as stream:
            for key, _, members in read_samples(stream, path.name):
                digest = hashlib.sha256()
                for suffix in sorted(members):
                    digest.update(suffix.encode() + members[suffix])
                found[f"{key} again" if key in found else key] = digest.hexdigest()
    return found


def unaccounted(dest: Path, videos: set[str]) -> Score:
    """Check that each video has ended exactly once."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(dest / "videos.parquet") as file:
        ended = Counter(file.read(columns=["id"]).column("id").to_pylist())
    return Score(
        lost=len(videos - ended.keys()),
        duplicated=sum(number > 1 for number in ended.values()) + len(ended.keys() - videos),
    )
