"""Cameras of a LeRobot dataset that are kept as pictures: in the files of rows, or in folders.

    data/...parquet                  a column of {bytes, path}: what lerobot writes, v2.0 to v3.0
    images/CAMERA/episode_000000/frame_000000.png      v2: what was recorded, before it is put there
    images/CAMERA/episode-000000/frame-000000.png      the same in v3.0

(huggingface/lerobot, src/lerobot/datasets: dataset_writer.py, utils.py.) Both may be here at once,
and the rows then count. What a column says of paths is not followed: some lead to the machine on
which the dataset was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, is_hidden
from sofdata.corpora.lerobot.info import Info, fill
from sofdata.corpora.readers.columns import mean_bytes
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.video.sequences.names import Numbers, kind_of
from sofdata.video.sequences.place import SequencePlace

TWICE, SPARE = "picture that is in the rows, too", "picture of no episode"
_TEMPLATES = (
    "images/{camera}/episode_{episode:06d}",
    "images/{camera}/episode-{episode:06d}",
)
_OF_EPISODE = re.compile(r"images/[^/]+/episode[_-]\d+/[^/]+\Z")
_LEAST_BYTES = 16  # of a picture; what a row of nulls takes is less


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pictures of an episode are: a file or a folder, and in which words there."""

    uri: str
    sequence: str


@dataclass(slots=True)
class Pictures:
    """The pictures of a dataset, of which the files are counted and not kept.

    used: folders of episodes. twice: those of which the rows hold the pictures.
    """

    tree: Tree
    info: Info
    folders: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    _in_rows: dict[tuple[str, str], bool] = field(default_factory=dict)

    def without(self, items: Iterable[Item]) -> Iterator[Item]:
        """What a walk finds but for the pictures in folders, which are counted."""
        for item in items:
            kind = kind_of(item.rel) if _OF_EPISODE.match(item.rel) else None
            if kind is None or item.problem or is_hidden(item.rel):
                yield item
            else:
                there = self.folders.setdefault(kind.folder, {})
                there.setdefault(kind.pattern, Numbers()).add(kind.number, item.size_bytes)

    def place(self, camera: str, episode: int, rows: int, data: str) -> Place:
        """Where a camera's pictures of an episode are. data: the file of its rows, or "".

        Asks the file for its columns only where there is a folder, too.
        """
        folder = self._folder(camera, episode)
        if folder and data and self._has_rows(camera, data):
            self.twice.add(folder)
        elif folder:
            self.used.add(folder)
            return Place(f"{folder}/", self._in_folder(folder, rows))
        options = {"episode": episode, "rows": rows, "fps": self.info.fps}
        return Place(data, SequencePlace.of("parquet", camera, **options).text)

    def count(self, ignored: Ignored) -> None:
        """Count the pictures that are no input; to be asked once all places were."""
        for folder, kinds in self.folders.items():
            counts = sorted((numbers.count for numbers in kinds.values()), reverse=True)
            if folder in self.used:
                ignored[SPARE] += sum(counts[1:])
            else:
                ignored[self._why(folder)] += sum(counts)

    def _why(self, folder: str) -> str:
        kinds = {self.info.left_out.get(part, "") for part in folder.split("/")} - {""}
        if kinds:
            return f"{min(kinds)} picture"
        return TWICE if folder in self.twice else SPARE

    def _folder(self, camera: str, episode: int) -> str:
        names = (fill(each, camera=camera, episode=episode) for each in _TEMPLATES)
        return next((name for name in names if name in self.folders), "")

    def _in_folder(self, folder: str, rows: int) -> str:
        """The words for the kind of which there are most pictures; lerobot counts from 0."""
        kinds = self.folders[folder]
        pattern = max(sorted(kinds), key=lambda name: kinds[name].count)
        first = int(kinds[pattern].least == 1 and kinds[pattern].most == rows)
        options = {"fps": self.info.fps, "first": first, "count": rows}
        return SequencePlace.of("frames", pattern, **options).text

    def _has_rows(self, camera: str, data: str) -> bool:
        key = camera, data
        if key not in self._in_rows:
            try:
                paths = (f"{camera}.bytes", camera)
                found = max(mean_bytes(self.tree, data, path) for path in paths)
            except ConfigError:  # it is not there, or no Parquet
                found = 0
            self._in_rows[key] = found > _LEAST_BYTES
        return self._in_rows[key]
