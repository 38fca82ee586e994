"""What names of pictures say: which sequence one belongs to, and its number there.

frame_0000000001.jpg is number 1 of "frame_*.jpg"; frame-000003.color.png number 3 of
"frame-*.color.png". Of several numbers in a name the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
ANY = ".*"  # at the end of a pattern: of all formats, which a folder may mix
MOST_DIGITS = 18
MOST_NAME = 255  # as file systems have it; of a member of an archive it may be longer
_NUMBERED = re.compile(r"([^*]*?)([0-9]{1,18})([^0-9*]*)(\.[A-Za-z]{3,4})")


class Kind(NamedTuple):
    """A numbered picture: its folder, what its name is but for the number, which is a "*"; that."""

    folder: str
    pattern: str
    number: int


@dataclass(slots=True)
class Numbers:
    """How many pictures there are of a kind, their bytes, the least and the most of their numbers.

    All that is kept of them: there may be millions.
    """

    count: int = 0
    size_bytes: int = 0
    least: int = 1 << 62
    most: int = -1

    def add(self, number: int, size_bytes: int) -> None:
        """Count one."""
        self.count += 1
        self.size_bytes += size_bytes
        self.least, self.most = min(self.least, number), max(self.most, number)

    @property
    def reach(self) -> int:
        """How many numbers there are from the least to the most."""
        return self.most - self.least + 1

    def joined(self, other: Numbers) -> Numbers:
        """Both together."""
        return Numbers(
            self.count + other.count,
            self.size_bytes + other.size_bytes,
            min(self.least, other.least),
            max(self.most, other.most),
        )


class Numbered(NamedTuple):
    """Pictures in the order of their numbers.

    twice: names of numbers that were taken. outside: how many others have numbers that are not
    those that there should be.
    """

    numbers: list[int]
    names: list[str]
    twice: list[str]
    outside: int = 0


def numbered(names: Iterable[str], pattern: str) -> Numbered:
    """The names that a pattern has, by number; of equal numbers the first by name."""
    before, _, behind = pattern.removesuffix(ANY).rpartition("*")
    end = re.escape(behind)
    if pattern.endswith(ANY):
        end += f"(?i:{'|'.join(map(re.escape, SUFFIXES))})"
    return _by_number(names, re.escape(before), end)


def numbered_between(names: Iterable[str], before: str, behind: str) -> Numbered:
    """The same for names that are no files: with a number between these two texts."""
    return _by_number(names, re.escape(before), re.escape(behind))


def _by_number(names: Iterable[str], before: str, behind: str) -> Numbered:
    """before, behind: regular expressions."""
    wanted = re.compile(f"{before}([0-9]{{1,{MOST_DIGITS}}}){behind}")
    found: dict[int, str] = {}
    twice = []
    for name in sorted(names):
        match = wanted.fullmatch(name)
        if match and found.setdefault(int(match[1]), name) != name:
            twice.append(name)
    numbers = sorted(found)
    return Numbered(numbers, [found[number] for number in numbers], twice)


def kind_of(rel: str) -> Kind | None:
    """Which kind of picture a path names, None where it names no numbered one."""
    folder, _, name = rel.rpartition("/")
    found = _NUMBERED.fullmatch(name) if len(name) <= MOST_NAME else None
    if found is None or found[4].lower() not in SUFFIXES:
        return None
    return Kind(folder, f"{found[1]}*{found[3]}{found[4]}", int(found[2]))
