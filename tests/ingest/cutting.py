"""Units of videos that lie nowhere, and how much work it takes to make something."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.plan import make_plan
from sofdata.ingest.units import Unit
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef


def cut(videos: Iterable[VideoRef], config: IngestConfig) -> tuple[Unit, ...]:
    """The units of a plan of these videos."""
    entries = [
        Entry(
            id=video.id,
            uri=video.uri,
            size_bytes=video.size_bytes,
            span_s=video.span_s,
            text=video.text,
            labels=video.labels,
            fingerprint=video.fingerprint,
        )
        for video in videos
    ]
    return make_plan(Tree("/"), Listing.of(entries, {}), config).units[:]


def calls(work: Callable[[], object]) -> int:
    """How many functions are called meanwhile, in this thread: counted, not timed."""
    number = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number
