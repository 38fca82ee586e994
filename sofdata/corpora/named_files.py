"""The files of a folder, to be found by what the rows of a table call them, and accounted for."""

from __future__ import annotations

from collections.abc import Iterable

from sofdata.corpora.base import Ignored, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES, is_meant_as_video, is_other_folder
from sofdata.corpora.spans import NO_ROW
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Found, Item

SAME_NAME = "video of the same name as another"


class NamedFiles:
    """Files by their paths and, where they are searched for, by the ends of these.

    prefix: what paths begin with as seen from the source, such as "videos/".
    """

    def __init__(self, tree: Tree, items: Iterable[Item], prefix: str, searched: bool) -> None:
        self._items = Found(items)
        self._videos: set[str] = set()
        self._named: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        self._prefix = prefix
        self._used: set[str] = set()
        self._same: set[str] = set()
        for item in self._items.values():
            if is_hidden(item.rel):
                continue
            name = item.rel.rsplit("/", 1)[-1]
            if searched:
                self._named.setdefault(name, []).append(item.rel)
            if _is_video(tree, item, searched):
                self._videos.add(item.rel)
                if searched:
                    self._stems.setdefault(_stem(name), []).append(item.rel)

    def __len__(self) -> int:
        return len(self._items)

    def at(self, path: str) -> Item | None:
        """The file at a path, if it is there."""
        item = self._items.get(path)
        if item:
            self._used.add(item.rel)
        return item

    def find(self, name: str, anywhere: bool) -> list[Item]:
        """The files that may be meant: by the whole name if there are any, else without a suffix.

        anywhere: their paths end with the name; else it is the whole path below the prefix.
        """
        last = name.rsplit("/", 1)[-1]
        found = [rel for rel in self._named.get(last, ()) if self._fits(rel, name, anywhere)]
        if not found:
            stems = self._stems.get(last, ())
            found = [rel for rel in stems if self._fits(_stem(rel), name, anywhere)]
        if not found:
            found = self._by_links(name, anywhere)
        self._used.update(found[:1])
        self._same.update(found[1:])
        return [self._items[rel] for rel in found]

    def _by_links(self, name: str, anywhere: bool) -> list[str]:
        """The files that are meant by a path through a folder that was gone through by another."""
        if anywhere:
            return self._items.ends_with(name)
        rel = self._items.real(self._prefix + name)
        return [rel] if rel in self._items else []

    def count(self, tables: Iterable[str]) -> Ignored:
        """The files that no row has named, but for the tables: videos as such, others by suffix."""
        ignored = Ignored()
        known = self._used | {*tables}
        for rel, item in self._items.items():
            if rel in known:
                continue
            if rel in self._same:
                ignored[SAME_NAME] += 1
            elif rel in self._videos:
                ignored[NO_ROW] += 1
            else:
                count_ignored(ignored, item)
        return ignored

    def _fits(self, path: str, name: str, anywhere: bool) -> bool:
        if not path.startswith(self._prefix):
            return False
        path = path[len(self._prefix) :]
        return path == name or (anywhere and path.endswith(f"/{name}"))


def _is_video(tree: Tree, item: Item, look: bool) -> bool:
    """Judged by its name, and by a look into it only where it may be found by that."""
    if look:
        return is_meant_as_video(tree, item)
    return suffix(item.rel) in VIDEO_SUFFIXES and not is_other_folder(item)


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}"
