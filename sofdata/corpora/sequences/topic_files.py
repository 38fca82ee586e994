"""Files of recordings with what a look into each says, and which of them are one recording."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sofdata.corpora.sequences.looking import NotRead
from sofdata.corpora.sequences.topic_looks import NS, Look
from sofdata.storage.walk import Item

GOES_ON_S = 1.0  # from the end of a file to the start of the next one of a recording
# run_0.mcap, run_1.db3.zstd, run_2026-01-31-12-00-00_3.bag: `rosbag record --split` puts into each
# name when its file was begun.
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})((?:\.[a-z0-9]+)*)")
_BEGAN = re.compile(r"[0-9]{4}(-[0-9]{2}){5}")


@dataclass(frozen=True, slots=True)
class File:
    """A file, and what a look into it says."""

    item: Item
    said: Look | NotRead

    @property
    def look(self) -> Look:
        assert isinstance(self.said, Look)
        return self.said

    def id_of(self, topic: str) -> str:
        """Of a video: where its recording lies, and the topic."""
        folder = "" if self.item.rel == "." else f"{self.item.rel}/"
        return f"{folder}{topic.lstrip('/')}"


def recordings(files: Sequence[File]) -> dict[str, str]:
    """The name of the recording of each file: that of the first of its files."""
    series: dict[tuple[str, str, tuple[str, ...]], list[tuple[int, int, File]]] = defaultdict(list)
    names = {}
    for file in files:
        names[file.item.rel] = file.item.rel
        numbered = _NUMBERED.fullmatch(file.item.rel)
        if numbered and isinstance(file.said, Look) and file.look.span_ns:
            topics = tuple(sorted(topic.topic for topic in file.look.topics))
            key = _BEGAN.sub("", numbered[1]), numbered[3], topics
            series[key].append((file.look.span_ns[0], int(numbered[2]), file))
    for each in series.values():
        each.sort(key=lambda one: one[:2])
        for (_, number, before), (_, after, file) in itertools.pairwise(each):
            if number < after and _goes_on(before.look, file.look):
                names[file.item.rel] = names[before.item.rel]
    return names


def _goes_on(before: Look, after: Look) -> bool:
    """Whether the log of a file begins where that of another ends."""
    assert before.span_ns is not None
    assert after.span_ns is not None
    gap_s = (after.span_ns[0] - before.span_ns[1]) / NS
    return abs(gap_s) <= GOES_ON_S and after.span_ns[0] >= before.span_ns[0]
