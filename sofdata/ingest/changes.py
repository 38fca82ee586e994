"""A source that is no longer what a dataset was planned from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sofdata.errors import ConfigError
from sofdata.ingest.generation import known_inputs
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan, Input, stored_input
from sofdata.ingest.units import video_inputs
from sofdata.shards.schema import LedgerRecord

SHOWN = 3
UNREADABLE = ("dangling_link", "empty", "unreadable", "unreadable_folder")
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


def find_changes(known: IngestPlan, now: IngestPlan) -> Changes:
    """Compare the inputs of two plans, regardless of units."""
    before, after = known.inputs(), now.inputs()
    return Changes(
        new=tuple(sorted(after.keys() - before.keys())),
        gone=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(
            sorted(id_ for id_ in before.keys() & after.keys() if _differ(before[id_], after[id_]))
        ),
    )


def shared(known: IngestPlan, now: IngestPlan) -> int:
    """How many of the planned videos are there now with the same content.

    What the corpus says of them does not matter. Those that were refused when they were planned
    count if they are there.
    """
    there = {video.id: (video.size_bytes, video.fingerprint) for video in now.all_videos()}
    names = there.keys() | {refused.id for refused in now.refused}
    same = sum(
        there.get(video.id) == (video.size_bytes, video.fingerprint) for video in known.all_videos()
    )
    return same + sum(refused.id in names for refused in known.refused)


def check_is_the_source(known: IngestPlan, now: IngestPlan, source: str, dest: str) -> None:
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


def check_can_be_read(known: IngestPlan, now: IngestPlan, source: str, dest: str) -> None:
    """Raise `ConfigError` if videos that were planned are still listed, but none to be used.

    A disk that fails or is not mounted looks like that: links that dangle, empty files, folders
    that cannot be entered. Files that are gone do not: to remove some is what updates are for.
    """
    refused = {each.id: each.reason for each in now.refused if each.reason in UNREADABLE}
    refused |= {video.id: "empty" for video in now.all_videos() if not video.size_bytes}
    folders = tuple(f"{each.id}/" for each in now.refused if each.reason == "unreadable_folder")
    lost = [
        f"{video.id} ({refused.get(video.id, 'unreadable_folder')})"
        for video in known.all_videos()
        if (video.id in refused and video.size_bytes) or (folders and video.id.startswith(folders))
    ]
    if lost:
        raise ConfigError(
            f"{len(lost)} of the {known.videos} videos that {dest} was planned from cannot be used "
            f"in {source} now: {_few(tuple(lost))}. '--update' would retire their results: see "
            "that the source is whole; '--update --yes' takes it as it is"
        )


def check_accounts_for(
    records: Iterable[LedgerRecord], now: IngestPlan, names: tuple[str, str], mode: Mode
) -> None:
    """Raise `ConfigError` if a source does not hold the videos of a dataset that has lost its plan.

    records: of its committed units. names: of source and destination. With `Mode.UPDATE` half of
    the videos are enough, and none with `Mode.FORCE` as well, as where there is a plan to compare.
    """
    source, dest = names
    there = {video.id: video for video in now.all_videos()}
    planned = {unit.id for unit in now.units}
    lost, videos = [], 0
    for record in records:
        videos += len(record.videos)
        if record.unit in planned:
            continue
        inputs = known_inputs(record, there)
        lost += [
            video.id
            for video in record.videos
            if video.id not in there or inputs.get(video.id) != video_inputs(there[video.id])
        ]
    enough = Mode.FORCE in mode or len(lost) <= LEAST_SHARED * videos
    if not lost or (Mode.UPDATE in mode and enough):
        return
    raise ConfigError(
        f"{dest} has lost its plan, and {source} does not hold {len(lost)} of the {videos} videos "
        f"that it has results of, as they were ({_few(tuple(lost))}): is it the right source? "
        "'--update' retires the results of what is gone or changed, '--update --yes' even if that "
        "is more than half"
    )


def _differ(one: Input, other: Input) -> bool:
    """Whether a plan stores two inputs differently. Most are equal, which is found faster."""
    return one != other and stored_input(one) != stored_input(other)


def _few(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
