"""The page of a dataset: what it holds, what was rejected and why, and windows as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.loading.index import Index
from sofdata.pictures.colour import flow_to_rgba, wheel_legend
from sofdata.pictures.sheet import SheetRow, flow_scale, flow_steps
from sofdata.report.inspect import choose_windows, opened_index, read_row
from sofdata.report.page import Histogram, histogram, picture, render, write_page
from sofdata.report.quality import column, quality_names
from sofdata.report.summary import rejected_videos, salvaged_videos
from sofdata.report.text_counts import TextCounts
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.ui.text import printable

PAGE = "report.html"
SHOWN_REJECTS = 200
SHOWN_TEXTS = 25


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: one part of a whole. percent: of the whole, or of the largest part."""

    name: str
    number: int
    percent: float


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """One window on the page. scale_px: the speed of full colour.

    tiles: its pictures with what each shows, first frame, some steps of flow, last frame.
    """

    name: str
    key: str
    text: str
    tiles: tuple[Tile, ...]
    scale_px: float


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture, as a data URI."""

    label: str
    picture: str


def write_report(
    tree: Tree, dataset: DatasetRecord, rows: int, path: str | None, where: str = ""
) -> str:
    """Write the page of a complete dataset and return where it lies.

    rows: number of windows to show, spread evenly over the index. path: a local file, or None to
    put the page into the dataset. where: a filter on the windows that are shown; all are counted.
    Reads the tables and those windows, nothing else.
    """
    values = _values(tree, dataset, rows, where)
    return write_page(tree, PAGE, render("dataset.html.j2", values), path)


def _values(tree: Tree, dataset: DatasetRecord, rows: int, where: str) -> dict[str, Any]:
    index = opened_index(tree)
    texts = TextCounts.of(index)
    counts = dataset.counts
    shown = []
    if index.num_rows:
        shown = [
            _shown_window(read_row(tree, entry), entry["key"])
            for entry in choose_windows(tree, rows, None, where)[0]
        ]
    return {
        "name": tree.name.rstrip("/").rsplit("/", 1)[-1],
        "place": tree.name,
        "dataset": dataset,
        "videos": _bars(
            {
                "done": counts.done,
                "rejected": counts.rejected,
                "quarantined": counts.quarantined,
            }
        ),
        "windows": _bars({"written": counts.windows, "rejected": counts.windows_rejected}),
        "reasons": _ranked(Counter(counts.reasons)),
        "window_reasons": _ranked(Counter(counts.window_reasons)),
        "ignored": _ranked(Counter(counts.ignored_files)),
        "unused": _ranked(Counter(counts.unused_rows)),
        "notes": [printable(note) for note in dataset.notes],
        "histograms": _histograms(index),
        "shown": shown,
        "wheel": picture(wheel_legend(96), lossless=True),
        "texts": _ranked(texts.most(SHOWN_TEXTS)),
        "distinct": texts.distinct,
        "without_text": texts.empty,
        "rejects": _rejects(tree),
        "salvaged": _salvaged(tree),
        "limit": SHOWN_REJECTS,
        "config": list(_flat(dataset.config)),
        "provenance": list(_flat(dataset.provenance)),
    }


def _bars(parts: Mapping[str, int]) -> list[Bar]:
    total = sum(parts.values()) or 1
    return [Bar(name, number, 100 * number / total) for name, number in parts.items()]


def _ranked(parts: Counter[str]) -> list[Bar]:
    """Most frequent first; a bar of 100 % is the most frequent."""
    most = max(parts.values(), default=1) or 1
    ordered = sorted(parts.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(printable(name), number, 100 * number / most) for name, number in ordered]


def _histograms(index: Index) -> list[Histogram]:
    """One column after the other is in memory, as numbers."""
    made = [
        histogram("length", "s", column(index, "end_s") - column(index, "start_s")),
        histogram("mean motion", "px a step", column(index, "mean_px")),
        histogram("99th percentile of motion", "px a step", column(index, "p99_px")),
        histogram("share of pixels that move", "", column(index, "active_share")),
        histogram("camera motion", "px a step", column(index, "camera_px")),
        histogram("mean error of the codec", "px", column(index, "error_mean_px")),
        *(histogram(name, "", column(index, name)) for name in quality_names(index)),
    ]
    return [each for each in made if each is not None]


def _shown_window(row: SheetRow, key: str) -> ShownWindow:
    scale, steps = flow_scale(row.flow), flow_steps(row.flow)
    flows = [
        Tile(f"flow, step {step + 1}", picture(flow_to_rgba(row.flow[step], scale), lossless=True))
        for step in steps
    ]
    first, last = Tile("first frame", picture(row.first)), Tile("last frame", picture(row.last))
    return ShownWindow(
        name=printable(row.name),
        key=key,
        text=printable(row.caption),
        tiles=(first, *flows, last),
        scale_px=scale,
    )


def _rejects(tree: Tree) -> list[dict[str, str]]:
    """Videos that are not done, quarantined ones first."""
    names = ("status", "video", "reason", "detail")
    rows = rejected_videos(tree)
    rows.sort(key=lambda row: (row["status"] != "quarantined", row["reason"], row["video"]))
    return [{name: printable(row[name]) for name in names} for row in rows]


def _salvaged(tree: Tree) -> list[dict[str, Any]]:
    """Videos that are done and of which something was lost, those that lost most first."""
    rows = salvaged_videos(tree)
    rows.sort(key=lambda row: (-row["frames_lost"], -row["missing_s"], row["id"]))
    names = ("frames_lost", "frames_undated", "missing_s")
    return [
        {"video": printable(row["id"]), "what": printable(row["salvaged"])}
        | {name: row[name] for name in names}
        for row in rows
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (a.b.c, value), in their order."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield printable(f"{above}{key}"), printable(str(value))
