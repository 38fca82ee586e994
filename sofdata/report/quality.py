"""What the quality columns of a dataset hold: between what most windows lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from sofdata.loading.index import Index
from sofdata.report.inspect import opened_index
from sofdata.storage.tree import Tree
from sofdata.ui.console import say
from sofdata.windows.quality import QUALITY_FIELDS

_SHARES = {"p5": 5, "median": 50, "p95": 95}  # percentiles


def quality_figures(tree: Tree) -> dict[str, dict[str, Any]]:
    """Of each quality column that there is: percentiles, and how many windows are without a value.

    {} for a dataset without any. Raises `InputError` where the index is missing or damaged.
    """
    index = opened_index(tree)
    return {name: _figures(column(index, name)) for name in quality_names(index)}


def quality_names(index: Index) -> list[str]:
    """The quality columns that an index has."""
    return [name for name in QUALITY_FIELDS if name in index.column_names]


def column(index: Index, name: str) -> NDArray[np.float64]:
    """A column of numbers, whole in memory; NaN where a value is missing."""
    values = np.empty(index.num_rows)
    for first, batch in index.batches([name]):
        part = batch[name].to_numpy(zero_copy_only=False)
        values[first : first + len(part)] = part
    return values


def print_quality(console: Console, figures: dict[str, dict[str, Any]]) -> None:
    """Print a line a column; nothing of a dataset without any."""
    for name, found in figures.items():
        if found["median"] is None:
            say(console, f"{name}: no window has a value")
            continue
        parts = ", ".join(f"{part} {found[part]:.3g}" for part in _SHARES)
        missing = f"; {found['missing']} windows without" if found["missing"] else ""
        say(console, f"{name}: {parts}{missing} ({QUALITY_FIELDS[name]})")


def _figures(values: NDArray[np.float64]) -> dict[str, Any]:
    there = values[np.isfinite(values)]
    parts: list[float | None] = [None] * len(_SHARES)
    if len(there):
        parts = [round(float(each), 6) for each in np.percentile(there, [*_SHARES.values()])]
    return dict(zip(_SHARES, parts, strict=True)) | {"missing": len(values) - len(there)}
