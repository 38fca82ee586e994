"""The files below a local folder, with what is wrong with those that cannot be read.

Links are followed, and each real folder is gone through once, however many ways lead to it: by the
shortest, of these by the one with fewest links in it, of these by the first in order. A farm of
links that lead to each other so is no larger than the folders that are there, and which of its
paths are used does not depend on the order in which a file system lists them.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from sofdata.storage.secrets import public_message
from sofdata.storage.uris import Location, is_plain

IS_FOLDER, UNREADABLE_FOLDER, LINKED_FOLDER = "is_a_directory", "unreadable_folder", "linked_folder"
DANGLING_LINK, UNREADABLE, TOO_LONG = "dangling_link", "unreadable", "path_too_long"
# Of these nobody knows what they hold.
CLOSED = frozenset({UNREADABLE_FOLDER, TOO_LONG})
_ALL_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Stamp(NamedTuple):
    """When a file was last written, as its store says without its being read.

    mtime_ns: modification time, nanoseconds since 1970; 0 where it is not known.
    etag: what an object store calls this content of it, "" for none.
    """

    mtime_ns: int = 0
    etag: str = ""


NO_STAMP = Stamp()


class Stat(NamedTuple):
    """What is known of a file that was not read."""

    size_bytes: int
    stamp: Stamp = NO_STAMP


@dataclass(frozen=True, slots=True)
class Item:
    """A file found in a tree.

    problem: "" or the reason why it cannot be read. fingerprint: where it is known already.
    stamp: of the file that it is, or is a part of.
    linked: whether it is a link itself, to a file or to a folder that is gone through by it.
    where: how to get at it, if `rel` is not simply its name in the tree: of a table that says so.
    target: of a folder that was gone through by another path: that path.
    """

    rel: str
    size_bytes: int
    problem: str = ""
    detail: str = ""
    fingerprint: str = ""
    where: Location | None = None
    target: str = ""
    stamp: Stamp = field(default=NO_STAMP, compare=False)  # says when, not what
    linked: bool = field(default=False, compare=False)

    @property
    def place(self) -> Location:
        """Where it lies."""
        return self.where or Location(self.rel)

    @property
    def uri(self) -> str:
        """That as a text for plans."""
        if self.where is None and is_plain(self.rel):  # most are, and there may be millions
            return self.rel
        return self.place.uri


class Found(Mapping[str, Item]):
    """The items of a walk by their paths, and by those that links lead by to the same files."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = {item.rel: item for item in items}
        self._linked = {
            rel: item.target for rel, item in self._items.items() if item.problem == LINKED_FOLDER
        }

    def __getitem__(self, rel: str) -> Item:
        return self._items[self.real(rel)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def real(self, rel: str) -> str:
        """The path at which the walk has found what lies at this one."""
        while self._linked and rel not in self._items:
            parts = rel.split("/")
            heads = ("/".join(parts[:number]) for number in range(len(parts) - 1, 0, -1))
            head = next((head for head in heads if head in self._linked), None)
            if head is None:
                break
            target = self._linked[head]
            rel = f"{target}/{rel[len(head) + 1 :]}" if target else rel[len(head) + 1 :]
        return rel

    def ends_with(self, name: str) -> list[str]:
        """Paths of the walk for a name that begins with the end of a linked folder's path."""
        parts = name.split("/")
        found = []
        for number in range(1, len(parts)):
            head, rest = "/".join(parts[:number]), "/".join(parts[number:])
            for folder in self._linked:
                if folder == head or folder.endswith(f"/{head}"):
                    found.append(self.real(f"{folder}/{rest}"))
        return sorted({rel for rel in found if rel in self._items})


Level: TypeAlias = "Iterator[Item | Level]"


def walk_local(folder: str) -> Iterator[Item]:
    """All files and folders below one, sorted, as `sofdata.storage.folder.Folder.walk` yields them.

    The names in all folders are in memory meanwhile.
    """
    survey = _survey(folder)
    if isinstance(problem := survey.names.get(""), OSError):
        yield _closed(".", problem)
        return
    levels = [_within(folder, "", survey)]  # of any depth, so that Python's stack is not used
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
        elif isinstance(found, Item):
            yield found
        else:
            levels.append(found)


@dataclass(slots=True)
class _Survey:
    """What there is to go through, by path.

    names: of each folder the sorted names in it, or why it cannot be entered.
    linked: the paths that lead to folders which are gone through by another path, and that one.
    links: the paths that are links to files, or to folders that are gone through by them.
    """

    names: dict[str, list[str] | OSError] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)


