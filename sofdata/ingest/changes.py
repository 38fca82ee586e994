"""A source that is no longer what a dataset was planned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sofdata.errors import ConfigError
from sofdata.ingest.plan import Plan

SHOWN = 3
LEAST_SHARED = 0.5


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


def shared(known: Plan, now: Plan) -> int:
    """How many of the planned videos are there now with the same content, whatever is said of them.

    Those that were refused when they were planned count if they are there.
    """
    there = {video.id: (video.size_bytes, video.fingerprint) for video in now.all_videos()}
    names = there.keys() | {refused.id for refused in now.refused}
    same = sum(
        there.get(video.id) == (video.size_bytes, video.fingerprint) for video in known.all_videos()
    )
    return same + sum(refused.id in names for refused in known.refused)


def check_is_the_source(known: Plan, now: Plan, source: str, dest: str) -> None:
    """Raise `ConfigError` if a source shares less than half of the planned videos.

    It is the wrong folder then, more often than not, and an update would retire what was done.
    """
    same = shared(known, now)
    if same < LEAST_SHARED * known.videos:
        raise ConfigError(
            f"{source} holds {same} of the {known.videos} videos that {dest} was planned from, and "
            f"{now.videos - same} others: is it the right source? '--update' would retire the "
            f"results of {known.videos - same} videos; '--update --yes' does so"
        )


def _inputs(plan: Plan) -> dict[str, dict[str, Any]]:
    rows = {}
    for row in plan.rows():
        rows[row["id"]] = {key: row[key] for key in row if key not in ("unit", "ordinal", "detail")}
    return rows


def _few(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
