"""`copies.parquet`: which videos of a dataset show what others do, as `sofdata dedup` found it.

It says something of the shards that it was made of, and names them by the digest of their list.
Once these have changed it is not used any more, and whoever needs it is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError
from sofdata.shards.layout import COPIES, WIDS
from sofdata.shards.parquet import read_table, write_table
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LISTED = 1 << 28  # bytes of shards/index.json, of a million shards


@cache
def copies_schema() -> pa.Schema:
    """A row a copy, sorted by id."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("video", pa.string(), nullable=False),
            pa.field("kept", pa.string(), nullable=False),  # which shows the same, and is no copy
            pa.field("equal", pa.bool_(), nullable=False),  # their files are
            pa.field("mirrored", pa.bool_(), nullable=False),
            pa.field("shift_s", pa.float64()),  # what is at t in the copy is at t - shift_s in kept
            pa.field("overlap_s", pa.float64()),
            pa.field("agreement", pa.float64()),  # correlation of the motion
            pa.field("bits", pa.float64()),  # of 64, in which the hashes of frames differ
            pa.field("detail", pa.string(), nullable=False),
            pa.field("shards", pa.string(), nullable=False),  # `shards_digest`
        ]
    )


def shards_digest(dest: Tree) -> str:
    """sha256 of the list of a dataset's shards, with their hashes. Raises `FileNotFoundError`."""
    return hashlib.sha256(read_small(dest, WIDS, MOST_LISTED)).hexdigest()


def write_copies(dest: Tree, rows: Iterable[dict[str, Any]]) -> None:
    """Store the copies of a dataset as it is now. rows: without the column `shards`."""
    digest = shards_digest(dest)
    write_table(dest, COPIES, copies_schema(), ({**row, "shards": digest} for row in rows))


def read_copies(dest: Tree) -> list[tuple[str, str]] | None:
    """The stored pairs of a copy and what it is a copy of; None where none were looked for.

    Raises `ConfigError` where the dataset has changed since, `InputError` for a damaged table.
    """
    try:
        table = read_table(dest, COPIES, ["video", "kept", "shards"])
    except FileNotFoundError:
        return None
    if {*table["shards"].unique().to_pylist()} - {shards_digest(dest)}:
        raise ConfigError(
            f"{COPIES} in {dest.name} was made of other shards than the dataset has now: run "
            f"'sofdata dedup {dest.name}' again, or remove it"
        )
    pairs = zip(table["video"].to_pylist(), table["kept"].to_pylist(), strict=True)
    return [(video, kept) for video, kept in pairs]
