"""What adapters share whose tables name spans of files: finding the files, checking the spans."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sofdata.corpora.base import Entry, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.storage import Tree
from sofdata.walk import Item

Span = tuple[float, float]


@dataclass(slots=True)
class VideoFiles:
    """The videos of a folder by the stem of their names, and what else lies there.

    spare: videos of a stem that came before.
    """

    by_stem: dict[str, Item] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    spare: list[str] = field(default_factory=list)


def find_videos(tree: Tree, tables: Iterable[str]) -> VideoFiles:
    """Look through a folder; `tables` are files of the corpus that are no videos."""
    found, known = VideoFiles(), set(tables)
    for item in tree.walk():
        name = item.rel.rsplit("/", 1)[-1]
        if suffix(name) in VIDEO_SUFFIXES and not is_hidden(item.rel):
            stem = name.rpartition(".")[0]
            if found.by_stem.setdefault(stem, item) is not item:
                found.spare.append(item.rel)
        elif item.rel not in known:
            count_ignored(found.ignored, item.rel, item.problem)
    return found


def span_entry(
    id: str,
    item: Item,
    span_s: Span | None,
    place: str,
    text: str = "",
    labels: Mapping[str, str] | None = None,
) -> Entry:
    """A span of a file as an input, or as a reject that names its place in a table."""
    problem, detail = item.problem, item.detail
    if problem:
        detail = f"{place}: {detail}"
    elif span_s is not None and not (0 <= span_s[0] < span_s[1] < math.inf):
        problem = "bad_span"
        detail = f"{place}: {span_s[0]} s to {span_s[1]} s is no stretch of a video"
    return Entry(
        id=id,
        uri=item.rel,
        size_bytes=item.size_bytes,
        span_s=None if problem else span_s,
        text=text,
        labels={key: value for key, value in (labels or {}).items() if value},
        problem=problem,
        detail=detail,
    )


def missing(uri: str, what: str) -> Item:
    """Stands for a file that a table names and that is not there."""
    return Item(uri, 0, "no_file", what)
