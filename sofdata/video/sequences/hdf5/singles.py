"""Pictures of HDF5 that are a dataset each, with their number in a path: frames/17, step_17/rgb.

Their sequence is named by that path, with a "*" for the number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.hdf5.files import check_readable, find, names
from sofdata.video.sequences.hdf5.pictures import (
    MOST_ROW_BYTES,
    as_picture,
    layout_of,
    may_be_pictures,
    stored_bytes,
)
from sofdata.video.sequences.kinds import is_episode
from sofdata.video.sequences.names import Numbered, numbered_between

LEAST = 8  # pictures: fewer with equal names are cameras rather than moments
_NUMBERED = re.compile(r"([^0-9]*)[0-9]{1,18}([^0-9]*)")


def patterns(paths: Iterable[str]) -> dict[str, str]:
    """What each single picture is one of: its path with "*" for the number of the moment, or ""."""
    candidates = {path: _candidates(path) for path in paths}
    counts = Counter(pattern for mine in candidates.values() for pattern in mine)
    chosen = {}
    for path, mine in candidates.items():
        many = (pattern for pattern in mine if counts[pattern] >= LEAST)
        chosen[path] = next(many, max(mine, key=lambda each: counts[each], default=""))
    return chosen


def _candidates(path: str) -> list[str]:
    """Patterns of a path, the deepest first; numbers of episodes are none of moments."""
    parts = path.split("/")
    found = []
    for at in range(len(parts) - 1, -1, -1):
        number = _NUMBERED.fullmatch(parts[at])
        if number and not is_episode(parts[at]):
            found.append("/".join([*parts[:at], f"{number[1]}*{number[2]}", *parts[at + 1 :]]))
    return found


def members(root: Any, name: str) -> Numbered:
    """The paths of a sequence by number; whether a picture lies at each is not looked at."""
    before, _, behind = name.partition("*")
    folder, _, start = before.rpartition("/")
    end, _, rest = behind.partition("/")
    group = find(root, folder)
    if not hasattr(group, "keys"):
        return Numbered([], [], [])
    found = numbered_between(names(group), start, end)
    paths = ["/".join(filter(None, (folder, each, rest))) for each in found.names]
    return Numbered(found.numbers, paths, found.twice)


@dataclass(slots=True)
class SinglePictures:
    """The pictures at some paths, in order. read, black: as of `RowPictures`."""

    root: Any
    paths: list[str]
    codec: str = "one by one"
    black: int = 0
    read: int = 0

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        """As of a `Sequence`."""
        for number in numbers:
            PROGRESS.packets += 1
            yield self._image(self.paths[number])

    def _image(self, path: str) -> StoredImage:
        try:
            dataset = find(self.root, path)
            if dataset is None or not may_be_pictures(dataset):
                return None
            check_readable(dataset)
            layout = layout_of(dataset)
            if layout is None or not layout.single or dataset.size > MOST_ROW_BYTES:
                return None
            if layout.encoded:
                return stored_bytes(dataset, None)
            found = as_picture(dataset[()], layout)
        except (OSError, RuntimeError, ValueError, Unusable):
            return None
        self.read += 1
        self.black += not found.any()
        return found
