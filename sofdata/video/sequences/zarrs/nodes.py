"""The nodes of a Zarr store, and where its episodes end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences.zarrs.checks import Refused
from sofdata.video.sequences.zarrs.files import Files
from sofdata.video.sequences.zarrs.metadata import Array, attributes, parse_array
from sofdata.video.sequences.zarrs.reading import FAILURES, ArrayReader

ENDS = "episode_ends"
MOST_EPISODES = 1 << 20


@dataclass(slots=True)
class Store:
    """The nodes of a store, and what is known of them.

    refused: why arrays are not read, by their paths. said: attributes. ends: rows behind episodes,
    by the group that they cut. units: of timestamps. stamps: those that were read last. clocks:
    what arrays of timestamps are called. left_out: paths of arrays by why they are not read.
    """

    files: Files
    arrays: dict[str, Array] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    wrong_ends: dict[str, str] = field(default_factory=dict)
    units: dict[tuple[str, str], str] = field(default_factory=dict)
    stamps: dict[str, NDArray[Any]] = field(default_factory=dict)
    clocks: tuple[str, ...] = ()
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, path: str, why: str) -> None:
        """Say once of an array that it is not read."""
        known = self.left_out.setdefault(why, [])
        if path not in known:
            known.append(path)


def open_store(files: Files) -> Store:
    """All nodes, checked. Raises `Unusable` where there are more than make sense."""
    store = Store(files)
    for path, documents in sorted(files.documents().items()):
        if not documents:
            continue
        if not _is_text(path):
            shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
            store.leave_out(shown, "has a name that is no UTF-8")
            continue
        store.said[path] = attributes(documents)
        try:
            array = parse_array(path, documents)
        except Refused as refused:
            store.refused[path] = str(refused)
            store.leave_out(path, str(refused))
            continue
        if array is not None:
            store.arrays[path] = array
    _read_ends(store)
    return store


def _is_text(path: str) -> bool:
    """Whether a path is one that can be written down."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_ends(store: Store) -> None:
    for array in store.arrays.values():
        if array.name != ENDS:
            continue
        owner = array.folder
        if owner == "meta" or owner.endswith("/meta"):
            owner = owner.removesuffix("meta").rstrip("/")
        found = _ends(store, array)
        if isinstance(found, str):
            store.wrong_ends[owner] = f"'{array.path}' {found}"
        else:
            store.ends[owner] = found
    for path, why in store.refused.items():
        folder, _, name = path.rpartition("/")
        if name == ENDS:
            store.wrong_ends[folder.removesuffix("meta").rstrip("/")] = f"'{path}' {why}"


def _ends(store: Store, array: Array) -> NDArray[np.int64] | str:
    """Row numbers behind the episodes, int64 [E], or what is wrong with them."""
    if len(array.shape) != 1 or array.dtype.kind not in "iu" or array.shape[0] > MOST_EPISODES:
        return f"is {array.dtype} {list(array.shape)}, no numbers of rows"
    reader = ArrayReader(store.files, array)
    if not reader.present(0, array.shape[0]).all():
        return "lacks chunks"
    try:
        ends = reader.rows(0, array.shape[0]).astype(np.int64)
    except FAILURES as error:
        return f"cannot be unpacked: {error}"
    if len(ends) and (ends[0] < 0 or np.any(np.diff(ends) < 0)):
        return "does not increase"
    return ends


def above(path: str) -> Iterator[str]:
    """A group and those that it is in, up to the root, ""."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
