"""The account: what became of every video and window, by corpus, and how the dataset was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.loading.index import Index
from sofdata.report.page import Histogram, histogram
from sofdata.shards.schema import DatasetRecord
from sofdata.ui.text import printable
from sofdata.view.answers import Answer, address, html
from sofdata.view.cards import shortened
from sofdata.view.opened import Opened
from sofdata.view.query import column
from sofdata.view.shelf import Shelf

MEASURES = (
    ("mean_px", "mean motion", "px a step"),
    ("p99_px", "99th percentile of motion", "px a step"),
    ("active_share", "share of pixels that move", ""),
    ("camera_px", "camera motion", "px a step"),
    ("error_mean_px", "mean error of the codec", "px"),
)

COUNTED = ("videos", "done", "rejected", "quarantined", "windows", "windows_rejected", "salvaged")
TITLES = {"windows_rejected": "windows rejected", "salvaged": "done in part"}


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a whole, with where to look at it. percent: of the largest part."""

    name: str
    number: int
    percent: float
    address: str


def account_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """All counts of the dataset, histograms of its windows, and its configuration."""
    counts = opened.record.counts
    values = {
        "counts": counts,
        "corpora": corpora_table(opened),
        "counted": [(name, TITLES.get(name, name)) for name in COUNTED],
        "reasons": _shares(counts.reasons, "video"),
        "window_reasons": _shares(counts.window_reasons, "window"),
        "ignored": _shares(counts.ignored_files, ""),
        "unused": _shares(counts.unused_rows, ""),
        "notes": [printable(note) for note in opened.record.notes],
        "histograms": _histograms(opened),
        "lineage": _lineage(opened.record),
        "config": list(_flat(opened.record.config)),
        "provenance": list(_flat(opened.record.provenance)),
    }
    return html("account.html.j2", {**shelf.head(opened, "account"), **values})


def corpora_table(opened: Opened) -> list[dict[str, Any]]:
    """A row a corpus: how its videos ended, and its windows."""
    if opened.corpora is None:
        counts = opened.record.counts
        row = {name: getattr(counts, name) for name in COUNTED}
        return [{"corpus": printable(opened.record.corpus), "address": "./", **row}]
    return [_corpus_row(opened, name) for name in opened.corpus_names]


def _corpus_row(opened: Opened, name: str) -> dict[str, Any]:
    """The account of one of several corpora."""
    import pyarrow.compute as pc

    videos = opened.videos
    own = videos.filter(pc.is_in(videos["id"], value_set=opened.videos_of(name)))
    status = Counter(own["status"].to_pylist())
    done = own.filter(pc.equal(own["status"], "done"))
    return {
        "corpus": printable(name),
        "address": address("./", corpus=name),
        "videos": own.num_rows,
        **{each: status[each] for each in ("done", "rejected", "quarantined")},
        "windows": pc.sum(own["windows"]).as_py() or 0,
        "windows_rejected": pc.sum(own["windows_rejected"]).as_py() or 0,
        "salvaged": pc.sum(pc.not_equal(done["salvaged"], "")).as_py() or 0,
    }


def _shares(parts: Mapping[str, int], kind: str) -> list[Share]:
    most = max(parts.values(), default=1) or 1
    ordered = sorted(parts.items(), key=lambda item: (-item[1], item[0]))
    return [
        Share(
            printable(name),
            number,
            100 * number / most,
            address("aside", kind=kind, reason=name) if kind else "",
        )
        for name, number in ordered
    ]


def _histograms(opened: Opened) -> list[Histogram]:
    """One column after the other is in memory, as numbers."""

    found = [histogram("length", "s", opened.with_index(_lengths_s))]
    for name, title, unit in MEASURES:
        if name in opened.columns:
            values = opened.with_index(partial(column, name=name))
            found.append(histogram(title, unit, values))
    return [each for each in found if each is not None]


def _lengths_s(index: Index) -> NDArray[np.float64]:
    return column(index, "end_s") - column(index, "start_s")


def _lineage(record: DatasetRecord) -> list[dict[str, Any]]:
    """How it was made of other datasets, the first step first."""
    return [
        {
            "command": printable(step.command),
            "parents": [
                f"{shortened(parent.name)}: {parent.videos:,} videos, {parent.windows:,} windows, "
                f"{printable(parent.identity[:12])}"
                for parent in step.parents
            ],
        }
        for step in record.lineage or ()
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield printable(f"{above}{key}"), printable(str(value))
