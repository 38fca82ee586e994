"""What adapters share whose tables name files by their stem: finding the files, checking the spans.

A stem may be that of several files: class folders hold 0.mp4 each, and a clip may lie here in two
containers. None of them is lost: an adapter that knows files by their stem uses the first and
rejects the others (`spare_entry`), and one that does not makes an input of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES, is_meant_as_video, is_other_folder
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import csvfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

Span = tuple[float, float]

# Why rows of tables and files are not used, as they are counted
NO_FILE = "row without a file"
REPEATED = "repeated row"
NO_ROW = "video of no row"


@dataclass(slots=True)
class VideoFiles:
    """The videos of a folder by the stem of their names, and what else lies there.

    by_stem: all files of a stem; the one to use comes first.
    claimed: what the adapter wants to look at itself, in the order of the walk; it puts each into
    the tables of the listing, or counts it in `ignored`.
    """

    by_stem: dict[str, list[Item]] = field(default_factory=dict)
    claimed: list[Item] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)

    def __iter__(self) -> Iterator[Item]:
        for items in self.by_stem.values():
            yield from items

    def first(self, stem: str) -> Item | None:
        """The file to use for a stem, None where there is none."""
        return self.by_stem[stem][0] if stem in self.by_stem else None

    def spare(self, stem: str) -> list[Entry]:
        """The other files of a stem, as rejects."""
        used, *others = self.by_stem[stem]
        return [spare_entry(item, used) for item in others]

    def ignore(self, items: Iterable[Item]) -> None:
        for item in items:
            count_ignored(self.ignored, item)


def find_videos(
    tree: Tree,
    claim: Callable[[Item], bool] = lambda item: False,
    last: Callable[[str], bool] = lambda rel: False,
) -> VideoFiles:
    """Look through a folder. Files of other suffixes than videos have are known by their content.

    claim: whether the adapter wants a file that is neither hidden nor a video.
    last: whether a file, by its path, is to be used only if there is no other of its stem.
    """
    found = VideoFiles()
    for item in tree.walk():
        if is_hidden(item.rel) or is_other_folder(item):
            count_ignored(found.ignored, item)
        elif claim(item) and suffix(item.rel) not in VIDEO_SUFFIXES:
            found.claimed.append(item)
        elif is_meant_as_video(tree, item):
            found.by_stem.setdefault(stem_of(item.rel), []).append(item)
        else:
            count_ignored(found.ignored, item)
    for items in found.by_stem.values():
        items.sort(key=lambda item: (bool(item.problem), not item.size_bytes, last(item.rel)))
    return found


def has_columns(tree: Tree, rel: str, columns: Collection[str]) -> bool:
    """Whether a file is a CSV table with these columns; False for one that cannot be read."""
    try:
        return set(columns) <= set(csvfile.columns(tree, rel))
    except ConfigError:  # a dangling link, a file that may not be read
        return False


def stem_of(rel: str) -> str:
    """The name of a file without its suffix."""
    return rel.rsplit("/", 1)[-1].rpartition(".")[0]


def spare_entry(item: Item, used: Item) -> Entry:
    """A file that by its name holds what another file holds, as a reject under its path."""
    return Entry(
        id=item.rel,
        uri=item.uri,
        size_bytes=item.size_bytes,
        problem=item.problem or "duplicate_id",
        detail=item.detail or f"by its name it is what {used.rel} is, which is used",
    )


def span_entry(
    id: str,
    item: Item,
    span_s: Span | None,
    *,
    place: str,
    text: str = "",
    labels: Mapping[str, str] | None = None,
) -> Entry:
    """A span of a file as an input, or as a reject that names its place in a table.

    span_s: None for the whole file. place: the table and the line, for a person. labels: those that
    are "" are left out.
    """
    problem, detail = item.problem, item.detail
    if problem:
        detail = f"{place}: {detail}"
    elif span_s is not None and not (0 <= span_s[0] < span_s[1] < math.inf):
        problem = "bad_span"
        detail = f"{place}: {span_s[0]} s to {span_s[1]} s is no stretch of a video"
    return Entry(
        id=id,
        uri=item.uri,
        size_bytes=item.size_bytes,
        span_s=None if problem else span_s,
        text=text,
        labels={key: value for key, value in (labels or {}).items() if value},
        problem=problem,
        detail=detail,
        stamp=item.stamp,
    )
