"""What may happen to the files of a dataset behind our back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Random = np.random.Generator


def _any(dest: Path, pattern: str, rng: Random) -> Path:
    found = sorted(dest.glob(pattern))
    return found[int(rng.integers(len(found)))]


def _flip_in_shard(dest: Path, rng: Random) -> None:
    path = _any(dest, "shards/*.tar", rng)
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 0x55
    path.write_bytes(data)


def _cut_shard(dest: Path, rng: Random) -> None:
    path = _any(dest, "shards/*.tar", rng)
    path.write_bytes(path.read_bytes()[:700])


def _cut_record(dest: Path, rng: Random) -> None:
    path = _any(dest, "ledger/*.json", rng)
    path.write_bytes(path.read_bytes()[:-7])


def _swap_records(dest: Path, rng: Random) -> None:
    one, other = (_any(dest, "ledger/*.json", rng) for _ in range(2))
    if one == other:
        one.write_bytes(b"{}")
    else:
        one.write_bytes(other.read_bytes())


def _stray_shard(dest: Path, rng: Random) -> None:
    (dest / "shards" / "sof-999999-0123456789abcdef.tar").write_bytes(rng.bytes(100))


def _stray_record(dest: Path, rng: Random) -> None:
    path = _any(dest, "ledger/*.json", rng)
    (path.parent / "0123456789abcdef.json").write_bytes(path.read_bytes())


def _garble_table(dest: Path, rng: Random) -> None:
    name = ("index", "rejects", "videos")[int(rng.integers(3))]
    (dest / f"{name}.parquet").write_bytes(b"PAR1" + rng.bytes(50))


def _garble_plan(dest: Path, rng: Random) -> None:
    (dest / "plan.parquet").write_bytes(rng.bytes(50))


# Each is found by a whole `verify` of a complete dataset.
DAMAGES: dict[str, Callable[[Path, Random], None]] = {
    "a bit of a shard turns": _flip_in_shard,
    "a shard is cut": _cut_shard,
    "a shard is gone": lambda dest, rng: _any(dest, "shards/*.tar", rng).unlink(),
    "a record is cut": _cut_record,
    "a record is gone": lambda dest, rng: _any(dest, "ledger/*.json", rng).unlink(),
    "a record is another's": _swap_records,
    "a shard too many": _stray_shard,
    "a record too many": _stray_record,
    "a table is garbled": _garble_table,
    "a table is gone": lambda dest, rng: _any(dest, "[irv]*.parquet", rng).unlink(),
    "the plan is garbled": _garble_plan,
    "the plan is gone": lambda dest, rng: (dest / "plan.parquet").unlink(),
    "the list of shards is gone": lambda dest, rng: (dest / "shards" / "index.json").unlink(),
}
