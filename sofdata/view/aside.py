"""The pages of what is not there: videos and windows set aside, with reasons, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.errors import ConfigError
from sofdata.ui.text import printable
from sofdata.view.answers import Answer, address, html
from sofdata.view.cards import paged, shortened
from sofdata.view.opened import Opened
from sofdata.view.query import LONGEST, MOST_WORDS
from sofdata.view.shelf import Shelf

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = {
    "video": "videos not done",
    "window": "windows rejected",
    "salvaged": "videos done in part",
}
ROWS = 50  # of a page
ASKED = ("kind", "status", "reason", "q")


def aside_page(opened: Opened, shelf: Shelf, given: Mapping[str, str]) -> Answer:
    """What was set aside and why, or what was salvaged. Raises `ConfigError` for another kind."""
    kind = given.get("kind", "") or "video"
    if kind not in KINDS:
        raise ConfigError(f"kind is one of {', '.join(KINDS)}, got {kind!r:.40}")
    asked = {name: given.get(name, "") for name in ASKED} | {"kind": kind}
    table = _salvaged(opened) if kind == "salvaged" else _rejected(opened, kind)
    reasons = {} if kind == "salvaged" else _counts(table, "reason")
    statuses = {} if kind == "salvaged" else _counts(table, "status")
    table = _narrowed(table, asked)
    part, pager = paged(
        table.num_rows, given, lambda page: address("aside", **asked, page=page), ROWS
    )
    rows = table.slice(part.start, part.stop - part.start).to_pylist()
    values = {
        "asked": asked,
        "kinds": {name: (KINDS[name], address("aside", kind=name)) for name in KINDS},
        "reasons": {printable(name): number for name, number in reasons.items()},
        "statuses": statuses,
        "rows": [_row(row) for row in rows],
        "pager": pager,
        "replay": shelf.replay_command(opened, "VIDEO"),
    }
    return html("aside.html.j2", {**shelf.head(opened, "aside"), **values})


def _rejected(opened: Opened, kind: str) -> pa.Table:
    import pyarrow.compute as pc

    table = opened.rejects.filter(pc.equal(opened.rejects["kind"], kind))
    return table.sort_by([("status", "ascending"), ("reason", "ascending")])


def _salvaged(opened: Opened) -> pa.Table:
    """Videos that are done and of which something was lost, as rows like those of rejects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = opened.videos
    table = table.filter(
        pc.and_(pc.equal(table["status"], "done"), pc.not_equal(table["salvaged"], ""))
    )
    blank = pa.nulls(table.num_rows, pa.string()).fill_null("")
    columns = {"video": table["id"], "detail": table["salvaged"], "reason": blank}
    for name in ("frames_lost", "frames_undated", "missing_s"):  # absent in datasets before them
        columns[name] = table[name] if name in table.column_names else pa.nulls(table.num_rows)
    return pa.table({**columns, "status": table["status"], "windows": table["windows"]})


def _counts(table: pa.Table, name: str) -> dict[str, int]:
    found = {each["values"]: each["counts"] for each in table[name].value_counts().to_pylist()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _narrowed(table: pa.Table, asked: Mapping[str, str]) -> pa.Table:
    import pyarrow.compute as pc

    for name in ("status", "reason"):
        if asked[name]:
            table = table.filter(pc.equal(table[name], asked[name]))
    for word in asked["q"][:LONGEST].split()[:MOST_WORDS]:
        found = [
            pc.match_substring(table[name], word, ignore_case=True) for name in ("video", "detail")
        ]
        table = table.filter(pc.or_(*found))
    return table


def _row(row: dict[str, Any]) -> dict[str, Any]:
    lost = {name: row.get(name) for name in ("frames_lost", "frames_undated", "missing_s")}
    start_s, end_s = row.get("start_s"), row.get("end_s")
    has_span = start_s is not None and end_s is not None and np.isfinite([start_s, end_s]).all()
    return {
        "video": shortened(row["video"], 120),
        "address": address("video", id=row["video"]),
        "status": printable(row["status"]),
        "reason": printable(row["reason"]),
        "detail": shortened(row["detail"], 1000),
        "window": row.get("window"),
        "span": f"{start_s:.2f} – {end_s:.2f} s" if has_span else "",
        "lost": _lost(lost),
        "windows": row.get("windows"),
    }


def _lost(lost: Mapping[str, Any]) -> str:
    words = {
        "frames_lost": "{} frames lost",
        "frames_undated": "{} frames without a time",
        "missing_s": "{:.2f} s missing",
    }
    return ", ".join(text.format(lost[name]) for name, text in words.items() if lost[name])
