"""The video files of Ego4D: which there are, in any folder, and which one of a uid is used."""

from __future__ import annotations

from dataclasses import dataclass, field

from sofdata.corpora.base import Ignored, count_ignored, counted, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES, is_other_folder, is_video
from sofdata.corpora.ego4d.metadata import METADATA, UID, Video
from sofdata.corpora.ego4d.narrations import NARRATIONS
from sofdata.corpora.ego4d.redaction import OFFICIAL, Found, Redaction
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

MANIFEST = "manifest.csv"
AGAIN = "other file of a uid that is here"
CLIP = "clip is part of a video that is here"
GROUPED = "video is part of a grouped video that is here"
IN_PARTS = "grouped video whose videos are all here"


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video file, and what is known of it; None where no ego4d.json lies at or above it."""

    item: Item
    found: Found | None

    @property
    def video(self) -> Video | None:
        return self.found.video if self.found else None

    @property
    def id(self) -> str:
        """The uid that it is named by; for any other name its path."""
        if self.video is not None:
            return self.video.uid
        stem = self.found.place.stem if self.found else ""
        return stem if UID.fullmatch(stem) else self.item.rel

    @property
    def is_whole(self) -> bool:
        """Whether it is a video rather than a clip of one."""
        return self.video is not None and self.video.uid == self.video.video


@dataclass(slots=True)
class Files:
    """What lies in a source."""

    videos: list[VideoFile] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)


def find_files(tree: Tree, redaction: Redaction) -> Files:
    """All videos, whatever their name: what is not known is a reject, and not passed over.

    Raises `ConfigError` for a malformed ego4d.json at or above one.
    """
    files = Files()
    items = []
    for item in [_only(tree)] if tree.is_file() else tree.walk():
        hidden, name = is_hidden(item.rel), item.rel.rpartition("/")[2]
        if name in (METADATA, MANIFEST, *NARRATIONS) and not (hidden or is_other_folder(item)):
            files.tables.append(item.rel)
        elif not hidden and _is_input(redaction.base, item):
            items.append(item)
        else:
            count_ignored(files.ignored, item)
    redaction.look(item.rel for item in items)
    files.videos = [VideoFile(item, redaction.of(item.rel)) for item in items]
    return files


def _only(tree: Tree) -> Item:
    return Item(tree.root.rpartition("/")[2], tree.size(""))


def _is_input(base: Tree, item: Item) -> bool:
    """Whether a file is meant as a video; by its content only if it is named by a uid."""
    if is_other_folder(item):
        return False
    if suffix(item.rel) in VIDEO_SUFFIXES:
        return True
    named = UID.search(item.rel.rpartition("/")[2])
    return bool(named) and not item.problem and is_video(base, item.rel, item.size_bytes)


def choose(files: Files) -> tuple[list[VideoFile], list[str]]:
    """One file a uid, by uid; no clip of a video that is here; no video of a group that is.

    A grouped video is used only where one of its videos is not here. What is left out is counted as
    ignored, and noted.
    """
    by_id: dict[str, list[VideoFile]] = {}
    for file in files.videos:
        by_id.setdefault(file.id, []).append(file)
    chosen = {id: min(found, key=_rank) for id, found in sorted(by_id.items())}
    spare = _spare(chosen)
    left = {id for ids in spare.values() for id in ids}
    spare[AGAIN] = [id for id, found in by_id.items() for _ in found[1:]]
    files.ignored.update({what: len(ids) for what, ids in spare.items()})
    notes = [counted(ids, f"{what}; not used twice") for what, ids in spare.items() if ids]
    return [file for id, file in chosen.items() if id not in left], notes


def _rank(file: VideoFile) -> tuple[bool, int, bool, str]:
    """Sorts the files of one uid: readable ones, then those of Ego4D's own folders.

    Of these the smaller pictures come first, since flow is estimated at far less; then any other
    folder, by its path. MP4 comes before other containers.
    """
    bad = bool(file.item.problem) or not file.item.size_bytes
    folder = file.found.place.folder.rpartition("/")[2] if file.found else ""
    place = OFFICIAL.index(folder) if folder in OFFICIAL else len(OFFICIAL)
    return bad, place, suffix(file.item.rel) != ".mp4", file.item.rel


def _spare(chosen: dict[str, VideoFile]) -> dict[str, list[str]]:
    """The uids whose pictures another file shows as well, by why."""
    here = {id for id, file in chosen.items() if file.is_whole and not file.item.problem}
    spare: dict[str, list[str]] = {CLIP: [], GROUPED: [], IN_PARTS: []}
    covered = set[str]()
    for id in sorted(here):
        video = chosen[id].video
        members = set(video.members if video else ())
        if members and members <= here:
            spare[IN_PARTS].append(id)
        else:
            covered |= members
    spare[GROUPED] = sorted(covered & chosen.keys())
    for id, file in chosen.items():
        if file.video and not file.is_whole and file.video.video in here | covered:
            spare[CLIP].append(id)
    return spare
