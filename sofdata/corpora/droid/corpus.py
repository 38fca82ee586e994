"""DROID as it was recorded (droid_raw): a robot arm in many labs, with three stereo cameras.

Khazatsky et al., "DROID: a large-scale in-the-wild robot manipulation dataset", RSS 2024. Layout
and fields are those of droid-dataset/droid (docs/the-droid-dataset.md, droid/postprocessing):

    1.0.1/LAB/success/DATE/TIME/metadata_UUID.json      uuid, lab, success, current_task, serials of
                                                        cameras, building, scene_id
                               /trajectory.h5           a row a step: times, actions, states
                               /recordings/MP4/SERIAL.mp4           the left view of a camera
                               /recordings/MP4/SERIAL-stereo.mp4    both views side by side
                               /recordings/MP4/SERIAL_timestamps.json   of frames; rarely there
                               /recordings/SVO/SERIAL.svo           takes the maker's software
             failure/...
    1.0.1/aggregated-annotations-*.json                 three instructions by uuid

The MP4s state the nominal rate of the camera, 60 frames a second, but hold a frame a step of the
robot, at about 15 Hz (facebookresearch/vjepa2, issue 183: 105 frames span 7.4 s). So their clock is
not believed: the n-th frame has the time of the n-th step for its camera in trajectory.h5, as
DROID's own reader pairs them, or that of SERIAL_timestamps.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sofdata.corpora.base import Listing, counted, is_hidden, names_in
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.droid.actions import ACTIONS, HEADS, HZ, STATES, common_layout, with_actions
from sofdata.corpora.droid.episodes import (
    AGAIN,
    METADATA,
    SVO,
    TRAJECTORY,
    Camera,
    Episode,
    Files,
    Metadata,
    find_files,
    read_language,
    read_metadata,
)
from sofdata.corpora.droid.trajectories import Clock, Steps, read_steps, stamped_clock
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.arrays import Layout, spec_of
from sofdata.corpora.sequences.tracks import read_track
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.types import ActionRef, ActionSpec, ActionTrack, Annotations
from sofdata.video.sequences.place import SequencePlace

STEREO = "stereo video of a camera whose left view is here"
NO_VIDEO = "episodes without a video"
_OUTCOMES = ("success", "failure")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LOOKS = 16  # folders whose names are looked at, to tell what a source is
_TRIED = 3  # folders of a level


@dataclass(frozen=True, slots=True)
class _Read:
    """An episode with all that was read of it. steps: or why they cannot be read, in words."""

    episode: Episode
    about: Metadata
    steps: Steps | str
    instructions: Sequence[str]

    def clock(self, serial: str) -> Clock | None:
        """Of a camera, as trajectory.h5 has it."""
        return None if isinstance(self.steps, str) else self.steps.clock(serial)

    @property
    def outcome(self) -> str:
        """ "success" or "failure", "" where nothing says."""
        if self.about.success is not None:
            return _OUTCOMES[not self.about.success]
        return self.placed

    @property
    def placed(self) -> str:
        """The same, after the folder that it lies in."""
        parts = self.episode.folder.split("/")
        return next((part for part in reversed(parts) if part in _OUTCOMES), "")


@dataclass(frozen=True)
class Droid:
    """Every camera of every episode is a video, with the times of the robot's steps."""

    config: SequenceConfig = field(default_factory=SequenceConfig)

    name = "droid"
    summary = "DROID raw: LAB/success/DATE/TIME/trajectory.h5, recordings/MP4; --with-actions"
    example = "sofdata ingest droid_raw/1.0.1 DEST --with-actions"
    formats = ("film", "droid", "hdf5")
    settings = ("fps",)

    def configured(self, config: SequenceConfig) -> Droid:
        """With the rate of videos whose trajectory.h5 cannot be read, and how all are shown."""
        return Droid(config)

    def detect(self, tree: Tree) -> str:
        found = "" if tree.is_file() else _first_episode(tree)
        return f"DROID: {found}" if found else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed file of instructions, or where there is no video."""
        return self._list(tree, ())

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        return self._list(tree, (*ACTIONS, *(STATES if with_state else ())))

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)

    def _list(self, tree: Tree, arrays: Sequence[str]) -> Listing:
        files = find_files(tree)
        read = list(_read(tree, files, arrays))
        if not any(one.episode.is_recorded for one in read):
            raise ConfigError(
                f"{tree.name} holds no recordings of DROID: looked for {TRAJECTORY} with "
                "recordings/MP4/SERIAL.mp4 beside it"
            )
        layout = common_layout(tree, [one.steps for one in read], arrays) if arrays else None
        entries = [entry for one in read for entry in self._entries(tree, files, one, layout)]
        spec = spec_of(layout, HEADS, HZ) if layout else None
        bare = sum(not one.episode.is_recorded for one in read)
        return Listing.of(
            entries,
            files.ignored,
            _notes(files, read),
            actions=spec,
            tables=files.tables,
            unused={NO_VIDEO: bare},
        )

    def _entries(
        self, tree: Tree, files: Files, one: _Read, layout: Layout | None
    ) -> Iterator[Entry]:
        for serial, camera in sorted(one.episode.cameras.items()):
            item = _chosen(files, camera)
            if item is not None:
                yield self._entry(tree, one, serial, item, layout)
            elif camera.svo:
                yield _only_svo(one, serial, camera.svo[0])

    def _entry(
        self,
        tree: Tree,
        one: _Read,
        serial: str,
        item: Item,
        layout: Layout | None,
    ) -> Entry:
        camera, about = one.episode.cameras[serial], one.about
        entry = _bare_entry(one, serial, item)
        if item in camera.stereo:
            entry = replace(entry, annotations=Annotations(eye="left"))
        if entry.problem or about.problem:
            problem, detail = entry.problem or about.problem, entry.detail or about.detail
            return replace(entry, problem=problem, detail=detail)
        stamps = stamped_clock(tree, camera.stamps) if camera.stamps else None
        clock = stamps or one.clock(serial)
        times = {"fps": self.config.fps} if clock is None else clock.options
        if clock is None and self.config.fps is None:
            return replace(entry, problem="no_times", detail=_no_times(one, serial))
        place = SequencePlace.of("film", "", **times, **self.config.shown)
        entry = replace(entry, uri=Location(item.rel, sequence=place.text).uri)
        rel = one.episode.trajectory.rel if one.episode.trajectory else ""
        return (
            entry if layout is None else with_actions(entry, rel, one.steps, serial, layout, clock)
        )


# Finding them


def _first_episode(tree: Tree) -> str:
    """The folder of an episode, "" where none is found in the first folders of each level."""
    waiting, looked = [""], 0
    while waiting and looked < _LOOKS:
        folder = waiting.pop()
        names = [name for name in names_in(tree, folder) if not is_hidden(name)]
        looked += 1
        beside = "recordings" in names or any(METADATA.fullmatch(name) for name in names)
        if TRAJECTORY in names and beside:
            return f"{folder}/{TRAJECTORY}".lstrip("/")
        next_ones = _below(folder, names)
        waiting += [f"{folder}/{name}".lstrip("/") for name in reversed(next_ones[:_TRIED])]
    return ""


def _below(folder: str, names: Sequence[str]) -> list[str]:
    """The folders in which an episode may lie: outcome, date, time, and what is above them."""
    for fits in (_OUTCOMES.__contains__, _DATE.fullmatch):
        if found := sorted(name for name in names if fits(name)):
            return found
    above = [name for name in names if "." not in name or re.fullmatch(r"[\d.]+", name)]
    parts = folder.split("/")
    if _DATE.fullmatch(parts[-1]) or len(parts) < 3:
        return sorted(above)
    return []


# Reading them


def _read(tree: Tree, files: Files, arrays: Sequence[str]) -> Iterator[_Read]:
    episodes = [files.episodes[folder] for folder in sorted(files.episodes)]
    about = list(read_metadata(tree, episodes))
    steps = list(read_steps(tree, episodes, arrays))
    language = read_language(tree, files, {each.uuid for each in about if each.uuid})
    for episode, said, found in zip(episodes, about, steps, strict=True):
        yield _Read(episode, said, found, language.get(said.uuid, ()))


# Entries


def _chosen(files: Files, camera: Camera) -> Item | None:
    """The video of a camera to use: one view rather than two of them. Others are counted."""
    both = [*camera.left[:1], *camera.stereo[:1]]
    good = [item for item in both if not item.problem and item.size_bytes]
    chosen = next(iter([*good, *both]), None)
    files.ignored[STEREO] += len(both) == 2
    files.ignored[AGAIN] += len(camera.left[1:]) + len(camera.stereo[1:])
    files.ignored[SVO] += len(camera.svo[chosen is None :])
    return chosen


def _bare_entry(one: _Read, serial: str, item: Item) -> Entry:
    """With id, text and labels, whether or not it can be used."""
    about, folder = one.about, one.episode.folder
    role = dict(about.roles).get(serial, "")
    said = [*one.instructions, about.task]
    labels = {
        **dict(about.labels),
        "outcome": one.outcome,
        "camera": role or serial,
        "serial": serial,
        "episode": about.uuid,
        "recording": about.uuid or folder,
        "task": about.task,
        "instruction_2": one.instructions[1] if len(one.instructions) > 1 else "",
        "instruction_3": one.instructions[2] if len(one.instructions) > 2 else "",
    }
    return Entry(
        id=f"{about.uuid or folder}/{serial}".lstrip("/"),
        uri=item.uri,
        size_bytes=item.size_bytes,
        text=next((text for text in said if text), ""),
        labels={key: value for key, value in labels.items() if value},
        problem=item.problem,
        detail=item.detail,
        stamp=item.stamp,
    )


def _only_svo(one: _Read, serial: str, item: Item) -> Entry:
    detail = "an SVO takes the software of the camera's maker: convert it to MP4, as by DROID's "
    entry = _bare_entry(one, serial, item)
    problem = entry.problem or "unsupported"
    return replace(entry, problem=problem, detail=entry.detail or f"{detail}svo_to_mp4")


def _no_times(one: _Read, serial: str) -> str:
    why = one.steps if isinstance(one.steps, str) else f"{TRAJECTORY} has no times of {serial}"
    return (
        f"{why}, and the video's own clock runs at the camera's nominal rate; fetch the file, or "
        f"give the rate of all such videos: --set sequences.fps={HZ:g}"
    )


# What its user should know


def _notes(files: Files, read: Sequence[_Read]) -> list[str]:
    notes = []
    if stereo := files.ignored[STEREO]:
        notes.append(f"{stereo} x {STEREO}; not used twice")
    if files.stray:
        notes.append(counted(files.stray, "video lies in no recordings/MP4; ignored"))
    if not files.language:
        notes.append("no aggregated-annotations-*.json; texts are what its collector typed")
    odd = [one.about.uuid for one in read if one.placed and one.placed != one.outcome]
    if odd:
        notes.append(counted(odd, "episode lies in another folder than its outcome; that counts"))
    other = [
        f"{one.about.uuid} {serial}"
        for one in read
        if isinstance(one.steps, Steps)
        for serial in one.episode.cameras
        if serial not in one.steps.clocks and one.clock(serial)
    ]
    if other:
        notes.append(counted(other, "camera has no times of its own; those of the steps are used"))
    return notes
