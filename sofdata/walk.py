"""The files below a local folder, with what is wrong with those that cannot be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sofdata.remote import brief
from sofdata.uris import Location


@dataclass(frozen=True, slots=True)
class Item:
    """A file found in a tree.

    problem: "" or the reason why it cannot be read. fingerprint: where it is known already.
    where: how to get at it, if `rel` is not simply its name in the tree: of a table that says so.
    """

    rel: str
    size_bytes: int
    problem: str = ""
    detail: str = ""
    fingerprint: str = ""
    where: Location | None = None

    @property
    def place(self) -> Location:
        """Where it lies."""
        return self.where or Location(self.rel)

    @property
    def uri(self) -> str:
        """That as a text for plans."""
        return self.place.uri


Level: TypeAlias = "Iterator[Item | Level]"


def walk_local(folder: str) -> Iterator[Item]:
    """All files and folders below one, sorted, as `sofdata.storage.Tree.walk` tells of them."""
    levels = [_folder(folder, "", frozenset())]  # of any depth, so that Python's stack is not used
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
        elif isinstance(found, Item):
            yield found
        else:
            levels.append(found)


def _folder(folder: str, rel: str, above: frozenset[tuple[int, int]]) -> Level:
    """What lies in a folder; at each folder in it, what lies there.

    rel: how paths begin; above: device and inode of the folders in which this one lies.
    """
    try:
        here = os.stat(folder)
        names = sorted(os.listdir(folder))
    except OSError as error:
        yield Item(rel or ".", 0, "unreadable_folder", brief(error))
        return
    if (here.st_dev, here.st_ino) in above:  # a link back to a folder that we are in
        return
    above |= {(here.st_dev, here.st_ino)}
    for name in names:
        path, inner = os.path.join(folder, name), f"{rel}/{name}" if rel else name
        item = _item(path, inner)
        yield item
        if item.problem == "is_a_directory":
            yield _folder(path, inner, above)


def _item(path: str, rel: str) -> Item:
    try:
        rel.encode()
    except UnicodeEncodeError:
        shown = rel.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        problem = "unreadable_folder" if os.path.isdir(path) else "bad_name"
        return Item(shown, 0, problem, "its name is not valid UTF-8; rename it")
    try:
        info = os.stat(path)
    except OSError as error:
        problem = "dangling_link" if os.path.islink(path) else "unreadable"
        return Item(rel, 0, problem, brief(error))
    if stat.S_ISDIR(info.st_mode):
        return Item(rel, 0, "is_a_directory")
    if not stat.S_ISREG(info.st_mode):
        return Item(rel, 0, "not_a_file", "neither a file nor a folder")
    if not os.access(path, os.R_OK):
        return Item(rel, info.st_size, "unreadable", "no permission to read it")
    return Item(rel, info.st_size)
