"""Files of JSON that a benchmark has left, or that somebody has put in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sofdata.errors import ConfigError

CELL = ("hash", "cell", "success")  # what every cell has


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """A file that holds an object with these keys. Raises `ConfigError` for another."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is no JSON: it is damaged, or another's file") from None
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing or not isinstance(value, dict):
        raise ConfigError(
            f"{path} is no file of a benchmark: it has no {', '.join(missing) or 'keys'}"
        )
    return value
