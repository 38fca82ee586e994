"""Where a loader stands, as plain values to store beside a checkpoint.

The order of an epoch is known before anything is read, so two numbers say where a stream goes on:
the epoch, and how many of its batches were given. Beside them stands what decides that order. A
state goes on in any number of workers and, with `drop_last`, of ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog
from sofdata.loading.source import shared_numbers
from sofdata.system.digests import json_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MOST_WORKERS = 1024  # of somebody else's DataLoader
_EPOCH, _BATCH, _SERIAL, _READ, _TAKEN = range(5)
_EPOCHS = 1 << 63  # that shared memory can count
_TEXT = 300  # characters of a difference that are shown


@dataclass(frozen=True, slots=True)
class NextBatch:
    """The next batch: number `batch` of an epoch, both counted from 0."""

    epoch: int
    batch: int


class Beginning:
    """Where the next iteration begins, in memory that workers of a `DataLoader` share.

    They may be forked for each epoch or stay for all of them, so each takes the batch to begin at
    once, and begins later iterations at 0.
    """

    def __init__(self) -> None:
        self._numbers = shared_numbers(_TAKEN + MOST_WORKERS)

    @property
    def position(self) -> NextBatch:
        """Where the next iteration of this process begins, if no worker of a DataLoader reads."""
        epoch, batch, serial = self._numbers[:_READ].tolist()
        return NextBatch(epoch, 0 if int(self._numbers[_TAKEN]) == serial else batch)

    @property
    def is_read_by_workers(self) -> bool:
        """Whether workers of a `DataLoader` have read, whose batches are not counted here."""
        return bool(self._numbers[_READ])

    def set(self, position: NextBatch) -> None:
        """Begin there, once, in each process."""
        self._numbers[_EPOCH], self._numbers[_BATCH] = position.epoch, position.batch
        self._numbers[_SERIAL] += 1

    def take(self, worker: int | None) -> NextBatch:
        """Where this process begins. worker: its number, if it is one of a `DataLoader`."""
        self._numbers[_READ] = int(worker is not None)
        epoch, batch, serial = self._numbers[:_READ].tolist()
        slot = _TAKEN + min(worker or 0, MOST_WORKERS - 1)
        taken = int(self._numbers[slot]) == serial
        self._numbers[slot] = serial
        return NextBatch(epoch, 0 if taken else batch)


def identity(catalog: Catalog, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which windows each batch of an epoch has, as values of JSON.

    catalog: with the windows that are used. Its bytes are not read: a dataset whose configuration,
    statistics of flow, texts and places of windows are the same is taken for the same.
    """
    return {
        **settings,
        "windows": len(catalog.windows),
        "windows_sha256": _hash_windows(catalog),
        "datasets_sha256": _hash_datasets(catalog),
    }


def to_state(position: NextBatch, loader: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is stored. loader: its `identity`. name: of its datasets, for messages alone."""
    return {
        "format": FORMAT,
        "epoch": position.epoch,
        "batch": position.batch,
        "loader": dict(loader),
        "name": name,
    }


def from_state(state: Mapping[str, Any], loader: Mapping[str, Any], batches: int) -> NextBatch:
    """Where a stored state goes on. batches: of an epoch of this loader.

    Raises `ConfigError` for what is no state, and for one of other data or settings, with all that
    differs.
    """
    if not isinstance(state, Mapping) or not {"format", "epoch", "batch", "loader"} <= {*state}:
        raise ConfigError("this is no state of a Loader: expected what its state_dict() has given")
    if state["format"] != FORMAT:
        raise ConfigError(
            f"the state of this loader has format {state['format']!r:.60}, and this version of "
            f"sofdata reads {FORMAT}"
        )
    if different := list(_differences(dict(loader), state["loader"])):
        raise ConfigError(
            f"the state is of another loader, of {state.get('name', 'unknown data')!s:.200}: "
            f"{'; '.join(different)}. Make the loader as it was made then, or start without "
            "the state"
        )
    epoch, batch = state["epoch"], state["batch"]
    if not is_epoch(epoch) or type(batch) is not int or not 0 <= batch <= batches:
        raise ConfigError(
            f"the state of this loader is damaged: batch {batch!r:.60} of epoch {epoch!r:.60}, "
            f"where an epoch has {batches} batches"
        )
    return NextBatch(epoch, batch)


def is_epoch(number: Any) -> bool:
    """Whether it can be the number of an epoch."""
    return type(number) is int and 0 <= number < _EPOCHS


def _differences(ours: dict[str, Any], theirs: Any) -> Iterator[str]:
    if not isinstance(theirs, dict):
        yield "it does not say of which"
        return
    texts = {
        "windows_sha256": "other windows are selected, or lie elsewhere",
        "datasets_sha256": "the datasets are others, or have changed",
    }
    for key in sorted(ours.keys() | theirs.keys(), key=str):
        if ours.get(key) != theirs.get(key):
            pair = {key: ours.get(key)}, {key: theirs.get(key)}
            yield texts.get(key) or next(differing_keys(*pair))[:_TEXT]


def _hash_windows(catalog: Catalog) -> str:
    """Of keys, shards and offsets of the windows, in two passes over the indexes."""
    digest = hashlib.sha256()
    for keys in _used(catalog, "key"):
        digest.update("\n".join([*keys.to_pylist(), ""]).encode())
    for shard, number in enumerate(catalog.windows.counts.tolist()):
        digest.update(np.full(number, shard, "<i8").tobytes())
    for offsets in _used(catalog, "offset"):
        digest.update(offsets.to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _used(catalog: Catalog, column: str) -> Iterator[pa.Array]:
    """A column of the windows that are used, some at a time."""
    row = 0
    for index in catalog.indexes:
        for first, batch in index.batches([column]):
            used = catalog.windows.within(row + first, row + first + batch.num_rows)
            yield batch[column].take(np.flatnonzero(used))
        row += index.num_rows


def _hash_datasets(catalog: Catalog) -> str:
    """The digest of a list of records and texts as `json_digest` makes it, text by text."""
    records = [[each.config_sha256, each.flow, each.counts.windows] for each in catalog.records]
    before, after = json_bytes([*records, ["", ""]]).split(b'"", ""')
    digest = hashlib.sha256(before)
    for number, text in enumerate(catalog.texts):
        digest.update((b", " if number else b"") + json_bytes(text))
    digest.update(after)
    return digest.hexdigest()