def _survey(folder: str) -> _Survey:
    """List each real folder once, by the shortest path that leads to it."""
    found = _Survey()
    known: dict[str, str] = {}  # real paths of folders
    waiting = [(0, 0, "", os.path.realpath(folder))]
    while waiting:
        depth, links, rel, real = heapq.heappop(waiting)
        if real in known:
            found.linked[rel] = known[real]
            continue
        known[real] = rel
        try:
            with os.scandir(f"{folder}/{rel}" if rel else folder) as entries:
                there = {entry.name: _leads_to(entry) for entry in entries}
        except OSError as error:
            found.names[rel] = error
            continue
        found.names[rel] = sorted(there)
        for name, kind in there.items():
            if not kind:
                continue
            inner = f"{rel}/{name}" if rel else name
            if kind.startswith("link"):
                found.links.add(inner)
            if kind == "folder":
                heapq.heappush(waiting, (depth + 1, links, inner, os.path.join(real, name)))
            elif kind == "link to a folder":
                target = os.path.realpath(os.path.join(folder, inner))
                heapq.heappush(waiting, (depth + 1, links + 1, inner, target))
    return found


def _leads_to(entry: os.DirEntry[str]) -> str:
    """Whether an entry is a folder, a link to one, or another link; "" for a file."""
    try:
        entry.name.encode()
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        if not entry.is_symlink():
            return ""
        return "link to a folder" if entry.is_dir() else "link"
    except (OSError, UnicodeEncodeError):
        return ""


def _within(folder: str, rel: str, survey: _Survey) -> Level:
    """What lies in a folder; at each folder in it, what lies there. rel: how paths begin."""
    names = survey.names[rel]
    assert not isinstance(names, OSError)
    for name in names:
        inner = f"{rel}/{name}" if rel else name
        if inner in survey.linked:
            target = survey.linked[inner]
            detail = f"the same folder as {target or 'the source itself'}, where its files are used"
            yield Item(inner, 0, LINKED_FOLDER, detail, target=target)
        elif inner in survey.names:
            yield Item(inner, 0, IS_FOLDER, linked=inner in survey.links)
            there = survey.names[inner]
            yield (
                _closed(inner, there)
                if isinstance(there, OSError)
                else _within(folder, inner, survey)
            )
        else:
            yield _item(f"{folder}/{inner}", inner, inner in survey.links)


def _closed(rel: str, error: OSError) -> Item:
    """A folder that cannot be entered."""
    if error.errno == errno.ENAMETOOLONG:
        return _too_long(rel)
    return Item(rel, 0, UNREADABLE_FOLDER, public_message(error))


def _too_long(rel: str) -> Item:
    detail = "its path is longer than the system takes; give a folder further down as the source"
    return Item(rel, 0, TOO_LONG, detail)


def _item(path: str, rel: str, linked: bool) -> Item:
    try:
        if not rel.isascii():
            rel.encode()
    except UnicodeEncodeError:
        shown = rel.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        problem = UNREADABLE_FOLDER if os.path.isdir(path) else "bad_name"
        return Item(shown, 0, problem, "its name is not valid UTF-8; rename it")
    try:
        info = os.stat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return _too_long(rel)
        dangling = error.errno in _NOWHERE and os.path.islink(path)
        problem = DANGLING_LINK if dangling else UNREADABLE
        return Item(rel, 0, problem, public_message(error))
    if stat.S_ISDIR(info.st_mode):
        return Item(rel, 0, UNREADABLE_FOLDER, "it was made while the source was listed; run again")
    if not stat.S_ISREG(info.st_mode):
        return Item(rel, 0, "not_a_file", "neither a file nor a folder")
    # Asked of the system only where the mode leaves a doubt: there may be millions.
    if info.st_mode & _ALL_READ != _ALL_READ and not os.access(path, os.R_OK):
        return Item(rel, info.st_size, UNREADABLE, "no permission to read it")
    return Item(rel, info.st_size, stamp=Stamp(info.st_mtime_ns), linked=linked)
