"""What tars and zips of numbered pictures have in common: how their members are counted and named.

The name of a place is the path of the pictures in the archive, with a "*" for their number. Its
options are those of `times`; the list of times is a member beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.names import Numbers, kind_of
from sofdata.video.sequences.place import SequencePlace

MOST_KINDS = 10_000  # of names in one archive
OTHER, HIDDEN, BAD_NAME = "file that is no numbered picture", "hidden", "name that is no UTF-8"
_MAC = "__MACOSX/"  # where macOS puts what belongs to the files of a zip


@dataclass(slots=True)
class Contents:
    """What lies in an archive, of which no single picture is kept.

    times: what lists of times are called. kinds: by folder and pattern. ignored: other members, by
    what they are. files: the paths of lists of times.
    """

    times: str | None
    kinds: dict[tuple[str, str], Numbers] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def add(self, name: str, size_bytes: int) -> None:
        """Count a file. Raises `Unusable` where there are too many kinds of them."""
        kind = kind_of(name)
        if is_hidden(name):
            self.ignore(HIDDEN)
        elif not _is_utf8(name):
            self.ignore(BAD_NAME)
        elif kind is not None:
            known = self.kinds.setdefault((kind.folder, kind.pattern), Numbers())
            known.add(kind.number, size_bytes)
        elif name.rpartition("/")[2] == self.times:
            self.files.append(name)
        else:
            self.ignore(OTHER)
        if len(self.kinds) > MOST_KINDS or len(self.files) > MOST_KINDS:
            raise damaged(f"more than {MOST_KINDS} kinds of pictures are in it")

    def ignore(self, what: str) -> None:
        """Count a member that is none of the pictures."""
        self.ignored[what] = self.ignored.get(what, 0) + 1

    def told(self, whole: bool) -> dict[str, Any]:
        """As JSON: kinds as [folder, pattern, count, least, most], and the rest under its names."""
        kinds = sorted(self.kinds.items())
        found = [[*key, each.count, each.least, each.most] for key, each in kinds]
        return {"kinds": found, "ignored": self.ignored, "files": self.files, "whole": whole}


def is_hidden(name: str) -> bool:
    """Whether a member is none for people: macOS adds ._frame_0001.jpg to frame_0001.jpg."""
    return name.startswith((".", _MAC)) or "/." in name


def list_of_times(place: SequencePlace) -> str:
    """The path of the list of times of a place, "" for none."""
    folder = place.name.rpartition("/")[0]
    return f"{folder}/{place.get('times')}".lstrip("/") if place.get("times") else ""


def _is_utf8(name: str) -> bool:
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False
