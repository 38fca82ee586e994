"""What an engine reports while it works: values that any display can follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sofdata.shards.schema import Status

if TYPE_CHECKING:  # whoever displays events need not load what decodes videos
    from sofdata.ingest.splitting.split import VideoSplit


@dataclass(frozen=True, slots=True)
class Ready:
    """The first worker is up."""


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """So far a video has been worked through; about once a second, of videos that take longer.

    unit, video: their ids. done_s: seconds of the video, or of its part that is used, that are
    done. total_s: that there are, as far as its file says; 0 where it does not.
    size_bytes: as that of `VideoDone`.
    """

    unit: str
    video: str
    done_s: float
    total_s: float
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SplitOpened:
    """A long video is open, of which other workers of its node may do parts; for engines alone."""

    split: VideoSplit


@dataclass(frozen=True, slots=True)
class VideoDone:
    """A video has ended, in one way or another; its unit is not committed yet.

    unit, video: their ids. reason: why it is not done, "" if it is.
    windows, frames: that were written and sampled. is_salvaged: whether some of it was lost.
    seconds: between its first and last sampled frame. span_s: what the plan has said of them, 0
    where all of a file is used. size_bytes: of such a file, by which its seconds were guessed; 0
    for a span.
    taken_over: its samples were there before; nothing was decoded.
    """

    unit: str
    video: str
    status: Status
    reason: str = ""
    windows: int = 0
    frames: int = 0
    is_salvaged: bool = False
    seconds: float = 0.0
    span_s: float = 0.0
    size_bytes: int = 0
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit is committed.

    unit: its id. videos, windows: numbers of those in the record that now stands, which lies in
    the dataset: events carry counts only, since a driver has to take them from a thousand workers.
    node: address of the node that ran it; "" for this process.
    kept: why the record is the one that stood before: what would have become worse.
    """

    unit: str
    videos: int
    windows: int
    node: str = ""
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitKept:
    """A unit is not committed, since its damaged earlier result was better; that one is kept.

    worse: what would have become worse, a sentence each.
    """

    unit: str
    worse: tuple[str, ...]


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


Event = (
    Ready
    | VideoProgress
    | SplitOpened
    | VideoDone
    | UnitDone
    | UnitKept
    | UnitRetried
    | NodeJoined
    | NodeLost
)
