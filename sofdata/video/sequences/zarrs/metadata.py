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

MOST_CHUNK_BYTES = 1 << 28  # unpacked
MOST_ROWS = 1 << 40
MOST_RANK = 8
MOST_CHUNKS_ABREAST = 1 << 14  # of one picture, and of one shard
_NUMBERS = "iufb"
_TEXTS = "US"
# Of Zarr 2, and "numcodecs.ID" of Zarr 3, as the library numcodecs has them.
COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
SUMS = frozenset({"adler32", "crc32", "crc32c", "fletcher32"})
# Those of the library imagecodecs; UMI stores its pictures as imagecodecs_jpegxl.
PICTURES = {
    "imagecodecs_jpeg": "jpeg",
    "imagecodecs_jpeg2k": "jpeg2k",
    "imagecodecs_jpegxl": "jpegxl",
    "imagecodecs_png": "png",
    "imagecodecs_webp": "webp",
}
PICTURE_CODEC = "sofdata_picture"  # see `codecs`
_V3_IGNORED = frozenset(
    (
        *("attributes", "consolidated_metadata", "dimension_names", "fill_value", "node_type"),
        *("shape", "zarr_format", "chunk_grid", "chunk_key_encoding", "codecs", "data_type"),
        "storage_transformers",
    )
)


class Refused(Exception):
    """An array that is not read. str(): why, in words that follow its name."""


@dataclass(frozen=True, slots=True)
class Shards:
    """How chunks lie in one file of several.

    shape: of a whole shard. index_at_end: whether the offsets and lengths of its chunks stand
    behind these. has_sum: whether a CRC-32C follows them.
    """

    shape: tuple[int, ...]
    index_at_end: bool
    has_sum: bool


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
        return self.dtype.kind in _NUMBERS

    @property
    def is_text(self) -> bool:
        return self.dtype.kind in _TEXTS


def parse_array(path: str, documents: Mapping[str, bytes]) -> Array | None:
    """The array that a node is; None for a group. Raises `Refused` for one that is not read."""
    if "zarr.json" in documents:
        node = _object(documents["zarr.json"])
        if node.get("zarr_format") != 3:
            raise Refused(f"is of format {node.get('zarr_format')!r:.40}, which is neither 2 nor 3")
        return _v3(path, node) if node.get("node_type") == "array" else None
    if ".zarray" in documents:
        return _v2(path, _object(documents[".zarray"]))
    return None


def attributes(documents: Mapping[str, bytes]) -> Mapping[str, Any]:
    """What a group or array says of itself; nothing of it is trusted, or of much use."""
    try:
        if "zarr.json" in documents:
            found = _object(documents["zarr.json"]).get("attributes")
        else:
            found = _object(documents.get(".zattrs", b"{}"))
    except Refused:
        return {}
    return found if isinstance(found, dict) else {}


def _v2(path: str, node: dict[str, Any]) -> Array:
    if node.get("zarr_format") != 2:
        raise Refused(f"is of format {node.get('zarr_format')!r:.40}, which is neither 2 nor 3")
    dtype = _dtype(node.get("dtype"))
    shape, chunks = _shapes(node.get("shape"), node.get("chunks"), dtype)
    separator = _one_of(node.get("dimension_separator", "."), ("/", "."), "dimension_separator")
    compressor, pictures = _compressor(node.get("compressor"), dtype, chunks)
    filters = node.get("filters") or []
    if not isinstance(filters, list) or len(filters) > MOST_RANK:
        raise Refused("has filters that are no list")
    document = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype.str,
        "compressor": compressor,
        "filters": [_filter(each, dtype) for each in filters] or None,
        "fill_value": None,
        "order": _one_of(node.get("order"), ("C", "F"), "order"),
        "dimension_separator": separator,
    }
    prefix = f"{path}/" if path else ""

    def key(numbers: tuple[int, ...]) -> str:
        return prefix + (separator.join(map(str, numbers)) or "0")

    return Array(path, 2, shape, chunks, dtype, _bytes(document), key, pictures=pictures)


def _v3(path: str, node: dict[str, Any]) -> Array:
    for name, value in node.items():
        if name not in _V3_IGNORED and not _may_be_ignored(value):
            raise Refused(f"needs '{name:.40}', which is not read")
    if node.get("storage_transformers"):
        raise Refused("needs storage transformers, which are not read")
    dtype = _dtype_v3(node.get("data_type"))
    grid = _named(node.get("chunk_grid"), "chunk_grid")
    if grid[0] != "regular":
        raise Refused(f"has a chunk grid '{grid[0]:.40}', which is not read")
    shape, chunks = _shapes(node.get("shape"), grid[1].get("chunk_shape"), dtype, sharded=True)
    codecs, inner, shards = _codecs_v3(node.get("codecs"), chunks, dtype)
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
    _check_chunk(array.chunks, dtype)
    return array


