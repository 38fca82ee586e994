"""Whether two datasets of the same videos, made with different packages, hold the same.

    python -m tests.compat.compare ONE OTHER

Prints the sha256 of every shard of both, and what differs; exit code 1 if anything but the
versions of the packages does. These are recorded: in `dataset.json`, and of the decoder in each
row. Where shards differ, the packages that differ are named beside them.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

TABLES = ("videos", "rejects", "index")


def shards(dataset: Path) -> dict[str, str]:
    """sha256 of each shard by its name."""
    found = sorted((dataset / "shards").rglob("*.tar"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def versions(dataset: Path) -> dict[str, str]:
    """Python's version and those of the packages that the dataset records."""
    provenance = json.loads((dataset / "dataset.json").read_text())["provenance"]
    return {"python": provenance["python"], **provenance["packages"]}


def rows(dataset: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table, without the version in a decoder's name ("pyav 19.0.2 h264")."""
    found: list[dict[str, Any]] = pq.read_table(dataset / f"{table}.parquet").to_pylist()
    for row in found:
        if row.get("decoder"):
            row["decoder"] = re.sub(r" \d[\w.+]*", "", row["decoder"])
    return found


def differences(one: Path, other: Path) -> list[str]:
    """What differs beside the versions: shards by name, rows by table, number and column."""
    told = []
    mine, theirs = shards(one), shards(other)
    told += [
        f"shard {name}: {mine.get(name)} and {theirs.get(name)}"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    ]
    if not mine:
        told.append(f"{one} has no shard")
    for table in TABLES:
        left, right = rows(one, table), rows(other, table)
        if len(left) != len(right):
            told.append(f"{table}: {len(left)} rows and {len(right)}")
        told += [
            f"{table}, row {number}, {column}: {row[column]!r} and {twin.get(column)!r}"
            for number, (row, twin) in enumerate(zip(left, right, strict=False))
            for column in row
            if row[column] != twin.get(column)
        ]
    return told


def main(one: Path, other: Path) -> int:
    """Print both sets of hashes and what differs. Returns the exit code."""
    for dataset in (one, other):
        print(dataset, *(f"{name} {version}" for name, version in versions(dataset).items()))
        for name, sha256 in shards(dataset).items():
            print(f"  {sha256}  {name}")
    mine, theirs = versions(one), versions(other)
    names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    changed = [f"{name} {mine.get(name)} and {theirs.get(name)}" for name in names]
    print("versions that differ:", ", ".join(changed) or "none")
    told = differences(one, other)
    print(*told or [f"equal: {len(shards(one))} shards and all rows"], sep="\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
