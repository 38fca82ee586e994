"""Pieces of metadata that are checked before anything is made of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

MOST_CHUNK_BYTES = 1 << 28  # unpacked
MOST_ROWS = 1 << 40
MOST_RANK = 8
NUMBERS = "iufb"
TEXTS = "US"
# Texts of any length, which are no objects to unpickle. They count as ones of this size; arrays of
# just this size have an equal type, and not the same.
ANY_TEXT = np.dtype("<U64")
VLEN_UTF8 = "vlen-utf8"  # the codec for them, whose chunks are lengths and bytes


class Refused(Exception):
    """An array that is not read. str(): why, in words that follow its name."""


def sizes_of(value: Any, what: str, least: int) -> tuple[int, ...]:
    fits = isinstance(value, list) and len(value) <= MOST_RANK
    if not fits or not all(
        isinstance(each, int) and not isinstance(each, bool) and least <= each <= MOST_ROWS
        for each in value
    ):
        raise Refused(f"has a {what} of {value!r:.60}, which makes no sense")
    return tuple(value)


def check_chunk(chunks: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if (size := math.prod(chunks) * dtype.itemsize) > MOST_CHUNK_BYTES:
        limit = f"{MOST_CHUNK_BYTES >> 20} MiB are read; write it again with smaller chunks"
        raise Refused(f"has chunks {list(chunks)} of {size / 2**20:.0f} MiB; at most {limit}")


def dtype_of(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str):
        raise Refused("has rows of several fields")
    try:
        dtype: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError):
        raise Refused(f"is of the unknown type {name!r:.40}") from None
    if dtype.kind not in NUMBERS + TEXTS or dtype.itemsize == 0:
        what = "objects, which would have to be unpickled" if dtype.kind == "O" else f"{name:.40}"
        raise Refused(f"is of {what}")
    return dtype


def object_of(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("has metadata that is no JSON") from None
    if not isinstance(found, dict):
        raise Refused("has metadata that is no object")
    return found


def named(value: Any, what: str) -> tuple[str, dict[str, Any]]:
    """The name and the configuration of an extension of Zarr 3; its name alone will do, too."""
    if isinstance(value, str):
        return value, {}
    settings = value.get("configuration") or {} if isinstance(value, dict) else None
    if not isinstance(settings, dict) or not isinstance(value.get("name"), str):
        raise Refused(f"has a {what} of {value!r:.60}, which makes no sense")
    return value["name"], settings


def id_of(value: Any) -> str:
    id = value.get("id") if isinstance(value, dict) else None
    if not isinstance(id, str):
        raise Refused(f"has a codec of {value!r:.60}, which makes no sense")
    return id


def one_of(value: Any, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise Refused(f"has '{what}' {value!r:.40}, where {' or '.join(known)} is known")
    return str(value)
