"""The pages of windows: all that a search finds, one of them, and all of a video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from sofdata.errors import ConfigError, InputError
from sofdata.ingest.inputs import Refused
from sofdata.pictures.sheet import flow_scale
from sofdata.ui.text import printable
from sofdata.view.answers import Answer, NotThere, address, html
from sofdata.view.cards import PAGE, cards, paged, shortened, whole_number
from sofdata.view.codemap import spread
from sofdata.view.opened import Opened, rejected_windows
from sofdata.view.query import ORDERS, Query
from sofdata.view.shelf import Shelf

ASKED = ("q", "cut", "video", "corpus", "least", "most", "where", "order")
MOST_MARKS = 2000  # on the time line of a video
ALIKE = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A window on the time line of a video, in thousandths of its length. kind: written, or why
    it was rejected."""

    left: float
    width: float
    kind: str
    title: str
    address: str


def windows_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """What a search finds; of one that is none, what is wrong with it, above what was typed.

    Raises `ConfigError` for a page that is no number.
    """
    asked = {name: given.get(name, "") for name in ASKED}
    query, rows, wrong = Query(), np.empty(0, np.int64), ""
    try:
        query = Query.of(given)
        rows = opened.found(query)
    except ConfigError as error:
        wrong = printable(str(error))
    part, pager = paged(len(rows), given, lambda page: address("./", **asked, page=page))
    values = {
        "asked": asked,
        "cards": cards(opened, rows[part]),
        "pager": pager,
        "cuts": opened.cuts,
        "corpora": opened.corpus_names,
        "orders": ORDERS,
        "columns": opened.columns,
        "is_all": query.is_plain and not wrong,
        "total": opened.windows,
        "wrong": wrong,
    }
    status = HTTPStatus.BAD_REQUEST if wrong else HTTPStatus.OK
    return html("windows.html.j2", {**shelf.head(opened, "windows"), **values}, status)


def window_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """One window: its flow beside the frames of its video, and all that the tables say."""
    number = whole_number(given, "row")
    row = opened.row(number)
    wrong = ""
    try:
        sample = opened.sample(number)
    except InputError as error:
        sample, wrong = None, printable(str(error))
    skills, unread = shelf.skills_of(opened, given.get("skills", ""))
    values = {
        "row": number,
        "wrong": wrong,
        "video": printable(row["source"]),
        "window": row["window"],
        "video_address": address("video", id=row["source"]),
        "text": printable(row["text"]),
        "facts": _facts(row),
        "player": _player(sample) if sample else None,
        "labels": _printable_pairs(sample.record.labels) if sample else [],
        "no_frames": shelf.why_no_frames(opened, row["source"]),
        "neighbours": _neighbours(opened, number, row["source"]),
        "skills": skills.name if skills else "",
        "tokens": skills.values[number].tolist() if skills and skills.codebook else [],
        "alike": cards(opened, skills.alike(number, ALIKE)) if skills else [],
        "unread": unread,
        "command": shelf.movie_command(opened, row["source"]),
    }
    return html("window.html.j2", {**shelf.head(opened, "windows"), **values})


def video_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """A video: how it ended, where its windows lie, and those that were written."""
    id = given.get("id", "")
    video, ref = opened.video(id), opened.ref(id)
    if video is None and ref is None:
        raise NotThere(f"the dataset has no video {shortened(id)!r}")
    rows = opened.found(Query(source=id))
    part, pager = paged(len(rows), given, lambda page: address("video", id=id, page=page))
    rejected = rejected_windows(opened, id)
    values = {
        "id": printable(id),
        "video": {name: printable(_shown(value)) for name, value in (video or {}).items()},
        "refused": isinstance(ref, Refused),
        "uri": printable(ref.uri) if ref else "",
        "text": printable(ref.text) if ref and not isinstance(ref, Refused) else "",
        "labels": _printable_pairs(dict((video or {}).get("labels") or {})),
        "no_frames": shelf.why_no_frames(opened, id),
        "marks": _marks(opened, rows.tolist(), rejected),
        "rejected": [{**each, "reason": printable(each["reason"])} for each in rejected[:PAGE]],
        "rejected_total": len(rejected),
        "note": {k: printable(str(v)) for k, v in opened.quarantine_note(id).items()},
        "cards": cards(opened, rows[part]),
        "pager": pager,
        "command": shelf.movie_command(opened, id),
        "replay": shelf.replay_command(opened, id),
    }
    return html("video.html.j2", {**shelf.head(opened, "windows"), **values})


def _player(sample: Any) -> dict[str, Any]:
    """What the player needs: times, and the shape in which the video was seen."""
    record = sample.record
    height, width = record.video_size
    wide = width / height if record.fit == "stretch" and height and width else 1.0
    return {
        "times": " ".join(f"{at_s:.3f}" for at_s in record.pts_s),
        "steps": len(sample.flow),
        "scale_px": flow_scale(sample.flow),
        "wide": f"{min(max(wide, 0.4), 3.0):.4f}",
        "start_s": record.pts_s[0],
        "end_s": record.pts_s[-1],
    }


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    """All columns of the index but those that stand elsewhere on the page."""
    left_out = {"labels", "text", "source", "window"}
    return [
        (printable(name), _shown(value))
        for name, value in row.items()
        if name not in left_out and value is not None
    ]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return shortened(str(value), 400)


def _printable_pairs(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(printable(key), shortened(str(value), 400)) for key, value in sorted(labels.items())]


def _neighbours(opened: Opened, number: int, source: str) -> dict[str, str]:
    """The windows before and after of the same video, as far as they stand beside this one."""
    near = [each for each in (number - 1, number + 1) if 0 <= each < opened.windows]
    found = dict(zip(near, opened.rows(near, ["source"]), strict=True))
    same = [each for each, row in found.items() if row["source"] == source]
    names = {number - 1: "before", number + 1: "after"}
    return {names[each]: address("window", row=each) for each in same}


def _marks(opened: Opened, rows: list[int], rejected: list[dict[str, Any]]) -> list[Mark]:
    """The time line: windows that were written, and those that were not."""
    shown = spread(np.array(rows, np.int64), MOST_MARKS).tolist()
    spans = opened.rows(shown, ["window", "start_s", "end_s"])
    ends = [each["end_s"] for each in (*spans, *rejected) if each["end_s"] is not None]
    whole_s = max(ends, default=0.0) or 1.0

    def mark(each: dict[str, Any], kind: str, to: str) -> Mark:
        start_s, end_s = each["start_s"] or 0.0, each["end_s"] or 0.0
        title = f"window {each['window']}, {start_s:.2f} – {end_s:.2f} s: {kind}"
        width = max(2.0, 1000 * (end_s - start_s) / whole_s)
        return Mark(1000 * start_s / whole_s, width, kind, printable(title), to)

    made = [
        mark(each, "written", address("window", row=row))
        for row, each in zip(shown, spans, strict=True)
    ]
    return made + [mark(each, each["reason"], "") for each in rejected[:MOST_MARKS]]
