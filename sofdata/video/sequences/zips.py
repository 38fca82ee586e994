"""Numbered pictures in a zip, where they lie: clip_1.zip with frame_0001.jpg, ... in it.

Places are named as `packed` says. Members may be stored or deflated; what is encrypted or packed
otherwise cannot be read. Of members with one name the last counts, as it does when a zip is
unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.frames import MOST_PICTURE_BYTES, chosen, codec_of, oddities
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.packed import Contents, list_of_times
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import MOST_BYTES, timeline
from sofdata.video.sequences.zarrs.files import ZipFiles


@dataclass(slots=True)
class ZipFrames:
    """The pictures of one kind in a zip. names: of its members, in the order of their numbers."""

    files: ZipFiles
    names: list[str]
    times_s: NDArray[np.float64]
    codec: str
    damage: tuple[int, tuple[str, ...]]

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            yield _read(self.files, self.names[number])

    def close(self) -> None:
        self.files.close()


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """What lies in a zip, as `Contents.told` says it. options: "times", as `Contents` has it."""
    found = Contents(options.get("times"))
    with closing(ZipFiles(source)) as files:
        for name in files.names():
            if not name.endswith("/"):
                found.add(name, files.size(name) or 0)
    return found.told(whole=True)


def open_sequence(source: Source, place: SequencePlace) -> ZipFrames:
    """Raises `Unusable` where there is no such picture, or no time for it."""
    listed = list_of_times(place)
    files = ZipFiles(source)
    try:
        stated = _times(files, listed, source) if listed else None
        found = chosen(files.names(), place, source)
        times_s, lost, odd = timeline(found.numbers, place, stated)
        first = _read(files, found.names[0])
        codec = codec_of(first if isinstance(first, bytes) else None, found.names[0])
        damage = lost, (*odd, *oddities(found))
        return ZipFrames(files, found.names, times_s, codec, damage)
    except BaseException:
        files.close()
        raise


def _read(files: ZipFiles, name: str) -> StoredImage:
    if (files.size(name) or 0) > MOST_PICTURE_BYTES:
        return None
    try:
        return files.read(name)
    except (OSError, ValueError) as error:
        return DamagedImage(str(error))


def _times(files: ZipFiles, name: str, source: Source) -> bytes:
    size = files.size(name)
    if size is None:
        raise Unusable("no_times", f"{source}: there is no {name} in it")
    if size > MOST_BYTES:
        raise Unusable("no_times", f"{source}: {name} has more than {MOST_BYTES} bytes")
    try:
        return files.read(name)
    except (OSError, ValueError) as error:
        raise Unusable("no_times", f"{source}: {name}: {error}") from None
