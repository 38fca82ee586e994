"""Hashes of values that JSON can hold: settings, inputs, lists of names.

They name stored things (units, cells, checkpoints, cached indexes), so the text that is hashed must
never change: what `json.dumps` writes with sorted keys, its own separators and ASCII alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

HEX_DIGITS = 64


def json_digest(value: Any, digits: int = HEX_DIGITS) -> str:
    """The first digits of the sha256 of a value, in hexadecimal; `TypeError` if JSON has none."""
    return hashlib.sha256(json_bytes(value)).hexdigest()[:digits]


def json_bytes(value: Any) -> bytes:
    """The text that is hashed."""
    return json.dumps(value, sort_keys=True, default=_as_dict).encode()


def _as_dict(value: Any) -> dict[Any, Any]:
    """Read-only mappings, which `json` does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no counterpart in JSON")
