"""The contact sheet of a dataset: windows spread evenly over it, read at their index offsets."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError, StorageError
from sofdata.loading.columns import filter_columns, tables
from sofdata.loading.index import Index
from sofdata.loading.where import columns_of, select
from sofdata.pictures.sheet import SheetRow, contact_sheet
from sofdata.shards.layout import INDEX, SHARDS
from sofdata.shards.names import check_file_names
from sofdata.shards.sample import decode_sample
from sofdata.shards.slices import used_values
from sofdata.shards.tar import read_sample_at
from sofdata.storage.tree import Tree

Read = TypeVar("Read")
SHEET = "contact_sheet.png"
SHOWN_COLUMNS = ("shard", "offset", "key", "source")


def draw_sheet(tree: Tree, rows: int, video: str | None, path: str | None, where: str = "") -> str:
    """Draw a contact sheet and return where it lies.

    rows: number of windows, spread evenly over the index.
    video: id of the one video to show, or None for all.
    path: local path of the PNG, or None to put it into the dataset.
    where: a filter on the windows to show, "" for all; see `sofdata.loading.where`.

    Raises `ConfigError` if there is no window to show, and for a wrong filter.
    """
    chosen, total = choose_windows(tree, rows, video, where)
    shown = [read_row(tree, entry) for entry in chosen]
    title = f"{video or tree.name.rstrip('/').rsplit('/', 1)[-1]}: {total} windows"
    if path is not None:
        try:
            contact_sheet(shown, path, title)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
        return path
    with tree.scratch() as folder:
        drawn = os.path.join(folder, SHEET)
        contact_sheet(shown, drawn, title)
        tree.put(drawn, SHEET)
    return f"{tree.name.rstrip('/')}/{SHEET}"


def choose_windows(
    tree: Tree, rows: int, video: str | None, where: str = ""
) -> tuple[list[dict[str, Any]], int]:
    """Rows of the index to show, spread evenly over it, and how many there are to choose from.

    Raises `ConfigError` if there is none, and for a wrong filter.
    """
    index = opened_index(tree)
    numbers = np.arange(index.num_rows) if video is None else _of_video(index, video)
    if where.strip():
        numbers = numbers[_fulfilling(index, where)[numbers]]
    if not len(numbers):
        which = f"of video '{video}' " if video else ""
        which += f"with {where} " if where.strip() else ""
        raise ConfigError(
            f"{tree.name} holds no window {which}to show; rejects.parquet lists the "
            "reasons, and videos.parquet the ids"
        )
    spread = numbers[np.unique(np.linspace(0, len(numbers) - 1, rows).round().astype(int))]
    chosen = [index.row(SHOWN_COLUMNS, number) for number in spread.tolist()]
    check_file_names([entry["shard"] for entry in chosen], index.place)
    return chosen, len(numbers)


def opened_index(tree: Tree) -> Index:
    """The index of a complete dataset. Raises `InputError` where there is none."""
    try:
        return Index(tree)
    except FileNotFoundError:
        hint = "'sofdata verify --repair' rewrites it"
        raise InputError(f"{tree.name} lacks {INDEX}; {hint}") from None


def _fulfilling(index: Index, where: str) -> NDArray[np.bool_]:
    """Which rows fulfil a filter. Raises `ConfigError` for a wrong one."""
    return select(tables([index], columns_of(where, filter_columns([index]))), where)


def _of_video(index: Index, video: str) -> NDArray[np.int64]:
    """The numbers of the rows of a video."""
    found = [np.empty(0, np.int64)]
    for first, batch in index.batches(["source"], encoded=True):
        names, codes = used_values(batch["source"])
        code = names.to_pylist().index(video) if video in names.to_pylist() else -1
        found.append(first + np.flatnonzero(codes == code))
    return np.concatenate(found)


def read_row(tree: Tree, entry: dict[str, Any]) -> SheetRow:
    """The window of a row of the index, read from its shard."""
    sample = read_entry(tree, entry, decode_sample)
    record = sample.record
    caption = f"{record.start_s:.2f} - {record.end_s:.2f} s   {len(sample.flow)} steps"
    caption += "".join(f"   {name} {value:.2f}" for name, value in (record.quality or {}).items())
    if record.text:
        caption += f"   {record.text}"
    name = f"{record.source}, window {record.window}"
    return SheetRow(name, caption, sample.first, sample.last, sample.flow)


def read_entry(
    tree: Tree, entry: dict[str, Any], use: Callable[[str, dict[str, bytes]], Read]
) -> Read:
    """What is made of the sample of a row of the index, read from its shard.

    use: makes it of the key and the members. Raises `InputError` where the sample is damaged.
    """
    check_file_names([entry["shard"]], "the index")
    name = f"{SHARDS}/{entry['shard']}"
    try:
        if tree.is_local and tree.exists(name) and not tree.is_file(name):
            raise InputError("it is not a file")
        with tree.open(name) as stream:
            key, members = read_sample_at(stream, entry["offset"], name)
        if key != entry["key"]:
            raise InputError(f"the sample at byte {entry['offset']} is {key}")
        return use(key, members)
    except (InputError, OSError, ValueError) as error:  # ValueError: a name that no file can have
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            f"sample {entry['key']:.100} of {name:.200} cannot be shown: {cause}. "
            f"'sofdata verify {tree.name}' lists all that is wrong"
        ) from None
