"""Which videos of some datasets are copies of which, and which one of each is kept.

The same for any order of the datasets' videos, engine and number of workers: of all copies of
something the video with the most windows is kept, of several the one of the earlier dataset, then
the one whose id comes first. Each copy names a video that is kept and that it matches itself;
likeness is not passed on over several videos.

All pairs are looked at: of those whose frames resemble each other anywhere, the motion is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sofdata.dedup.compare import BITS, Match, bits_between, matches
from sofdata.dedup.looks import CROPS, Look, looks_of
from sofdata.dedup.plans import Planned, planned_videos
from sofdata.loading.catalog import Catalog

Name = tuple[int, str]  # a dataset, by its number, and the id of a video
_AT_ONCE = 1 << 22  # pairs of hashes


@dataclass(frozen=True, slots=True)
class Copy:
    """A video that shows what another one does, which is kept. match: None for equal files."""

    video: Name
    kept: Name
    windows: int
    match: Match | None

    def detail(self, kept: str) -> str:
        """A sentence for a person. kept: how to call the video that is kept."""
        if self.match is None:
            return f"its file has the size and the fingerprint of that of '{kept}', which is kept"
        ways = ["mirrored"] * self.match.mirrored
        if self.match.shift_s:
            ways.append(f"shifted by {self.match.shift_s:g} s")
        how = f" ({', '.join(ways)})" if ways else ""
        return f"shows {self.match.overlap_s:g} s of what '{kept}' shows{how}, which is kept"


def find_copies(
    catalog: Catalog,
    near: bool = True,
    follow: Callable[[int, int], None] = lambda done, total: None,
) -> list[Copy]:
    """All copies among the videos of a catalog that have windows, sorted by dataset and id.

    near: also what is no equal file and looks the same. follow: is told how many of all windows
    were looked at.

    Costs a pass over the shards if `near`, and for each pair of videos some microseconds, about 50
    where their frames resemble each other. Raises `ConfigError` where ImageHash is not installed,
    `InputError` where a dataset is damaged.
    """
    planned = planned_videos(catalog)
    equal = _equal(planned)
    if not near:
        return sorted(equal.values(), key=lambda copy: copy.video)
    looks = list(_followed(looks_of(catalog), catalog, follow))
    alike = _alike([look for look in looks if (look.dataset, look.video) not in equal])
    moved = {copy.video: copy.kept for copy in alike}
    # What an equal file was kept for may itself be a copy of something else.
    found = [replace(copy, kept=moved.get(copy.kept, copy.kept)) for copy in equal.values()]
    return sorted([*found, *alike], key=lambda copy: copy.video)


def groups_of(copies: Iterable[Copy]) -> list[list[Name]]:
    """Videos that must be on one side of a split: each kept one with all its copies, sorted."""
    groups: dict[Name, list[Name]] = {}
    for copy in copies:
        groups.setdefault(copy.kept, [copy.kept]).append(copy.video)
    return sorted(sorted(group) for group in groups.values())


def _followed(
    looks: Iterator[Look], catalog: Catalog, follow: Callable[[int, int], None]
) -> Iterator[Look]:
    done, total = 0, catalog.windows.rows
    for look in looks:
        done += look.windows
        follow(done, total)
        yield look


def _rank(look: Look) -> tuple[int, int, str]:
    return -look.windows, look.dataset, look.video


def _equal(planned: Mapping[Name, Planned]) -> dict[Name, Copy]:
    """Videos of equal files, whose spans are the same."""
    kept: dict[object, Name] = {}
    found = dict[Name, Copy]()
    for name, video in sorted(planned.items(), key=lambda each: (-each[1].windows, each[0])):
        first = kept.setdefault(video.content, name)
        if first != name and planned[first].uri != video.uri:
            found[name] = Copy(name, first, video.windows, None)
    return found


def _alike(looks: Sequence[Look]) -> list[Copy]:
    """Copies among videos, of which those that rank first are kept."""
    ranked = sorted(looks, key=_rank)
    moving = [look for look in ranked if look.motion.any() and len(look.times_s)]
    resembling = _Resembling(moving)
    kept, copies = list[int](), list[Copy]()
    for number, look in enumerate(moving):
        candidates = resembling.among(number, kept)
        found = list(matches(look, [moving[each] for each in candidates]))
        if not found:
            kept.append(number)
            continue
        place, match = max(found, key=lambda each: (each[1].agreement, -each[0]))
        of = moving[candidates[place]]
        copies.append(Copy((look.dataset, look.video), (of.dataset, of.video), look.windows, match))
    return copies


class _Resembling:
    """Which videos have any frame that resembles one of another video, by their hashes."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks
        frames = [len(look.times_s) for look in looks]
        self._starts = np.cumsum([0, *frames])
        self._video = np.repeat(np.arange(len(looks)), frames)
        no_hashes, none = np.zeros((0, len(CROPS)), np.uint64), np.zeros(0, np.uint64)
        self._hashes = np.concatenate([no_hashes, *(look.hashes for look in looks)])
        self._mirrored = np.concatenate([none, *(look.mirrored for look in looks)])

    def among(self, number: int, others: Sequence[int]) -> list[int]:
        """Those of some earlier videos that do."""
        if not others:
            return []
        look, end = self._looks[number], int(self._starts[number])
        whole = np.concatenate([look.hashes[:, 0], look.mirrored])
        near = self._near(whole, self._hashes[:end])  # the others may be cropped ...
        cropped = look.hashes[:, 1:].ravel()
        near |= self._near(cropped, self._hashes[:end, :1])  # ... or this one
        near |= self._near(cropped, self._mirrored[:end, None])
        found = np.intersect1d(self._video[:end][near], others)
        return [int(each) for each in found]

    @staticmethod
    def _near(some: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which rows of hashes [N,C] have one that is near to any of some."""
        near = np.zeros(len(hashes), np.bool_)
        rows = max(1, _AT_ONCE // max(1, len(some) * hashes.shape[1]))
        for first in range(0, len(hashes), rows):
            part = hashes[first : first + rows]
            bits = _popcount(part[:, :, None] ^ some)
            near[first : first + rows] = (bits <= BITS).any(axis=(1, 2))
        return near


def _popcount(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):  # since NumPy 2
        found: NDArray[np.uint8] = np.bitwise_count(values)
        return found
    return bits_between(values, np.zeros_like(values)).astype(np.uint8)
