"""Parquet files with a video in each row, and the tables of downloads that hold none.

As video2dataset writes them (output format "parquet"), and as datasets are passed around:

    key, caption, status, ..., mp4 (bytes)      or another column named like a container
    caption, video: {bytes, path}               as the library `datasets` stores files

To list the videos, the columns of bytes are read once: sizes and fingerprints are to be had only
with the content.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import jsonfile
from sofdata.corpora.readers.columns import column_types, is_bytes, read_columns
from sofdata.corpora.sidecars import FIELDS, NO_VIDEO, caption, clean
from sofdata.corpora.tars import ArchiveContents
from sofdata.errors import ConfigError
from sofdata.storage.archives import cells
from sofdata.storage.fingerprints import SAMPLE_BYTES, digest, offsets
from sofdata.storage.tree import Tree
from sofdata.storage.uris import cell_of
from sofdata.storage.walk import Item

FAILED = "download that failed"
TOO_LARGE = "row_group_too_large"
_KEYS = ("key", "__key__", "id", "video_id", "videoid", "videoID")
_STATUS = "status"


def video_columns(tree: Tree, rel: str) -> list[str]:
    """The columns that by type and name hold videos; of a struct the path of its bytes.

    Reads the footer only. Raises `ConfigError` where the file is no Parquet.
    """
    import pyarrow as pa

    found = []
    for name, kind in column_types(tree, rel).items():
        if (
            f".{name.rpartition('.')[2].lower()}" not in VIDEO_SUFFIXES
            and "video" not in name.lower()
        ):
            continue
        if is_bytes(kind):
            found.append(name)
        elif pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            found += [f"{name}.bytes"] * is_bytes(kind.field("bytes").type)
    return found


def read_videos(tree: Tree, item: Item, columns: Sequence[str], found: ArchiveContents) -> None:
    """Add the videos of all rows. A row without one is counted, as its download has failed.

    Of a row group that is too large each row is an entry with the problem `TOO_LARGE`, and of one
    that is damaged those from there on with "bad_archive".
    """
    try:
        keys, texts = _keys(tree, item.rel), _texts(tree, item.rel, found)
    except ConfigError as error:
        detail = str(error)
        found.entries.append(
            Entry(item.rel, item.uri, item.size_bytes, problem="bad_archive", detail=detail)
        )
        return
    stem = item.rel.rpartition(".")[0]
    for at, column in enumerate(columns):
        for row, data, problem, detail in _rows(tree, item.rel, column):
            if data is None and not problem:
                found.unused[NO_VIDEO] += 1
                continue
            key = jsonfile.clean(keys[row] or f"{row:06d}")
            found.entries.append(
                Entry(
                    id=f"{stem}/{key}" + (f"/{column}" if at else ""),
                    uri=cell_of(item.rel, row, column),
                    size_bytes=len(data or b""),
                    text=texts[row],
                    labels={"key": key},
                    problem=problem,
                    detail=detail,
                    fingerprint="" if problem else _fingerprint(data or b""),
                )
            )


def failures(tree: Tree, rel: str) -> Counter[str]:
    """What a table of downloads says of those that failed. Raises `ConfigError`."""
    if _STATUS not in column_types(tree, rel):
        return Counter()
    status = Counter(read_columns(tree, rel, [_STATUS])[_STATUS].to_pylist())
    return Counter({str(name): number for name, number in status.items() if name != "success"})


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _rows(tree: Tree, rel: str, column: str) -> Iterator[tuple[int, bytes | None, str, str]]:
    """Row, content, and what is wrong with it, of all rows."""
    with cells.opened(tree, rel, column) as found:
        for group in found.groups:
            row, end = group.first, group.first + group.rows
            try:
                for data in found.cells(group):
                    empty = data is not None and not data
                    detail = f"row {row} of {rel} has no bytes" if empty else ""
                    yield row, data, "empty_file" if empty else "", detail
                    row += 1
            except OSError as error:
                problem, detail = "bad_archive", f"{rel}: {error.strerror}"
                if error.errno == errno.EFBIG:
                    problem = TOO_LARGE
                    detail = f"{rel}, rows {row} to {end - 1}: {error.strerror}; write it again"
                    detail += " with a smaller row_group_size"
                for each in range(row, end):
                    yield each, None, problem, detail


def _keys(tree: Tree, rel: str) -> list[str]:
    """The key of each row, "" where there is none."""
    types = column_types(tree, rel)
    name = next((name for name in _KEYS if name in types), "")
    if not name:
        return [""] * _number(tree, rel)
    return [
        "" if key is None else str(key) for key in read_columns(tree, rel, [name])[name].to_pylist()
    ]


def _texts(tree: Tree, rel: str, found: ArchiveContents) -> list[str]:
    """The caption of each row: the first column that has one, or what a column json holds."""
    types = column_types(tree, rel)
    texts = [""] * _number(tree, rel)
    for name in (name for name in FIELDS if name in types and _is_text(types[name])):
        values = read_columns(tree, rel, [name])[name].to_pylist()
        texts = [text or clean(value or "") for text, value in zip(texts, values, strict=True)]
    if "json" in types and not all(texts):
        for row, value in enumerate(read_columns(tree, rel, ["json"])["json"].to_pylist()):
            texts[row] = texts[row] or _json_text(value, f"{rel}: row {row}", found)
    return texts


def _json_text(value: Any, place: str, found: ArchiveContents) -> str:
    try:
        record = json.loads(value) if isinstance(value, str | bytes) else value
    except (ValueError, RecursionError):
        found.silent.append(place)
        return ""
    return caption(record) if isinstance(record, dict) else ""


def _number(tree: Tree, rel: str) -> int:
    return int(read_columns(tree, rel, []).num_rows)


def _fingerprint(data: bytes) -> str:
    """`Tree.fingerprint` of what is at hand."""
    return digest(len(data), [data[at : at + SAMPLE_BYTES] for at in offsets(len(data))])
