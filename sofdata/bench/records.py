"""JSON files of a benchmark, which may be damaged or another program's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sofdata.errors import ConfigError

CELL = ("hash", "cell", "success")  # what every cell has


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON object that has these keys. Raises `ConfigError` for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is no JSON: it is damaged, or another program's file") from None
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing or not isinstance(value, dict):
        raise ConfigError(
            f"{path} is no file of a benchmark: it has no {', '.join(missing) or 'keys'}"
        )
    return value
