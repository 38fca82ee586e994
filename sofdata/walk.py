"""The files below a local folder, with what is wrong with those that cannot be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from sofdata.remote import brief


@dataclass(frozen=True, slots=True)
class Item:
    """A file found in a tree.

    problem: "" or the reason why it cannot be read. fingerprint: where it is known already.
    """

    rel: str
    size_bytes: int
    problem: str = ""
    detail: str = ""
    fingerprint: str = ""


def walk_local(folder: str, rel: str, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
    """All files and folders below `folder`, sorted, as `sofdata.storage.Tree.walk` tells of them.

    rel: how their paths begin; above: device and inode of the folders in which this one lies.
    """
    try:
        here = os.stat(folder)
        names = sorted(os.listdir(folder))
    except OSError as error:
        yield Item(rel or ".", 0, "unreadable_folder", brief(error))
        return
    if (here.st_dev, here.st_ino) in above:  # a link back to a folder that we are in
        return
    for name in names:
        inner = f"{rel}/{name}" if rel else name
        yield from _item(os.path.join(folder, name), inner, above | {(here.st_dev, here.st_ino)})


def _item(path: str, rel: str, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
    try:
        rel.encode()
    except UnicodeEncodeError:
        shown = rel.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        problem = "unreadable_folder" if os.path.isdir(path) else "bad_name"
        yield Item(shown, 0, problem, "its name is not valid UTF-8; rename it")
        return
    try:
        info = os.stat(path)
    except OSError as error:
        problem = "dangling_link" if os.path.islink(path) else "unreadable"
        yield Item(rel, 0, problem, brief(error))
        return
    if stat.S_ISDIR(info.st_mode):
        yield Item(rel, 0, "is_a_directory")
        yield from walk_local(path, rel, above)
    elif not stat.S_ISREG(info.st_mode):
        yield Item(rel, 0, "not_a_file", "neither a file nor a folder")
    elif not os.access(path, os.R_OK):
        yield Item(rel, info.st_size, "unreadable", "no permission to read it")
    else:
        yield Item(rel, info.st_size)
