"""The commit of a unit: its shard is verified and put in place, then its ledger record is written.

The record comes last, so that a unit without one does not exist, whatever else lies about. A
shard's name holds its hash: no commit overwrites the shard that another record names.

In an object store two drivers may commit the same unit. The record is created there only if there
is none, so that one of them wins; the other takes over the winner's, and its own shard, if its
bytes are others, is removed when the ingest is finished.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import brief
from sofdata.errors import ConfigError, ContractError, InputError, TransientError
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.layout import FLOW, LEDGER, SHARDS, kept_name, ledger_name, shard_name
from sofdata.shards.schema import LedgerRecord, ShardRecord
from sofdata.shards.tar import TarWriter
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point

COMMIT_TRIES = 5
T = TypeVar("T")


def commit_shard(
    dest: Tree, writer: TarWriter, ordinal: int, unit: str, folder: str = SHARDS
) -> ShardRecord | None:
    """Finish, verify and publish a unit's shard; None if it holds no sample.

    folder: `SHARDS`, or `FLOW` for what is kept of the flow of its videos.

    The file is read back before the shard gets its final name: it must hold exactly the bytes that
    were written, by their hash. Raises `ContractError` if it does not, `StorageError` or
    `TransientError` if the destination does not take it.
    """
    writer.finish()
    fault_point("commit: shard finished")
    if writer.samples == 0:
        return None
    sha256, md5 = writer.hashes()
    _verify(writer.path, sha256)
    fault_point("commit: shard verified")
    name = kept_name if folder == FLOW else shard_name
    record = ShardRecord(
        name=name(ordinal, unit, sha256),
        samples=writer.samples,
        size_bytes=os.path.getsize(writer.path),
        sha256=sha256,
        md5=md5,
    )
    fault_point("commit: shard hashed")
    dest.put(writer.path, f"{folder}/{record.name}", sha256)
    fault_point("commit: shard published")
    return record


def commit_record(
    dest: Tree,
    record: LedgerRecord,
    shard_path: str,
    ledger: str = LEDGER,
    kept_path: str = "",
) -> LedgerRecord:
    """Write a unit's ledger record: from here on the unit is done.

    shard_path: the unit's shard, which remote destinations may ask for once more.
    ledger: the folder that records go to. kept_path: as `shard_path`, of the flow that is kept.

    Returns the record that stands in the end: this one, or that of another driver that was first.
    """
    name = f"{ledger}/{ledger_name(record.unit)}"
    if (size := len(record.to_json())) > LedgerRecord.MOST_BYTES:
        raise ConfigError(
            f"the record of unit {record.unit} has {size} bytes, more than the "
            f"{LedgerRecord.MOST_BYTES} that are read: make units smaller (units.max_videos), or "
            "take spans of its videos"
        )
    if dest.is_local:
        dest.write(name, record.to_json())
        fault_point("commit: record written")
        return record
    dest.create(name, record.to_json())
    fault_point("commit: record written")
    for _ in range(COMMIT_TRIES):
        # Read back, since a store may not know conditions. A pair that fits is left as it is.
        if standing := committed(dest, record.unit, ledger):
            return standing
        paths = {SHARDS: shard_path, FLOW: kept_path}
        for folder, shard in shards_of(record):
            dest.put(paths[folder], f"{folder}/{shard.name}", shard.sha256)
        dest.write(name, record.to_json())
    raise TransientError(f"another driver keeps committing another result of unit {record.unit}")


def committed(dest: Tree, unit: str, ledger: str = LEDGER) -> LedgerRecord | None:
    """A unit's record if it is there and the shard in place is the one that it names."""
    try:
        record = read_record(dest, unit, ledger)
    except InputError:
        return None
    for folder, shard in shards_of(record):
        if not dest.holds(f"{folder}/{shard.name}", shard.sha256):
            return None
    return record


def shards_of(record: LedgerRecord | LedgerColumns) -> Iterator[tuple[str, ShardRecord]]:
    """The shards that a record names, each with its folder."""
    if record.shard:
        yield SHARDS, record.shard
    if record.kept and record.kept.shard:
        yield FLOW, record.kept.shard


def committed_units(dest: Tree, ledger: str = LEDGER) -> set[str]:
    """Ids of the units that have a ledger record."""
    return {name.removesuffix(".json") for name in dest.names(ledger) if name.endswith(".json")}


def read_record(dest: Tree, unit: str, ledger: str = LEDGER) -> LedgerRecord:
    """A unit's ledger record. Raises `InputError` if it is missing or does not fit the schema."""
    return _parsed(LedgerRecord.parse, record_bytes(dest, unit, ledger), unit, ledger)


def read_columns(dest: Tree, unit: str, ledger: str = LEDGER) -> LedgerColumns:
    """A unit's ledger record as columns. Raises as `read_record`."""
    return as_columns(record_bytes(dest, unit, ledger), unit, ledger)


def record_bytes(dest: Tree, unit: str, ledger: str = LEDGER) -> bytes:
    """The bytes of a unit's ledger record. Raises `InputError` if it is missing or too large."""
    name = f"{ledger}/{ledger_name(unit)}"
    try:
        return read_small(dest, name, LedgerRecord.MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{name} is missing") from None


def as_columns(data: bytes, unit: str, ledger: str = LEDGER) -> LedgerColumns:
    """The columns in the bytes of a unit's record. Raises `InputError` if they do not fit."""
    return _parsed(LedgerColumns.parse, data, unit, ledger)


def _parsed(parse: Callable[[bytes], T], data: bytes, unit: str, ledger: str) -> T:
    try:
        return parse(data)
    except ValueError as error:
        name = f"{ledger}/{ledger_name(unit)}"
        raise InputError(f"{name} does not fit the schema: {brief(error)}") from None


def _verify(path: str, sha256: str) -> None:
    """Raise `ContractError` unless the file holds what was written to it."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ContractError(
            f"a shard just written does not read back: its bytes have the sha256 {found}, those "
            f"that were written {sha256}; the disk or the memory of this machine may be failing"
        )
