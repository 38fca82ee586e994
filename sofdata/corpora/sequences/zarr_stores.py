"""Which Zarr stores lie in a source, and a look into each.

Of a store that is a remote folder only the metadata and small arrays are fetched for a look: a
listing must not copy the pictures.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sofdata.corpora.base import suffix
from sofdata.corpora.sequences.looking import NotRead, look_into
from sofdata.corpora.sequences.looking import looks as local_looks
from sofdata.storage.archives.folders import FileInFolder, copy_of, file_in, files_in
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SOURCE, Location, local
from sofdata.storage.walk import Item

if TYPE_CHECKING:
    from sofdata.video.sequences.isolated import RecordReader

MARKS = (".zarray", ".zgroup", ".zmetadata", "zarr.json")
DOCUMENTS = (*MARKS, ".zattrs")
LOOKED_AT = 2000  # items of a source, and
LOOKED_INTO = 48  # folders, to tell whether it holds pictures
HEAD_BYTES = 4096
MOST_BYTES = 1 << 20  # of metadata that is looked at before anything else
SMALL_BYTES = 1 << 24  # of an array that is fetched for a look
FIRST_CHUNKS = 8  # of one of floats: they show the range


@dataclass(slots=True)
class Stores:
    """What there is of stores. folders: each with "/" at its end. zips: `.zarr.zip`, and others.

    beside: items that lie in no store.
    """

    folders: list[str] = field(default_factory=list)
    zips: list[Item] = field(default_factory=list)
    beside: list[Item] = field(default_factory=list)


def is_named_zip(rel: str) -> bool:
    """Whether a zip says by its name that it is a store."""
    return rel.lower().endswith(".zarr.zip")


def find_stores(tree: Tree) -> Stores:
    """The stores of a source that is a folder, a store or a zip."""
    found = Stores()
    if tree.is_file():
        name = tree.root.rsplit("/", 1)[-1]
        found.zips.append(Item(name, tree.size("")))
        return found
    if any(tree.exists(mark) for mark in MARKS):
        return Stores(folders=[SOURCE])
    roots: set[str] = set()
    loose: list[Item] = []
    for item in tree.walk():
        root = _named_root(item.rel)
        if root:
            roots.add(root)
        else:
            loose.append(item)
    unnamed = _unnamed_roots(loose)
    found.folders = sorted(f"{root}/" for root in {*roots, *unnamed})
    for item in loose:
        if not any(above in unnamed for above in _folders(item.rel)):
            is_zip = suffix(item.rel) == ".zip" and not item.problem
            (found.zips if is_zip else found.beside).append(item)
    return found


def _named_root(rel: str) -> str:
    """The outermost folder of a path that is named as a store, "" for none."""
    if ".zarr/" not in rel.lower():
        return ""
    return next((above for above in _folders(rel) if above.lower().endswith(".zarr")), "")


def _folders(rel: str) -> Iterator[str]:
    """The folders that a path goes through, the outermost first."""
    parts = rel.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])


def _unnamed_roots(items: Iterable[Item]) -> set[str]:
    """Folders with metadata that lie in none; of `data` and `meta` the one that they are in."""
    marked = {item.rel.rpartition("/")[0] for item in items if item.rel.endswith(MARKS)}
    roots: set[str] = set()
    for folder in sorted(marked, key=lambda folder: folder.count("/")):
        if any(above in roots for above in (*_folders(folder), folder)):
            continue
        parent, _, name = folder.rpartition("/")
        roots.add(parent if parent and name in ("data", "meta") else folder)
    return roots


def looks_like(tree: Tree) -> str:
    """Why a source seems to hold Zarr stores with pictures, "" where it does not."""
    if tree.is_file():
        name = tree.root.rsplit("/", 1)[-1]
        if is_named_zip(name) or (suffix(name) == ".zip" and _begins_as_store(tree, name)):
            return f"a Zarr store: {name}"
        return ""
    # Zarr 3 puts it behind the chunks, of which there may be any number.
    roots = {""} if any(tree.exists(mark) for mark in MARKS) else set[str]()
    seen: set[str] = set()
    for item in itertools.islice(tree.walk(), LOOKED_AT):
        if is_named_zip(item.rel) and not item.problem:
            return f"a Zarr store: {item.rel}"
        folders = ["", *_folders(item.rel)]
        roots.update(filter(None, [_named_root(item.rel)]))
        if item.rel.endswith(MARKS):
            roots.add(folders[-1])
        for depth, folder in enumerate(folders):
            if folder in seen or len(seen) > LOOKED_INTO or roots.isdisjoint(folders[: depth + 1]):
                continue
            seen.add(folder)
            if _shows_pictures(tree, folder):
                return f"a Zarr store with pictures: {folder or '.'}"
    return ""


def _begins_as_store(tree: Tree, name: str) -> bool:
    try:
        head = tree.parent().read_range(name, 0, HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(b"PK\3\4") and any(mark.encode() in head for mark in MARKS)


def _shows_pictures(tree: Tree, folder: str) -> bool:
    """Whether a folder is an array that may be of pictures."""
    prefix = f"{folder}/" if folder else ""
    for mark in (".zarray", "zarr.json"):
        try:
            if tree.exists(prefix + mark) and tree.size(prefix + mark) <= MOST_BYTES:
                shape = json.loads(tree.read(prefix + mark)).get("shape")
                return isinstance(shape, list) and len(shape) == 4 and 3 in (shape[1], shape[3])
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
    return False


# Looks


def store_looks(
    tree: Tree, places: list[Location], options: Mapping[str, Any]
) -> Iterator[Any | NotRead]:
    """What each store holds, as `sofdata.video.sequences.zarr.look` says it; in order."""
    remote = [where for where in places if where.is_folder and not tree.is_on_disk(where)]
    if not remote:
        yield from local_looks(tree, places, "zarr", options)
        return
    from sofdata.video.sequences.isolated import RecordReader

    with RecordReader() as reader:
        for where in places:
            yield _look(reader, tree, where, options)


def _look(
    reader: RecordReader, tree: Tree, where: Location, options: Mapping[str, Any]
) -> Any | NotRead:
    if not where.is_folder:
        return look_into(reader, tree, where, "zarr", options)
    try:
        chosen = _for_a_look(tree, where, files_in(tree, where))
        with some_files(tree, where, lambda rel: rel in chosen) as copy:
            return look_into(reader, Tree("/"), local(copy), "zarr", options)
    except OSError as error:
        return NotRead("unreadable", error.strerror or str(error))


@contextmanager
def some_files(tree: Tree, where: Location, wanted: Callable[[str], bool]) -> Iterator[str]:
    """A local copy of those files of a remote folder that are `wanted`, with "/" at its end."""
    files = [file for file in files_in(tree, where) if wanted(file.rel)]
    with copy_of(tree, where, files) as copy:
        yield copy


def _for_a_look(tree: Tree, where: Location, files: list[FileInFolder]) -> set[str]:
    """Metadata, whole small arrays, and the first chunks of large ones of floats."""
    arrays = {
        file.rel.rpartition("/")[0] for file in files if file.rel.endswith((".zarray", "zarr.json"))
    }
    by_array: dict[str, list[FileInFolder]] = {}
    chosen: set[str] = set()
    for file in files:
        if file.rel.rpartition("/")[2] in DOCUMENTS:
            chosen.add(file.rel)
            continue
        above = [folder for folder in ("", *_folders(file.rel)) if folder in arrays]
        if above:
            by_array.setdefault(above[-1], []).append(file)
    for folder, chunks in by_array.items():
        if sum(chunk.size_bytes for chunk in chunks) <= SMALL_BYTES:
            chosen.update(chunk.rel for chunk in chunks)
        elif _is_float(tree, where, folder, chosen):
            chosen.update(
                chunk.rel for chunk in chunks if _number(folder, chunk.rel) < FIRST_CHUNKS
            )
    return chosen


def _is_float(tree: Tree, where: Location, folder: str, names: set[str]) -> bool:
    prefix = f"{folder}/" if folder else ""
    for mark, key in (("zarr.json", "data_type"), (".zarray", "dtype")):
        if prefix + mark in names:
            try:
                node = json.loads(tree.read(file_in(where, prefix + mark)))
                return str(node.get(key)).lstrip("<>|=").startswith("f")
            except (ValueError, AttributeError, RecursionError):
                return False
    return False


def _number(folder: str, rel: str) -> float:
    """The first number in the name of a chunk: data/img/0.0.0.0, data/img/c/0/0/0/0."""
    name = rel[len(folder) :].lstrip("/").replace("/", ".").removeprefix("c.")
    first = name.partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 18 else math.inf
