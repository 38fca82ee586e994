"""What the plans of datasets say of the videos that their windows are of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sofdata.loading.catalog import Catalog
from sofdata.loading.planned import plan_parts

_COLUMNS = ("id", "uri", "size_bytes", "fingerprint", "span_start_s", "span_end_s")


@dataclass(frozen=True, slots=True)
class Planned:
    """A video that has windows. content: the same for equal spans of files that are the same by
    their size and fingerprint (of three samples of the file)."""

    uri: str
    content: tuple[Any, ...]
    windows: int


def planned_videos(catalog: Catalog) -> dict[tuple[int, str], Planned]:
    """All videos that have windows, by the number of their dataset and their id.

    Raises `ConfigError` where a dataset has no plan, `InputError` where it is damaged.
    """
    found = dict[tuple[int, str], Planned]()
    for dataset, (tree, index) in enumerate(zip(catalog.trees, catalog.indexes, strict=True)):
        windows = Counter[str]()
        for _, batch in index.batches(["source"], encoded=True):
            for each in batch["source"].value_counts().to_pylist():
                windows[each["values"]] += each["counts"]
        for part in plan_parts(tree, list(_COLUMNS), "videos of its windows"):
            cells = (part[name].to_pylist() for name in _COLUMNS)
            for id, uri, *content in zip(*cells, strict=True):
                if windows[id]:
                    found[dataset, id] = Planned(uri, tuple(content), windows[id])
    return found