# Shapes and types


def _shapes(
    shape: Any, chunks: Any, dtype: np.dtype[Any], sharded: bool = False
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of an array and of its chunks. sharded: these may be shards, and so of any size."""
    sizes, parts = _sizes(shape, "shape", least=0), _sizes(chunks, "chunks", least=1)
    if len(sizes) != len(parts):
        raise Refused(f"has {len(sizes)} dimensions, and chunks of {len(parts)}")
    abreast = math.prod(-(-size // part) for size, part in zip(sizes[1:], parts[1:], strict=True))
    if abreast > MOST_CHUNKS_ABREAST:
        raise Refused(f"has {abreast} chunks for each picture")
    if not sharded:
        _check_chunk(parts, dtype)
    return sizes, parts


def _sizes(value: Any, what: str, least: int) -> tuple[int, ...]:
    fits = isinstance(value, list) and len(value) <= MOST_RANK
    if not fits or not all(
        isinstance(each, int) and not isinstance(each, bool) and least <= each <= MOST_ROWS
        for each in value
    ):
        raise Refused(f"has a {what} of {value!r:.60}, which makes no sense")
    return tuple(value)


def _check_chunk(chunks: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if (size := math.prod(chunks) * dtype.itemsize) > MOST_CHUNK_BYTES:
        limit = f"{MOST_CHUNK_BYTES >> 20} MiB are read; write it again with smaller chunks"
        raise Refused(f"has chunks {list(chunks)} of {size / 2**20:.0f} MiB; at most {limit}")


def _dtype(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str):
        raise Refused("has rows of several fields")
    try:
        dtype: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError):
        raise Refused(f"is of the unknown type {name!r:.40}") from None
    if dtype.kind not in _NUMBERS + _TEXTS or dtype.itemsize == 0:
        what = "objects, which would have to be unpickled" if dtype.kind == "O" else f"{name:.40}"
        raise Refused(f"is of {what}")
    return dtype


def _dtype_v3(name: Any) -> Any:
    if isinstance(name, dict):
        kind, settings = _named(name, "data_type")
        size = settings.get("length_bytes")
        if kind == "fixed_length_utf32" and isinstance(size, int) and 0 < size <= 1 << 16:
            return np.dtype(f"<U{max(1, size // 4)}")
        raise Refused(f"is of the type '{kind:.40}'")
    numbers = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
    if name not in numbers.split():
        raise Refused(f"is of the type {name!r:.40}")
    return np.dtype(name)


def _data_type(dtype: np.dtype[Any]) -> Any:
    if dtype.kind != "U":
        return dtype.name
    return {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}


# Codecs


def _compressor(
    value: Any, dtype: np.dtype[Any], chunks: tuple[int, ...]
) -> tuple[dict[str, Any] | None, str]:
    """A compressor of Zarr 2 for the library, and the kind of picture that it packs, if any."""
    if value is None:
        return None, ""
    id = _id(value)
    if id in PICTURES:
        shape = [size for size in chunks if size != 1]
        settings = {"kind": PICTURES[id], "shape": shape, "dtype": dtype.str}
        return {"id": PICTURE_CODEC, **settings}, PICTURES[id]
    if id not in COMPRESSORS:
        raise Refused(f"is packed by the codec '{id:.40}', which is not read")
    return _plain_codec(id, value), ""


def _plain_codec(id: str, value: Mapping[str, Any]) -> dict[str, Any]:
    if id == "lzma" and (value.get("format", 1) != 1 or value.get("filters")):
        raise Refused("is packed by LZMA with filters of its own")
    return {"id": id}


def _filter(value: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    id = _id(value)
    if id in SUMS or id in COMPRESSORS:
        return _plain_codec(id, value)
    if id == "shuffle":
        size = value.get("elementsize", 4)
        if isinstance(size, int) and 1 <= size <= 16:
            return {"id": id, "elementsize": size}
    if id == "delta" and dtype.kind in "iuf":
        stored = _dtype(value.get("astype") or value.get("dtype"))
        if _dtype(value.get("dtype")) == dtype and stored.kind in "iuf":
            return {"id": id, "dtype": dtype.str, "astype": stored.str}
    raise Refused(f"needs the filter '{id:.40}', which is not read")


def _codecs_v3(
    value: Any, chunks: tuple[int, ...], dtype: np.dtype[Any], inside: bool = False
) -> tuple[list[dict[str, Any]], tuple[int, ...], Shards | None]:
    """Codecs for the library, the shape of what is unpacked at once, and how shards are made."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_RANK:
        raise Refused("has no list of codecs")
    codecs: list[dict[str, Any]] = []
    inner, shards = chunks, None
    for each in value:
        name, settings = _named(each, "codec")
        if name == "sharding_indexed" and not inside and len(value) == 1:
            shards = _shards(settings, chunks)
            inner = _sizes(settings.get("chunk_shape"), "chunk shape", least=1)
            nested, _, _ = _codecs_v3(settings.get("codecs"), inner, dtype, inside=True)
            _check_shards(chunks, inner)
            settings = settings | {"codecs": nested, "chunk_shape": inner}
            keys = ("chunk_shape", "codecs", "index_codecs", "index_location")
            settings = {key: settings[key] for key in keys if key in settings}
            codecs.append({"name": name, "configuration": settings})
        else:
            codecs.append(_codec_v3(name, settings, chunks, dtype))
    return codecs, inner, shards


def _codec_v3(
    name: str, settings: dict[str, Any], chunks: tuple[int, ...], dtype: np.dtype[Any]
) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "blosc": {
            "typesize": dtype.itemsize,
            "cname": "zstd",
            "clevel": 5,
            "shuffle": "noshuffle",
            "blocksize": 0,
        },
        "gzip": {"level": 5},
        "zstd": {"level": 0, "checksum": False},
        "crc32c": {},
    }
    if name == "bytes":
        endian = _one_of(settings.get("endian", "little"), ("little", "big"), "endian")
        known["bytes"] = {"endian": endian}
    if name == "transpose":
        order = settings.get("order")
        if not isinstance(order, list) or sorted(order, key=str) != list(range(len(chunks))):
            raise Refused(f"has axes in the order {order!r:.40}")
        known["transpose"] = {"order": order}
    id = name.removeprefix("numcodecs.")
    if id != name and id in COMPRESSORS | SUMS:
        known[name] = {key: each for key, each in _plain_codec(id, settings).items() if key != "id"}
    if name not in known:
        raise Refused(f"needs the codec '{name:.40}', which is not read")
    return {"name": name, "configuration": known[name]} if known[name] else {"name": name}


