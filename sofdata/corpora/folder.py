"""A folder of videos, in folders of any depth and in any container; or a single video file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sofdata.corpora.base import (
    Ignored,
    Listing,
    count_ignored,
    counted,
    is_hidden,
    may_be_input,
    suffix,
)
from sofdata.corpora.content import PLAIN_SUFFIXES, bare_stream, is_meant_as_video
from sofdata.corpora.entry import Entry
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, parse
from sofdata.storage.walk import Item

TABLES = (".csv", ".jsonl", ".parquet", ".tsv")
_DETAIL = {"is_a_directory": "a folder that is named like a video; the files in it are read"}


class FolderCorpus:
    """Every video below the source. A video's id is its path; its parent folder is a label."""

    name = "folder"
    summary = "a folder of videos, searched recursively, or one video file; any container"
    example = "sofdata ingest VIDEOS DEST"

    def detect(self, tree: Tree) -> str:
        return "a single file" if tree.is_file() else "a folder; videos are found by content"

    def listing(self, tree: Tree) -> Listing:
        if tree.is_file():
            return Listing((_single(tree),))
        found = _Found(tree)
        listing = Listing.of(found.entries(), found.ignored)
        return replace(listing, notes=(*found.notes(listing.entries), *listing.notes))


@dataclass(slots=True)
class _Found:
    """What a walk finds, once its entries were gone through.

    links: whether any of it is reached by a link.
    """

    tree: Tree
    ignored: Ignored = field(default_factory=Ignored)
    tables: list[str] = field(default_factory=list)
    links: bool = False

    def entries(self) -> Iterator[Entry]:
        """The videos, one by one."""
        for item in self.tree.walk(folders=True):
            self.links |= item.linked
            plain = not item.problem and suffix(item.rel) in PLAIN_SUFFIXES
            if plain and not is_hidden(item.rel):  # nearly all, of millions
                yield _entry(item, "")
            elif _belongs(self.tree, item):
                yield _entry(item, bare_stream(self.tree, item.rel))
            elif item.problem != "is_a_directory":  # whose files come by themselves
                count_ignored(self.ignored, item)
                if suffix(item.rel) in TABLES and not is_hidden(item.rel):
                    self.tables.append(item.rel)

    def notes(self, entries: Sequence[Entry]) -> Iterator[str]:
        """What there is to say of them."""
        if self.tables:
            what = "table beside the videos was not read; as a manifest it may name them"
            how = "--set manifest.table=NAME --set manifest.uri=COLUMN reads one"
            yield f"{counted(self.tables, what)}; {how}"
        if self.links and (twice := _linked(self.tree, entries)):
            what = "file is a link to another one that is here; both are used"
            yield counted(twice, what)


def _belongs(tree: Tree, item: Item) -> bool:
    """Whether an item is an input, which it remains when it cannot be read."""
    if is_hidden(item.rel):
        return False
    if may_be_input(item):
        return True
    return is_meant_as_video(tree, item) or (not item.problem and bool(bare_stream(tree, item.rel)))


def _linked(tree: Tree, entries: Sequence[Entry]) -> list[str]:
    """The files that are others of them by another name, itself a link or below one.

    A look at the file system for each.
    """
    if not tree.is_local:
        return []
    folders: dict[str, str] = {}
    seen: set[str] = set()
    twice = []
    for entry in entries:
        if entry.problem:
            continue
        folder, _, name = parse(entry.uri).file.rpartition("/")
        if folder not in folders:
            folders[folder] = os.path.realpath(tree.path(folder))
        path = os.path.join(folders[folder], name)
        path = os.path.realpath(path) if os.path.islink(path) else path
        if path in seen:
            twice.append(entry.id)
        seen.add(path)
    return twice


def _entry(item: Item, bare: str) -> Entry:
    """bare: why a file is a bare stream of a codec, if it is one."""
    parent = item.rel.rpartition("/")[0]
    return Entry(
        id=item.rel,
        uri=item.uri,
        size_bytes=item.size_bytes,
        labels={"folder": parent} if parent else {},
        problem=item.problem or ("bare_stream" if bare else ""),
        detail=item.detail or _DETAIL.get(item.problem, bare),
        stamp=item.stamp,
    )


def _single(tree: Tree) -> Entry:
    """The source is itself a video, taken for one whatever it is called.

    Its uri is relative to the folder that holds it.
    """
    name = tree.root.rsplit("/", 1)[-1]
    uri = Location(name).uri
    if tree.is_local and not os.access(tree.root, os.R_OK):
        detail = "no permission to read it"
        return Entry(name, uri, tree.size(""), problem="unreadable", detail=detail)
    bare = bare_stream(tree.parent(), name)
    return Entry(name, uri, tree.size(""), problem="bare_stream" if bare else "", detail=bare)
