"""HDF5 files of robot labs: robomimic, LIBERO, ACT and ALOHA, and others that hold pictures.

    data/demo_N/obs/CAMERA_image, actions       robomimic, MimicGen, RoboCasa: a file of many
                                                demonstrations; data.attrs env_args, mask/
    data/demo_N/obs/agentview_rgb, actions      LIBERO: the same; data.attrs problem_info
    observations/images/CAMERA, action          ACT, ALOHA: episode_N.hdf5, a file each

In any other file all arrays of pictures are taken, whatever they are called; see
`sofdata.video.sequences.hdf5.pictures` for how they may lie and `.clocks` for their times.

Layouts: https://robomimic.github.io/docs/datasets/overview.html, LIBERO's
scripts/create_dataset.py, ALOHA's aloha_scripts/record_episodes.py.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sofdata.corpora.base import Ignored, Listing, count_ignored, is_hidden, suffix, unread_entry
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.hdf5_actions import choose_actions
from sofdata.corpora.sequences.hdf5_looks import FoundFile, FoundSequence, Listed, checked
from sofdata.corpora.sequences.hdf5_notes import Notes
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.corpora.sequences.tracks import read_track
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.system.extras import require
from sofdata.types import ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.kinds import is_bgr
from sofdata.video.sequences.names import SUFFIXES as PICTURE_SUFFIXES
from sofdata.video.sequences.place import SequencePlace

SUFFIXES = (".h5", ".hdf5", ".he5", ".hdf")
LOOKED_AT = 2000  # items of a source, to tell what it is
NO_PICTURES = "HDF5 file without pictures"
_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_LIBERO_SCENE = re.compile(r"^[A-Z0-9_]*SCENE\d+_")
# Problems with times of which the user may know better.
_ANSWERED_BY_FPS = ("no_times", "two_rates")


@dataclass(frozen=True)
class Hdf5Files:
    """Every camera of every recording is a video; its id is the path of the file and in it."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "hdf5"
    formats = ("hdf5",)
    settings = ("fps", "times")
    summary = "HDF5: robomimic, LIBERO, ACT/ALOHA, and other files of pictures; --with-actions"
    example = "sofdata ingest aloha_episodes DEST --set sequences.fps=50"

    def configured(self, config: SequenceConfig) -> Hdf5Files:
        """With the rate of the pictures, or the name of their times."""
        return Hdf5Files(config)

    def detect(self, tree: Tree) -> str:
        items = itertools.islice(_items(tree), LOOKED_AT)
        counts = Counter(suffix(item.rel) for item in items if not is_hidden(item.rel))
        found = sum(counts[each] for each in SUFFIXES)
        others = (VIDEO_SUFFIXES, PICTURE_SUFFIXES)  # which may lie beside, as a preview of each
        if not found or any(sum(counts[each] for each in kind) > found for kind in others):
            return ""
        return f"HDF5: {found} files of {', '.join(each for each in SUFFIXES if counts[each])}"

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where no file says when its pictures were taken, nor the user."""
        listed, rejects, ignored, notes = self._listed(tree)
        entries = [*(each.entry for each in listed), *rejects]
        return Listing.of(entries, ignored, notes.sentences())

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        """Raises `ConfigError` as `listing`, and where there are no actions, or no states."""
        listed, rejects, ignored, notes = self._listed(tree)
        chosen = choose_actions(tree.name, listed, with_state)
        entries = [*chosen.entries, *rejects]
        sentences = [*notes.sentences(), *chosen.notes]
        return Listing.of(entries, ignored, sentences, actions=chosen.spec)

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)

    def _listed(self, tree: Tree) -> tuple[list[Listed], list[Entry], Ignored, Notes]:
        require("h5py", "hdf5", "reading HDF5 files")
        items, rejects, ignored = _files(tree)
        folder = tree.parent() if tree.is_file() else tree
        options = {"times": self.config.times or ""}
        said = looks(folder, (item.place for item in items), "hdf5", options)
        listed: list[Listed] = []
        notes = Notes(self.config)
        for item, found in zip(items, map(checked, said), strict=True):
            if isinstance(found, NotRead):
                rejects.append(_reject(item, item.rel, found.reason, found.detail))
                continue
            notes.add(item, found)
            if not found.sequences and not found.problems:
                ignored[NO_PICTURES] += 1
            rejects += [
                _reject(item, f"{item.rel}/{path}", *why) for path, why in found.problems.items()
            ]
            listed += [self._entry(item, found, each) for each in found.sequences]
        self._check_times(tree, listed)
        return listed, rejects, ignored, notes

    def _entry(self, item: Item, file: FoundFile, sequence: FoundSequence) -> Listed:
        fps = None if sequence.times else (sequence.fps or self.config.fps)
        problem, detail = self._problem(sequence, fps)
        channels = "bgr" if is_bgr(sequence.path) and not sequence.encoded else None
        place = SequencePlace.of("hdf5", sequence.path, **sequence.clock(fps), channels=channels)
        lasts_s = round(sequence.steps / fps if fps else sequence.lasts_s, 6)
        is_part = len(file.sequences) > 1 and lasts_s > 0 and not problem
        entry = Entry(
            id=f"{item.rel}/{sequence.path}",
            uri=replace(item.place, sequence=place.text).uri,
            size_bytes=item.size_bytes,
            span_s=(0.0, lasts_s) if is_part else None,
            text=_text(item, file, sequence),
            labels=_labels(item, file, sequence),
            problem=problem,
            detail=detail,
            stamp=item.stamp,
        )
        return Listed(entry, item, file, sequence, fps)

    def _problem(self, sequence: FoundSequence, fps: float | None) -> tuple[str, str]:
        """What is wrong with the times of a sequence, and the user has not settled."""
        if fps and sequence.problem in _ANSWERED_BY_FPS:
            return "", ""
        if not sequence.problem and not sequence.times and fps is None:
            return "no_times", _NO_TIMES
        return sequence.problem, sequence.detail

    def _check_times(self, tree: Tree, listed: list[Listed]) -> None:
        """Where not one file says its times, that is for the user to settle."""
        if listed and all(each.entry.detail == _NO_TIMES for each in listed):
            raise ConfigError(f"the pictures in {tree.name} {_NO_TIMES}")


_NO_TIMES = (
    "do not say when they were taken: give their rate, as by --set sequences.fps=50 (ALOHA's), or "
    "the name of the dataset of their times, as by --set sequences.times=timestamps"
)


def _files(tree: Tree) -> tuple[list[Item], list[Entry], Ignored]:
    """The HDF5 files of a source, those that cannot be read, and what else lies there."""
    items, rejects, ignored = [], [], Ignored()
    for item in _items(tree):
        if is_hidden(item.rel) or suffix(item.rel) not in SUFFIXES:
            count_ignored(ignored, item)
        elif item.problem:
            rejects.append(unread_entry(item))
        else:
            items.append(item)
    return items, rejects, ignored


def _items(tree: Tree) -> Iterator[Item]:
    """The files of a source, which may be one alone."""
    if not tree.is_file():
        yield from tree.walk()
        return
    name = tree.root.rstrip("/").rpartition("/")[2]
    found = tree.parent().stat(Location(name))
    yield Item(name, found.size_bytes, stamp=found.stamp)


def _reject(item: Item, id: str, problem: str, detail: str) -> Entry:
    return Entry(id, item.uri, item.size_bytes, problem=problem, detail=detail, stamp=item.stamp)


def _labels(item: Item, file: FoundFile, sequence: FoundSequence) -> dict[str, str]:
    """recording: of the file and in it; episode: its number, or its name where it has none."""
    own = sequence.recording.rpartition("/")[2] or _stem(item)
    number = _NUMBER.search(own)
    keys = [key for key, names in file.filters.items() if own in names]
    labels = {
        "recording": f"{item.rel} {sequence.recording}".strip(),
        "camera": sequence.camera,
        "episode": number[1] if number else own,
        "env": file.recordings[sequence.recording].env,
        "filters": ",".join(keys),
    }
    return {name: value for name, value in labels.items() if value}


def _text(item: Item, file: FoundFile, sequence: FoundSequence) -> str:
    """What the file says is done; of LIBERO's where it says nothing, what the file is called."""
    said = file.recordings[sequence.recording].texts
    stem = _stem(item)
    if said or not file.is_libero or not stem.endswith("_demo"):
        return "; ".join(said)
    return " ".join(_LIBERO_SCENE.sub("", stem.removesuffix("_demo")).split("_"))


def _stem(item: Item) -> str:
    return item.rel.rpartition("/")[2].rpartition(".")[0]
