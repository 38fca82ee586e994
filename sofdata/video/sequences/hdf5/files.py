"""HDF5 files of strangers: nothing outside of a file is read through it, and no code loaded.

HDF5 can name other files: in external links, in virtual datasets, and in datasets whose bytes lie
elsewhere, which may be any file of the machine. None of these is followed. Objects are found link
by link, since HDF5 itself would pass through an external link within a path. Filters are those that
come with h5py, as any other would be a plugin: a library that HDF5 loads from a folder.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.base import damaged, opened_file

MOST_CHUNK_BYTES = 512 << 20  # HDF5 has a whole one in memory, however little of it is read
MOST_LINKS = 32  # soft links on the way to one object: they may lead in a circle
# Filters by their registered numbers. Those of HDF5 itself, and h5py's own.
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset"}
FILTERS |= {32000: "lzf"}
# Plugins that are met most, to name them.
PLUGINS = {307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "ZFP"}
PLUGINS |= {32015: "Zstandard", 32026: "Blosc2"}
# What h5py raises over a file that is not as it should be.
_WRONG: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """The root group of a file; what h5py raises in the block becomes an `InputError`."""
    h5py = _h5py()
    with translated(source=source), ExitStack() as stack:
        target = _readable(source, stack)
        yield stack.enter_context(h5py.File(target, "r", locking=False, rdcc_nbytes=1 << 20))


@contextmanager
def translated(place: str = "", source: Source = "") -> Iterator[None]:
    """Turn what h5py raises into `Unusable`, or into a want of memory.

    place: what is read, to begin the message with. source: the file, whose path is left out of it:
    it may be that of a copy.
    """
    try:
        yield
    except (Unusable, MemoryError):
        raise
    except _WRONG as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if "allocat" in said and "memory" in said.lower():
            raise MemoryError(said) from None
        said = said.replace(str(source), "the file") if str(source) else said
        raise damaged(f"{place}: {_hint(said)}" if place else _hint(said)) from None


def find(root: Any, path: str) -> Any:
    """A group or dataset (of h5py) by its path, None where there is none.

    Raises `Unusable` for one that lies outside of the file, and for a dataset of which something
    does.
    """
    waiting = deque(part for part in path.split("/") if part not in ("", "."))
    at, links = root, 0
    while waiting:
        name = waiting.popleft()
        if not _is_group(at) or not at.id.links.exists(_coded(name)):
            return None
        target = _soft_target(at, name)
        if target is None:
            at = child(at, name)
            continue
        links += 1
        if links > MOST_LINKS:
            raise damaged(f"the soft links on the way to {path[:200]} lead in a circle")
        at = root if target.startswith("/") else at
        waiting.extendleft(part for part in reversed(target.split("/")) if part not in ("", "."))
    return at


def child(group: Any, name: str) -> Any:
    """What a hard link of a group leads to; None for a type, which is neither group nor dataset.

    Raises `Unusable` as `find` does.
    """
    h5py = _h5py()
    PROGRESS.packets += 1
    if link_kind(group, name) != "hard":
        raise Unusable("unsupported", f"{name[:200]} is a link into another file: not followed")
    found = h5py.h5o.open(group.id, _coded(name))
    if isinstance(found, h5py.h5g.GroupID):
        return h5py.Group(found)
    if not isinstance(found, h5py.h5d.DatasetID):
        return None
    _check_is_within(found, name)
    return h5py.Dataset(found)


def names(group: Any) -> Iterator[str]:
    """The names in a group that a place can hold: texts in UTF-8 without a "*"."""
    return (name for name in group if isinstance(name, str) and "*" not in name)  # else bytes


def link_kind(group: Any, name: str) -> str:
    """ "hard" for a link to an object, "soft" for one to a path, "away" for one out of the file."""
    kinds = _h5py().h5l
    kind = group.id.links.get_info(_coded(name)).type
    return {kinds.TYPE_HARD: "hard", kinds.TYPE_SOFT: "soft"}.get(kind, "away")


def identity(found: Any) -> tuple[int, int]:
    """The same for one object, by whichever of its links it was found."""
    info = _h5py().h5o.get_info(found.id)
    return int(info.fileno), int(info.addr)


def check_readable(dataset: Any) -> None:
    """Raise `Unusable` for a dataset that takes a plugin, or too much memory for one chunk."""
    _check_filters(dataset)
    if dataset.chunks and prod(dataset.chunks) * dataset.dtype.itemsize > MOST_CHUNK_BYTES:
        size = prod(dataset.chunks) * dataset.dtype.itemsize >> 20
        raise Unusable(
            "too_large",
            f"{dataset.name} lies in chunks {dataset.chunks}, each of which takes {size} MiB; "
            f"{MOST_CHUNK_BYTES >> 20} MiB are read at a time: convert it, as by h5repack -l",
        )


def _check_filters(dataset: Any) -> None:
    plist = dataset.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        built_in = code in FILTERS and _h5py().h5z.filter_avail(code)
        if not built_in:
            said = FILTERS.get(code) or PLUGINS.get(code) or name.decode("utf-8", "replace")[:80]
            raise Unusable(
                "unsupported",
                f"{dataset.name} is compressed with {said} (HDF5 filter {code}), which h5py cannot "
                "read by itself: convert the file, as by h5repack -f GZIP=4",
            )


def _check_is_within(found: Any, name: str) -> None:
    """Before its shape is asked for: to tell that, HDF5 opens what a virtual dataset names."""
    h5py = _h5py()
    plist = found.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        raise Unusable(
            "unsupported",
            f"{name[:200]} is a virtual dataset, made up of others that may lie anywhere: copy it "
            "into a file of its own, as by h5repack",
        )
    if plist.get_external_count():
        raise Unusable(
            "unsupported", f"the bytes of {name[:200]} lie in another file (external storage)"
        )


def _soft_target(group: Any, name: str) -> str | None:
    """The path that a soft link holds; None for other links."""
    if link_kind(group, name) != "soft":
        return None
    return str(group.id.links.get_val(_coded(name)).decode("utf-8", "surrogateescape"))


def _is_group(found: Any) -> bool:
    return isinstance(found, _h5py().Group)


def _coded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _readable(source: Source, stack: ExitStack) -> Any:
    """A path, which h5py reads itself, or a file object of ranges."""
    if isinstance(source, RangeFile):
        return stack.enter_context(opened_file(source))
    return os.fspath(source)


def _hint(said: str) -> str:
    if "already open for write" in said:
        return f"the file was not closed by what wrote it (h5clear -s may mend that): {said}"
    if "truncated file" in said:
        return f"the file is cut off: {said}"
    return f"HDF5: {said}"


def _h5py() -> Any:
    """h5py, without any folder of plugins."""
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # heeded where HDF5 is loaded only now
    import h5py

    while h5py.h5pl.size():
        h5py.h5pl.remove(0)
    return h5py
