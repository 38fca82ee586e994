"""When windows begin and end in their videos, by their keys: what a batch does not say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sofdata.loading.catalog import Catalog


class WindowTime(NamedTuple):
    """The video of a window, and when it begins and ends on the clock of that video, in s."""

    video: str
    start_s: float
    end_s: float


def window_times(catalog: Catalog, keys: Iterable[str] | None = None) -> dict[str, WindowTime]:
    """The times of windows by their keys; of all, or of those of `keys` that there are.

    A pass over four columns of the index; some 300 bytes a window. Raises `InputError` where the
    index cannot be read.
    """
    wanted = None if keys is None else set(keys)
    found: dict[str, WindowTime] = {}
    for table in catalog.tables(["key", "source", "start_s", "end_s"]):
        columns = (table[name].to_pylist() for name in ("key", "source", "start_s", "end_s"))
        for key, *rest in zip(*columns, strict=True):
            if wanted is None or key in wanted:
                found[key] = WindowTime(*rest)
    return found
