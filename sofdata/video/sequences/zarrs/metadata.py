"""What the metadata of a Zarr array says, checked, and written anew of what is allowed.

Zarr 2: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html; Zarr 3: .../v3/core/index.html.

The library is given the document that is written here, never the one that lies in the store: only
codecs of the lists below get as far, none of which runs or unpickles anything, and of their
settings only those that decoding depends on. The fill value is left out on purpose: a chunk that is
missing is a missing picture, not one of zeros.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sofdata.video.sequences.zarrs.allowed import (
    MOST_CHUNKS_ABREAST,
    Shards,
    codecs_v3,
    compressor_of,
    filter_of,
)
from sofdata.video.sequences.zarrs.checks import (
    ANY_TEXT,
    MOST_RANK,
    NUMBERS,
    TEXTS,
    VLEN_UTF8,
    Refused,
    check_chunk,
    dtype_of,
    id_of,
    named,
    object_of,
    one_of,
    sizes_of,
)

_V3_IGNORED = frozenset(
    (
        *("attributes", "consolidated_metadata", "dimension_names", "fill_value", "node_type"),
        *("shape", "zarr_format", "chunk_grid", "chunk_key_encoding", "codecs", "data_type"),
        "storage_transformers",
    )
)


@dataclass(frozen=True, slots=True)
class Array:
    """An array as far as its metadata goes.

    path: "" at the root. chunks: the shape of what is unpacked at once. document: for the library.
    key: of a chunk, or a shard, by its numbers. pictures: the codec of its pictures, if any.
    """

    path: str
    version: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    document: bytes
    key: Callable[[tuple[int, ...]], str]
    shards: Shards | None = None
    pictures: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path of the group that it is in."""
        return self.path.rpartition("/")[0]

    @property
    def row_bytes(self) -> int:
        """Of all that has one first index."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def is_number(self) -> bool:
        return self.dtype.kind in NUMBERS

    @property
    def is_text(self) -> bool:
        return self.dtype.kind in TEXTS


def parse_array(path: str, documents: Mapping[str, bytes]) -> Array | None:
    """The array that a node is; None for a group. Raises `Refused` for one that is not read."""
    if "zarr.json" in documents:
        node = object_of(documents["zarr.json"])
        if node.get("zarr_format") != 3:
            raise Refused(f"is of format {node.get('zarr_format')!r:.40}, which is neither 2 nor 3")
        return _v3(path, node) if node.get("node_type") == "array" else None
    if ".zarray" in documents:
        return _v2(path, object_of(documents[".zarray"]))
    return None


def attributes(documents: Mapping[str, bytes]) -> Mapping[str, Any]:
    """What a group or array says of itself; nothing of it is trusted, or of much use."""
    try:
        if "zarr.json" in documents:
            found = object_of(documents["zarr.json"]).get("attributes")
        else:
            found = object_of(documents.get(".zattrs", b"{}"))
    except Refused:
        return {}
    return found if isinstance(found, dict) else {}


def _v2(path: str, node: dict[str, Any]) -> Array:
    if node.get("zarr_format") != 2:
        raise Refused(f"is of format {node.get('zarr_format')!r:.40}, which is neither 2 nor 3")
    filters = node.get("filters") or []
    if not isinstance(filters, list) or len(filters) > MOST_RANK:
        raise Refused("has filters that are no list")
    are_texts = node.get("dtype") == "|O" and list(map(id_of, filters)) == [VLEN_UTF8]
    dtype = ANY_TEXT if are_texts else dtype_of(node.get("dtype"))
    shape, chunks = _shapes(node.get("shape"), node.get("chunks"), dtype)
    separator = one_of(node.get("dimension_separator", "."), ("/", "."), "dimension_separator")
    compressor, pictures = compressor_of(node.get("compressor"), dtype, chunks)
    document = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": "|O" if are_texts else dtype.str,
        "compressor": compressor,
        "filters": [{"id": VLEN_UTF8}] if are_texts else _filters(filters, dtype),
        "fill_value": None,
        "order": one_of(node.get("order"), ("C", "F"), "order"),
        "dimension_separator": separator,
    }
    prefix = f"{path}/" if path else ""

    def key(numbers: tuple[int, ...]) -> str:
        return prefix + (separator.join(map(str, numbers)) or "0")

    return Array(path, 2, shape, chunks, dtype, _bytes(document), key, pictures=pictures)


def _filters(filters: list[Any], dtype: np.dtype[Any]) -> list[dict[str, Any]] | None:
    return [filter_of(each, dtype) for each in filters] or None


def _v3(path: str, node: dict[str, Any]) -> Array:
    for name, value in node.items():
        if name not in _V3_IGNORED and not _may_be_ignored(value):
            raise Refused(f"needs '{name:.40}', which is not read")
    if node.get("storage_transformers"):
        raise Refused("needs storage transformers, which are not read")
    dtype = _dtype_v3(node.get("data_type"))
    grid = named(node.get("chunk_grid"), "chunk_grid")
    if grid[0] != "regular":
        raise Refused(f"has a chunk grid '{grid[0]:.40}', which is not read")
    shape, chunks = _shapes(node.get("shape"), grid[1].get("chunk_shape"), dtype, sharded=True)
    codecs, inner, shards = codecs_v3(node.get("codecs"), chunks, dtype)
    encoding, key = _keys_v3(path, node.get("chunk_key_encoding"))
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": _data_type(dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": encoding,
        "fill_value": {"b": False, "U": ""}.get(dtype.kind, 0),
        "codecs": codecs,
        "attributes": {},
    }
    array = Array(path, 3, shape, inner, dtype, _bytes(document), key, shards)
    check_chunk(array.chunks, dtype)
    return array


# Shapes and types


def _shapes(
    shape: Any, chunks: Any, dtype: np.dtype[Any], sharded: bool = False
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of an array and of its chunks. sharded: these may be shards, and so of any size."""
    sizes, parts = sizes_of(shape, "shape", least=0), sizes_of(chunks, "chunks", least=1)
    if len(sizes) != len(parts):
        raise Refused(f"has {len(sizes)} dimensions, and chunks of {len(parts)}")
    abreast = math.prod(-(-size // part) for size, part in zip(sizes[1:], parts[1:], strict=True))
    if abreast > MOST_CHUNKS_ABREAST:
        raise Refused(f"has {abreast} chunks for each picture")
    if not sharded:
        check_chunk(parts, dtype)
    return sizes, parts


def _dtype_v3(name: Any) -> Any:
    if isinstance(name, dict):
        kind, settings = named(name, "data_type")
        size = settings.get("length_bytes")
        if kind == "fixed_length_utf32" and isinstance(size, int) and 0 < size <= 1 << 16:
            return np.dtype(f"<U{max(1, size // 4)}")
        raise Refused(f"is of the type '{kind:.40}'")
    if name == "string":
        return ANY_TEXT
    numbers = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
    if name not in numbers.split():
        raise Refused(f"is of the type {name!r:.40}")
    return np.dtype(name)


def _data_type(dtype: np.dtype[Any]) -> Any:
    if dtype is ANY_TEXT:
        return "string"
    if dtype.kind != "U":
        return dtype.name
    return {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}


def _keys_v3(path: str, value: Any) -> tuple[dict[str, Any], Callable[[tuple[int, ...]], str]]:
    name, settings = named(value, "chunk_key_encoding")
    if name not in ("default", "v2"):
        raise Refused(f"names its chunks by '{name:.40}', which is not read")
    usual = "/" if name == "default" else "."
    separator = one_of(settings.get("separator", usual), ("/", "."), "separator")
    prefix = f"{path}/" if path else ""

    def key(numbers: tuple[int, ...]) -> str:
        parts = list(map(str, numbers))
        if name == "default":
            return prefix + separator.join(["c", *parts])
        return prefix + (separator.join(parts) or "0")

    return {"name": name, "configuration": {"separator": separator}}, key


def _may_be_ignored(value: Any) -> bool:
    return isinstance(value, dict) and value.get("must_understand") is False


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
