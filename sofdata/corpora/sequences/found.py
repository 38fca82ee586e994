"""What a walk finds of numbered pictures: counts by folder and name, and the files beside them.

Nothing is kept of a single picture, of which there may be millions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.sequences.names import shown
from sofdata.corpora.sequences.texts import is_text
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.video.sequences.names import ANY, Numbers, kind_of

LEAST = 2  # pictures: one alone shows no motion
LONE = "single picture"
# Archives of which nothing can be had but by unpacking all that is before it.
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
VIDEO = "video beside pictures"
Kinds = dict[str, Numbers]


@dataclass(slots=True)
class Found:
    """Numbered pictures by folder and pattern, and other files by their paths.

    archives: tars and zips. packed: archives that are not read. texts: with their size in bytes.
    left_out: how many pictures show something else than light, and one of them, by what they show.
    """

    folders: dict[str, Kinds] = field(default_factory=lambda: defaultdict(dict))
    archives: list[Item] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    times: set[str] = field(default_factory=set)
    ignored: Ignored = field(default_factory=Ignored)
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)

    def leave_out(self, kind: str, count: int, example: str, where: str = "") -> None:
        """Count pictures of depth or the like."""
        before, first = self.left_out.get(kind, (0, example))
        self.left_out[kind] = before + count, first
        self.ignored[f"{kind} picture{where}"] += count


def look_through(tree: Tree, times: str | None) -> Found:
    """Go through a source once. times: the name of lists of times."""
    found = Found()
    for item in tree.walk():
        kind = None if item.problem or is_hidden(item.rel) else kind_of(item.rel)
        if kind is not None:
            kinds = found.folders[kind.folder]
            if kind.pattern not in kinds:
                kinds[kind.pattern] = Numbers()
            kinds[kind.pattern].add(kind.number, item.size_bytes)
        else:
            _other(found, item, times)
    for folder in list(found.folders):
        found.folders[folder] = sequences(found, folder, found.folders[folder])
    return found


def is_packed(name: str) -> bool:
    """Whether a file is an archive that has to be unpacked, by its name."""
    return name.lower().endswith(PACKED)


def sequences(found: Found, folder: str, kinds: Mapping[str, Numbers], where: str = "") -> Kinds:
    """Which kinds of a folder are sequences; what is none is counted. where: " in a tar", say.

    Kinds that differ in their suffix alone are one, unless they have the same numbers: frames with
    a mask beside each.
    """
    kept: Kinds = {}
    for pattern, numbers in sorted(_joined(kinds).items()):
        if what := shown(folder, pattern):
            found.leave_out(what, numbers.count, f"{folder}/{pattern}".lstrip("/"), where)
        elif numbers.count < LEAST:
            found.ignored[LONE + where] += numbers.count
        else:
            kept[pattern] = numbers
    return kept


def _joined(kinds: Mapping[str, Numbers]) -> Kinds:
    stems: dict[str, list[str]] = defaultdict(list)
    for pattern in kinds:
        stems[pattern.rpartition(".")[0]].append(pattern)
    joined: Kinds = {}
    for stem, patterns in stems.items():
        total = Numbers()
        for pattern in patterns:
            total = total.joined(kinds[pattern])
        if len(patterns) > 1 and total.count <= total.reach:
            joined[stem + ANY] = total
        else:
            joined |= {pattern: kinds[pattern] for pattern in patterns}
    return joined


def _other(found: Found, item: Item, times: str | None) -> None:
    """Note a file that is no numbered picture."""
    name, end = item.rel.rpartition("/")[2], suffix(item.rel)
    if item.problem or is_hidden(item.rel):
        count_ignored(found.ignored, item)
    elif name == times:
        found.times.add(item.rel)
    elif end in (".tar", ".zip"):
        found.archives.append(item)
    elif is_text(name):
        found.texts[item.rel] = item.size_bytes
    elif end in VIDEO_SUFFIXES:
        found.ignored[VIDEO] += 1
    else:
        count_ignored(found.ignored, item)
        found.packed += [item.rel] if is_packed(name) else []
