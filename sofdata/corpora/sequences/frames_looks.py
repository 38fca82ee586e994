"""Whether a source looks like films in numbered pictures, of which little is read for that.

It does if it holds no video, and a kind of at least `SURE` pictures, most numbers of which are
there, named as programs name frames and not as phones name photos.
"""

from __future__ import annotations

import itertools
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from sofdata.corpora.base import is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.sequences.names import is_photo, shown
from sofdata.corpora.sequences.numbered import ARCHIVES
from sofdata.storage.archives.tar_headers import TarHeaders
from sofdata.storage.tree import Tree
from sofdata.video.sequences import packed
from sofdata.video.sequences.names import Numbers, kind_of
from sofdata.video.sequences.zarrs.members import first_names

LOOKED_AT = 10_000  # items of a source, to tell what it is
SURE = 8  # pictures of a kind, to take them for a film unasked
DENSE = 0.5  # share of the numbers from the first to the last that have to be there for that
_FIRST = 64  # members of an archive that are looked at
_ARCHIVES = 3


def looks_like_frames(tree: Tree) -> str:
    """Why the source looks like films in pictures, "" where it does not or holds videos, too."""
    if tree.is_file():
        name = tree.root.rpartition("/")[2]
        found = frames_in_archive(tree.parent(), name) if suffix(name) in ARCHIVES else ""
        return f"a {suffix(name)[1:]} of numbered pictures such as {found}" if found else ""
    counts: dict[tuple[str, str], Numbers] = defaultdict(Numbers)
    archives: list[str] = []
    for item in itertools.islice(tree.walk(), LOOKED_AT):
        if item.problem or is_hidden(item.rel):
            continue
        if suffix(item.rel) in VIDEO_SUFFIXES:
            return ""
        if suffix(item.rel) in ARCHIVES:
            archives.append(item.rel)
        elif kind := kind_of(item.rel):
            counts[kind.folder, kind.pattern].add(kind.number, 0)
    for (folder, pattern), numbers in counts.items():
        dense = numbers.count >= max(SURE, DENSE * numbers.reach)
        if dense and not is_photo(pattern) and not shown(folder, pattern):
            return f"a folder of numbered pictures: {folder}/{pattern}"
    for rel in archives[:_ARCHIVES]:
        if name := frames_in_archive(tree, rel):
            return f"{suffix(rel)[1:]}s of numbered pictures: {name} in {rel}"
    return ""


def frames_in_archive(tree: Tree, rel: str) -> str:
    """The first of several numbered pictures of a kind at the beginning of a tar or zip, or ""."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    with suppress(tarfile.TarError, OSError):  # one that is cut off has some
        for name in _first_names(tree, rel):
            kind = None if packed.is_hidden(name) else kind_of(name)
            if kind is not None:
                kinds[kind.folder, kind.pattern].append(name)
    return next((names[0] for (_, pattern), names in kinds.items() if _enough(names, pattern)), "")


def _first_names(tree: Tree, rel: str) -> Iterator[str]:
    with tree.open(rel) as handle:
        names: Iterable[str]
        if suffix(rel) == ".zip":
            names = first_names(handle)
        else:
            names = (member.name for member in TarHeaders(handle))
        yield from itertools.islice(names, _FIRST)


def _enough(names: list[str], pattern: str) -> bool:
    return len(names) >= SURE and not is_photo(pattern)
