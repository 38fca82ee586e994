"""Codecs that a store may use, each as it is given to the library: by its name, without settings.

None of them runs or unpickles anything. Of their settings only those are kept on which decoding
depends; all else, and every other codec, stays outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sofdata.video.sequences.zarrs.checks import (
    ANY_TEXT,
    MOST_RANK,
    VLEN_UTF8,
    Refused,
    dtype_of,
    id_of,
    named,
    one_of,
    sizes_of,
)

MOST_CHUNKS_ABREAST = 1 << 14  # of one picture, and of one shard
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


@dataclass(frozen=True, slots=True)
class Shards:
    """How chunks lie in one file of several.

    shape: of a whole shard. index_at_end: whether the offsets and lengths of its chunks stand
    behind these. has_sum: whether a CRC-32C follows them.
    """

    shape: tuple[int, ...]
    index_at_end: bool
    has_sum: bool


def compressor_of(
    value: Any, dtype: np.dtype[Any], chunks: tuple[int, ...]
) -> tuple[dict[str, Any] | None, str]:
    """A compressor of Zarr 2 for the library, and the kind of picture that it packs, if any."""
    if value is None:
        return None, ""
    id = id_of(value)
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


def filter_of(value: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    id = id_of(value)
    if id in SUMS or id in COMPRESSORS:
        return _plain_codec(id, value)
    if id == "shuffle":
        size = value.get("elementsize", 4)
        if isinstance(size, int) and 1 <= size <= 16:
            return {"id": id, "elementsize": size}
    if id == "delta" and dtype.kind in "iuf":
        stored = dtype_of(value.get("astype") or value.get("dtype"))
        if dtype_of(value.get("dtype")) == dtype and stored.kind in "iuf":
            return {"id": id, "dtype": dtype.str, "astype": stored.str}
    raise Refused(f"needs the filter '{id:.40}', which is not read")


def codecs_v3(
    value: Any, chunks: tuple[int, ...], dtype: np.dtype[Any], inside: bool = False
) -> tuple[list[dict[str, Any]], tuple[int, ...], Shards | None]:
    """Codecs for the library, the shape of what is unpacked at once, and how shards are made."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_RANK:
        raise Refused("has no list of codecs")
    codecs: list[dict[str, Any]] = []
    inner, shards = chunks, None
    for each in value:
        name, settings = named(each, "codec")
        if name == "sharding_indexed" and not inside and len(value) == 1:
            shards = _shards(settings, chunks)
            inner = sizes_of(settings.get("chunk_shape"), "chunk shape", least=1)
            nested, _, _ = codecs_v3(settings.get("codecs"), inner, dtype, inside=True)
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
        endian = one_of(settings.get("endian", "little"), ("little", "big"), "endian")
        known["bytes"] = {"endian": endian}
    if name == VLEN_UTF8 and dtype is ANY_TEXT:
        return {"name": name}
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
    places = [named(each, "codec") for each in settings.get("index_codecs") or []]
    names = [name for name, _ in places]
    endian = places[0][1].get("endian", "little") if places else "little"
    if names not in (["bytes"], ["bytes", "crc32c"]) or endian != "little":
        raise Refused(f"has an index of shards packed by {names!r:.60}, which is not read")
    place = one_of(settings.get("index_location", "end"), ("start", "end"), "index_location")
    return Shards(chunks, place == "end", len(names) == 2)


def _check_shards(shard: tuple[int, ...], inner: tuple[int, ...]) -> None:
    if len(inner) != len(shard) or any(a % b for a, b in zip(shard, inner, strict=True)):
        raise Refused(f"has shards {list(shard)} that are not made of chunks {list(inner)}")
    if math.prod(shard) // math.prod(inner) > MOST_CHUNKS_ABREAST * 64:
        raise Refused(f"has shards {list(shard)} of too many chunks {list(inner)}")
