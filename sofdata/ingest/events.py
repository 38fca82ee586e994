"""What an engine tells while it works: values that any display can follow."""

from __future__ import annotations

from dataclasses import dataclass

from sofdata.shards.schema import LedgerRecord, VideoRecord


@dataclass(frozen=True, slots=True)
class Ready:
    """The first worker is up."""


@dataclass(frozen=True, slots=True)
class VideoDone:
    """A video has ended, in one way or another; its unit is not committed yet."""

    unit: str
    video: VideoRecord


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit is committed.

    node: address of the node that ran it; "" for this process.
    """

    record: LedgerRecord
    node: str = ""


@dataclass(frozen=True, slots=True)
class UnitRetried:
    """A worker failed and its unit starts again; its videos of this try do not count."""

    unit: str
    why: str


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """A node of the cluster takes part in the work."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is gone; the units that it ran start again elsewhere."""

    node: str


Event = Ready | VideoDone | UnitDone | UnitRetried | NodeJoined | NodeLost
