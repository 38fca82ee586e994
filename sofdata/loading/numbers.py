"""Columns of the index whose numbers batches can have: as each sample's own record states them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sofdata.errors import ConfigError
from sofdata.loading.expression import ALIASES
from sofdata.loading.where import not_computed
from sofdata.shards.schema import SampleRecord
from sofdata.system.nearest import did_you_mean
from sofdata.windows.motion import MOTION_FIELDS
from sofdata.windows.quality import QUALITY_FIELDS

_OF_RECORD = ("window", "start_s", "end_s")
_OF_CODEC = ("error_mean_px", "error_max_px")
NUMBERS = (*_OF_RECORD, "steps", *MOTION_FIELDS, *_OF_CODEC, *QUALITY_FIELDS)


def checked_columns(columns: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of columns as batches are asked for them, each once.

    known: the columns that all datasets have. Raises `ConfigError` for one that is not there, or
    that holds no numbers, with those that may be asked for.
    """
    if isinstance(columns, str):
        raise ConfigError(f"columns is a list of names, such as [{columns!r:.60}]")
    there = [name for name in NUMBERS if name in known]
    found = dict.fromkeys(ALIASES.get(name, name) for name in columns)
    for name in found:
        if name not in there:
            hint = "" if name in QUALITY_FIELDS else did_you_mean(name, there)
            raise ConfigError(
                f"batches cannot have the column {name!r:.60}{hint} "
                f"(columns of numbers: {', '.join(there)}){not_computed(name)}"
            )
    return tuple(found)


def number_of(record: SampleRecord, steps: int, name: str) -> float:
    """The value of one of `NUMBERS` for a sample; NaN where it has none. steps: of its flow."""
    found: Any
    if name == "steps":
        found = steps
    elif name in _OF_RECORD:
        found = getattr(record, name)
    elif name in _OF_CODEC:
        found = record.flow.get(name)
    else:
        found = (record.motion | (record.quality or {})).get(name)
    return float(found) if isinstance(found, int | float) else np.nan
