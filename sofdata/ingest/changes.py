"""A source that is no longer what a dataset was planned from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sofdata.config import IngestConfig
from sofdata.ingest.plan import Plan, Unit, cut

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids of the inputs that are new, gone, or not what they were."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.changed)

    def __str__(self) -> str:
        parts = {"new": self.new, "gone": self.gone, "changed": self.changed}
        return ", ".join(f"{len(ids)} {what} ({_few(ids)})" for what, ids in parts.items() if ids)


def find_changes(known: Plan, now: Plan) -> Changes:
    """Compare the inputs of two plans, whatever their units."""
    before, after = _inputs(known), _inputs(now)
    return Changes(
        new=tuple(sorted(after.keys() - before.keys())),
        gone=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(
            sorted(id_ for id_ in before.keys() & after.keys() if before[id_] != after[id_])
        ),
    )


def merge(known: Plan, now: Plan, config: IngestConfig) -> tuple[Plan, tuple[Unit, ...]]:
    """A plan for what is there now that keeps every unit whose videos are all as they were.

    The other videos are cut into new units with numbers of their own. Returns the plan and the
    units of the old one that are no more.
    """
    changes = find_changes(known, now)
    touched = {*changes.gone, *changes.changed}
    kept = [unit for unit in known.units if not any(v.id in touched for v in unit.videos)]
    in_kept = {video.id for unit in kept for video in unit.videos}
    videos = [video for unit in now.units for video in unit.videos if video.id not in in_kept]
    first = 1 + max((unit.ordinal for unit in known.units), default=-1)
    added = [
        replace(unit, ordinal=first + unit.ordinal)
        for unit in cut(sorted(videos, key=lambda video: video.id), config)
    ]
    retired = tuple(unit for unit in known.units if unit not in kept)
    return replace(now, units=(*kept, *added)), retired


def _inputs(plan: Plan) -> dict[str, dict[str, Any]]:
    rows = {}
    for row in plan.rows():
        rows[row["id"]] = {key: row[key] for key in row if key not in ("unit", "ordinal", "detail")}
    return rows


def _few(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
