"""The trim list of a dataset: the idle parts of its videos, which `windows.trim` has set aside.

    video,start_s,end_s,at,uri,span_start_s,episode

`start_s` and `end_s` are on the clock of the file, as all times of a dataset; where a video is a
span of its file, as an episode of LeRobot v3 is, `span_start_s` is when it begins there, so that
`start_s - span_start_s` is the time within it. `at`: start or end of the video, inside it, or all
of it: whole.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from sofdata.errors import ConfigError
from sofdata.shards.layout import INDEX, PLAN, REJECTS
from sofdata.shards.parquet import needed_table
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.windows.trim import IDLE

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("video", "start_s", "end_s", "at", "uri", "span_start_s", "episode")
TrimFormat = Literal["csv", "json"]


def trim_list(dest: Tree, dataset: DatasetRecord) -> list[dict[str, Any]]:
    """A row an idle part, by video and time.

    dataset: the record of `dest`. Memory is that of the times of all windows and rejects. Raises
    `ConfigError` where the dataset was made without `windows.trim`, `InputError` where a table is
    damaged.
    """
    windows = dataset.config.get("windows")
    if not isinstance(windows, dict) or not windows.get("trim"):
        raise ConfigError(
            f"{dest.name} was ingested without windows.trim, so that nothing was trimmed: ingest "
            "into another folder with --set windows.trim=true"
        )
    parts = _parts(dest)
    ends = _ends(dest)
    rows = [row | {"at": _at(row, *ends[row["video"]])} for row in parts.to_pylist()]
    told = _told(dest, {row["video"] for row in rows})
    return [{name: (row | told[row["video"]])[name] for name in COLUMNS} for row in rows]


def as_text(rows: list[dict[str, Any]], format: TrimFormat) -> str:
    """A trim list as the content of a file. Times are to the microsecond."""
    rounded = [
        row | {name: round(row[name], 6) for name in ("start_s", "end_s", "span_start_s")}
        for row in rows
    ]
    if format == "json":
        return json.dumps(rounded, indent=1, ensure_ascii=False) + "\n"
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rounded)
    return buffer.getvalue()


def _parts(dest: Tree) -> pa.Table:
    import pyarrow.compute as pc

    rejects = needed_table(dest, REJECTS, ["kind", "video", "start_s", "end_s", "reason"])
    idle = pc.and_(pc.equal(rejects["kind"], "window"), pc.equal(rejects["reason"], IDLE))
    order = [("video", "ascending"), ("start_s", "ascending")]
    return rejects.filter(idle).select(["video", "start_s", "end_s"]).sort_by(order)


def _ends(dest: Tree) -> dict[str, tuple[float, float]]:
    """When the first and the last frame of each video are shown, s: each lies in a window, or in
    what is set aside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    index = needed_table(dest, INDEX, ["source", "start_s", "end_s"])
    rejects = needed_table(dest, REJECTS, ["kind", "video", "start_s", "end_s"])
    rejects = rejects.filter(pc.equal(rejects["kind"], "window")).drop_columns(["kind"])
    renamed = index.rename_columns(["video", "start_s", "end_s"])
    both = pa.concat_tables([renamed.cast(rejects.schema), rejects])
    found = both.group_by("video").aggregate([("start_s", "min"), ("end_s", "max")])
    columns = (found[name].to_pylist() for name in ("video", "start_s_min", "end_s_max"))
    return {video: (start, end) for video, start, end in zip(*columns, strict=True)}


def _at(row: dict[str, Any], first_s: float, last_s: float) -> str:
    begins, ends = row["start_s"] == first_s, row["end_s"] == last_s
    return "whole" if begins and ends else "start" if begins else "end" if ends else "inside"


def _told(dest: Tree, videos: set[str]) -> dict[str, dict[str, Any]]:
    """What the plan says of videos: uri, where the span begins (0 for a whole file), and, of
    LeRobot, the episode."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plan = needed_table(dest, PLAN, ["id", "uri", "span_start_s", "labels"])
    chosen = plan.filter(pc.is_in(plan["id"], value_set=pa.array(sorted(videos), pa.string())))
    return {
        row["id"]: {
            "uri": row["uri"],
            "span_start_s": row["span_start_s"] or 0.0,
            "episode": json.loads(row["labels"]).get("episode", ""),
        }
        for row in chosen.to_pylist()
    }
