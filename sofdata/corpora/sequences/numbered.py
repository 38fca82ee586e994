"""The sequences of numbered pictures of a source: in folders, and in tars and zips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sofdata.corpora.base import suffix
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.found import Found, Kinds, sequences
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.corpora.sequences.names import recording_and_camera
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SOURCE, Location
from sofdata.storage.walk import Item
from sofdata.video.sequences.names import Numbers
from sofdata.video.sequences.place import SequencePlace

NO_SEQUENCE = "{} without a sequence of pictures"
UNPACKED = "picture that lies here unpacked, too,{}"
ARCHIVES = {".tar": "tar", ".zip": "zip"}  # format by suffix


@dataclass(frozen=True, slots=True)
class NumberedPictures:
    """A sequence.

    folder: in the source, or in `archive`. pattern: what pictures are called. alone: whether it is
    the only one there. timed: whether a list of times lies beside it. shared: whether its archive
    has others.
    """

    folder: str
    pattern: str
    numbers: Numbers
    alone: bool
    timed: bool
    archive: Item | None = None
    shared: bool = False

    @property
    def format(self) -> str:
        """The one that reads it."""
        return ARCHIVES[suffix(self.archive.rel)] if self.archive else "frames"

    @property
    def path(self) -> str:
        """The folder, as if the archive was one."""
        if self.archive is None:
            return self.folder
        stem = without_suffix(self.archive)
        own = self.folder.removeprefix(f"{stem.rpartition('/')[2]}/")
        return stem if own in ("", ".", stem.rpartition("/")[2]) else f"{stem}/{own}"

    @property
    def name(self) -> str:
        """What a recording is called: P01_01."""
        return self.path.rpartition("/")[2]

    @property
    def recording(self) -> str:
        """The path of the recording whose camera it may be."""
        return recording_and_camera(self.path)[0]

    def where(self, place: SequencePlace) -> Location:
        """The folder or the archive, with the words for the sequence there."""
        if self.archive:
            return replace(self.archive.place, sequence=place.text)
        return Location(f"{self.folder}/" if self.folder else SOURCE, sequence=place.text)


def without_suffix(item: Item) -> str:
    """The path of an archive, as the folder that it was made of would have it."""
    return item.rel[: -len(suffix(item.rel))]


def in_folders(found: Found, times: str | None) -> Iterator[NumberedPictures]:
    """times: what lists of times are called."""
    for folder, kinds in sorted(found.folders.items()):
        timed = f"{folder}/{times}".lstrip("/") in found.times
        for pattern, numbers in kinds.items():
            yield NumberedPictures(folder, pattern, numbers, len(kinds) == 1, timed)


def in_archives(
    tree: Tree, found: Found, times: str | None, unread: list[Entry], notes: list[str]
) -> Iterator[NumberedPictures]:
    """Those in tars and zips, whose headers are read. unread: gets those that cannot be."""
    options = {"times": times} if times else {}
    for end, format in ARCHIVES.items():
        items = [item for item in found.archives if suffix(item.rel) == end]
        answers = looks(tree, (item.place for item in items), format, options)
        for item, answer in zip(items, answers, strict=True):
            if isinstance(answer, NotRead):
                unread.append(_reject(item, answer.reason, answer.detail))
            elif (there := _told(answer)) is None:
                unread.append(_reject(item, "damaged", "what it holds cannot be told"))
            else:
                if not answer["whole"]:
                    notes.append(
                        f"{item.rel} lacks the mark of a tar's end: it is cut off or damaged"
                    )
                yield from _in_archive(found, item, answer, there, times)


def _in_archive(
    found: Found,
    item: Item,
    answer: Mapping[str, Any],
    there: Mapping[str, Kinds],
    times: str | None,
) -> Iterator[NumberedPictures]:
    format = ARCHIVES[suffix(item.rel)]
    inside = f" in a {format}"
    for what, count in answer["ignored"].items():
        found.ignored[f"{what}{inside}"] += count
    kept = {
        folder: sequences(found, f"{without_suffix(item)}/{folder}", kinds, inside)
        for folder, kinds in there.items()
    }
    if not any(kept.values()):
        found.ignored[NO_SEQUENCE.format(format)] += 1
    shared = sum(map(len, kept.values())) > 1
    for folder, kinds in kept.items():
        alone = len(kinds) == 1
        timed = f"{folder}/{times}".lstrip("/") in answer["files"]
        for pattern, numbers in kinds.items():
            one = NumberedPictures(folder, pattern, numbers, alone, timed, item, shared)
            if _is_unpacked(found, one):
                found.ignored[UNPACKED.format(inside)] += numbers.count
            else:
                yield one


def _is_unpacked(found: Found, one: NumberedPictures) -> bool:
    """Whether the folder of an archive lies beside it, or is called as it is, with all of this."""
    assert one.archive is not None
    beside = f"{one.archive.rel.rpartition('/')[0]}/{one.folder}".strip("/")
    numbers = replace(one.numbers, size_bytes=0)
    there = (found.folders.get(each, {}).get(one.pattern) for each in (one.path, beside))
    return any(each is not None and replace(each, size_bytes=0) == numbers for each in there)


def _reject(item: Item, problem: str, detail: str) -> Entry:
    return Entry(without_suffix(item), item.uri, item.size_bytes, problem=problem, detail=detail)


def _told(answer: Any) -> dict[str, Kinds] | None:
    """What an archive is said to hold, by folder and pattern; None where that is malformed."""
    found: dict[str, Kinds] = defaultdict(dict)
    try:
        for folder, pattern, count, least, most in answer["kinds"]:
            if not (isinstance(folder, str) and isinstance(pattern, str)):
                return None
            found[folder][pattern] = Numbers(int(count), 0, int(least), int(most))
        {str(what): int(count) for what, count in answer["ignored"].items()}
        bool(answer["whole"]), list(answer["files"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    return found
