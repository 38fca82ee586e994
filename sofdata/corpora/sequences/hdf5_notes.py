"""What the user should see of HDF5 files: what is left out, and what may not be as it looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sofdata.corpora.base import counted
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.sequences.hdf5_looks import FoundFile
from sofdata.storage.walk import Item

BOTTOM_UP = "opengl"  # robosuite's word for pictures whose first row is the lowest


class Notes:
    """Collects what is to be said, file by file."""

    def __init__(self, config: SequenceConfig) -> None:
        self._config = config
        self._left = Counter[str]()
        self._named: dict[str, list[str]] = {}

    def add(self, item: Item, file: FoundFile) -> None:
        """Take note of a file."""
        self._left.update(file.left_out)
        for what in self._of_file(file):
            self._named.setdefault(what, []).append(item.rel)
        for sequence in file.sequences:
            recording = file.recordings[sequence.recording]
            samples = recording.samples
            if samples not in (-1, sequence.count, sequence.steps):
                what = "its num_samples is not the number of its pictures, which counts"
                self._named.setdefault(what, []).append(f"{item.rel}/{sequence.path}")
            if recording.ends:
                what = "holds several episodes one behind the other, and windows may span two"
                self._named.setdefault(what, []).append(f"{item.rel}/{sequence.path}")

    def sentences(self) -> Iterator[str]:
        """All that is to be said."""
        if self._left:
            parts = ", ".join(f"{number} x {what}" for what, number in sorted(self._left.items()))
            yield f"left out of HDF5 files: {parts}"
        for what, names in sorted(self._named.items()):
            yield counted(names, what)

    def _of_file(self, file: FoundFile) -> Iterator[str]:
        config, sequences = self._config, file.sequences
        if not sequences and not file.problems:
            yield "HDF5 file holds no pictures in colour; ignored"
        if config.fps is not None and any(each.times or each.fps for each in sequences):
            yield "HDF5 file says itself when its pictures were taken; sequences.fps is not heeded"
        if config.fps is not None and any(each.problem for each in sequences):
            yield "HDF5 file is not clear on its times; sequences.fps counts"
        libero = file.is_libero and not file.convention
        if config.turn is None and (file.convention == BOTTOM_UP or libero):
            yield (
                "HDF5 file whose pictures lie upside down, as MuJoCo gives them (LIBERO): they are "
                "taken so; --set sequences.turn=flip makes them upright"
            )
        compressed = any(each.compress for each in file.recordings.values())
        if config.channels == "rgb" and compressed and any(each.encoded for each in sequences):
            yield (
                "HDF5 file of compressed pictures, in which ALOHA's recorder exchanges red and "
                "blue: if they look so, --set sequences.channels=bgr"
            )