def _shards(settings: dict[str, Any], chunks: tuple[int, ...]) -> Shards:
    places = [_named(each, "codec") for each in settings.get("index_codecs") or []]
    names = [name for name, _ in places]
    endian = places[0][1].get("endian", "little") if places else "little"
    if names not in (["bytes"], ["bytes", "crc32c"]) or endian != "little":
        raise Refused(f"has an index of shards packed by {names!r:.60}, which is not read")
    place = _one_of(settings.get("index_location", "end"), ("start", "end"), "index_location")
    return Shards(chunks, place == "end", len(names) == 2)


def _check_shards(shard: tuple[int, ...], inner: tuple[int, ...]) -> None:
    if len(inner) != len(shard) or any(a % b for a, b in zip(shard, inner, strict=True)):
        raise Refused(f"has shards {list(shard)} that are not made of chunks {list(inner)}")
    if math.prod(shard) // math.prod(inner) > MOST_CHUNKS_ABREAST * 64:
        raise Refused(f"has shards {list(shard)} of too many chunks {list(inner)}")


def _keys_v3(path: str, value: Any) -> tuple[dict[str, Any], Callable[[tuple[int, ...]], str]]:
    name, settings = _named(value, "chunk_key_encoding")
    if name not in ("default", "v2"):
        raise Refused(f"names its chunks by '{name:.40}', which is not read")
    usual = "/" if name == "default" else "."
    separator = _one_of(settings.get("separator", usual), ("/", "."), "separator")
    prefix = f"{path}/" if path else ""

    def key(numbers: tuple[int, ...]) -> str:
        parts = list(map(str, numbers))
        if name == "default":
            return prefix + separator.join(["c", *parts])
        return prefix + (separator.join(parts) or "0")

    return {"name": name, "configuration": {"separator": separator}}, key


# JSON


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("has metadata that is no JSON") from None
    if not isinstance(found, dict):
        raise Refused("has metadata that is no object")
    return found


def _named(value: Any, what: str) -> tuple[str, dict[str, Any]]:
    """The name and the configuration of an extension of Zarr 3; its name alone will do, too."""
    if isinstance(value, str):
        return value, {}
    settings = value.get("configuration") or {} if isinstance(value, dict) else None
    if not isinstance(settings, dict) or not isinstance(value.get("name"), str):
        raise Refused(f"has a {what} of {value!r:.60}, which makes no sense")
    return value["name"], settings


def _id(value: Any) -> str:
    id = value.get("id") if isinstance(value, dict) else None
    if not isinstance(id, str):
        raise Refused(f"has a codec of {value!r:.60}, which makes no sense")
    return id


def _one_of(value: Any, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise Refused(f"has '{what}' {value!r:.40}, where {' or '.join(known)} is known")
    return str(value)


def _may_be_ignored(value: Any) -> bool:
    return isinstance(value, dict) and value.get("must_understand") is False


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
