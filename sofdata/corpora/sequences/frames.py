"""Folders of numbered pictures: rgb_frames/P01/P01_01/frame_0000000001.jpg, ...

Every folder that holds pictures whose names differ in a number alone is a sequence; of several
kinds of names in a folder (cam0_001.jpg, cam1_001.jpg) each is one. Their times come from
`sequences.fps` or `sequences.times`, and nothing else: no file says them.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, Listing, count_ignored, is_hidden
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.video.sequences.place import SequencePlace

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
LOOKED_AT = 2000  # items of a source, to tell what it is
LEAST = 2  # pictures: one alone shows no motion
_NUMBERED = re.compile(r"(.*?)(\d{1,18})(\.[A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class _Folder:
    """Pictures of one kind of name in one folder."""

    folder: str
    pattern: str


@dataclass(frozen=True)
class FrameFolders:
    """Every folder of numbered pictures is a video; its id is its path."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "frames"
    summary = "folders of numbered pictures, as of EPIC-KITCHENS' rgb_frames; sequences.fps"
    example = "sofdata ingest rgb_frames DEST --set sequences.fps=60"
    formats = ("frames",)

    def configured(self, config: SequenceConfig) -> FrameFolders:
        """With the rate of the pictures, or the name of the files of their times."""
        return FrameFolders(config)

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            return ""
        found = (_kind(item) for item in itertools.islice(tree.walk(), LOOKED_AT))
        counts: dict[_Folder, int] = defaultdict(int)
        for kind in found:
            if kind is not None:
                counts[kind] += 1
                if counts[kind] >= LEAST:
                    return f"a folder of numbered pictures: {kind.folder}/{kind.pattern}"
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where neither a rate nor times are given."""
        if self.config.fps is None and self.config.times is None:
            raise ConfigError(
                f"the pictures in {tree.name} do not say when they were taken: give their rate, as "
                "by --set sequences.fps=30, or the name of a file beside them that has their "
                "times, as by --set sequences.times=times.txt"
            )
        sizes: dict[_Folder, list[int]] = defaultdict(list)
        ignored = Ignored()
        for item in tree.walk():
            kind = _kind(item)
            if kind is None:
                count_ignored(ignored, item)
            else:
                sizes[kind].append(item.size_bytes)
        per_folder: dict[str, list[_Folder]] = defaultdict(list)
        for kind in sizes:
            per_folder[kind.folder].append(kind)
        entries = [
            self._entry(kind, sum(sizes[kind]), alone=len(per_folder[kind.folder]) == 1)
            for kind in sorted(sizes, key=lambda kind: (kind.folder, kind.pattern))
        ]
        return Listing.of(entries, ignored)

    def _entry(self, kind: _Folder, size_bytes: int, alone: bool) -> Entry:
        config = self.config
        given = {"times": config.times} if config.times else {"fps": config.fps}
        place = SequencePlace.of("frames", kind.pattern, **given, **config.shown)
        id = kind.folder if alone and kind.folder else f"{kind.folder}/{kind.pattern}".strip("/")
        folder = f"{kind.folder}/" if kind.folder else "./"
        uri = Location(folder, sequence=place.text).uri
        return Entry(id, uri, 0, labels={"folder": kind.folder})


def _kind(item: Item) -> _Folder | None:
    """Which sequence a file belongs to, None where it is no numbered picture."""
    folder, _, name = item.rel.rpartition("/")
    found = None if item.problem or is_hidden(item.rel) else _NUMBERED.fullmatch(name)
    if found is None or found[3].lower() not in SUFFIXES:
        return None
    return _Folder(folder, f"{found[1]}*{found[3]}")
