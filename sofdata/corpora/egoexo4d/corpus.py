"""Ego-Exo4D: people at skilled work, seen by the glasses that they wear and by cameras around them.

Grauman et al., "Ego-Exo4D: understanding skilled human activity from first- and third-person
perspectives", CVPR 2024. The layout is what its command line downloads (docs.ego-exo4d-data.org,
"Takes", "Downscaled Takes", "Metadata"):

    takes.json                                              the takes and their cameras
    takes/TAKE/frame_aligned_videos/cam01.mp4               a camera beside the scene, or several
    takes/TAKE/frame_aligned_videos/aria01_214-1.mp4        the glasses' colour camera
    takes/TAKE/frame_aligned_videos/downscaled/448/*.mp4    the same, smaller
    annotations/splits.json                                 train, val or test of each take
    annotations/atomic_descriptions_train.json, _val.json   what is done when; see `descriptions`

Every colour camera of every take is an input. Left out, and counted, are the glasses' SLAM cameras
(1201-1, 1201-2: grey, and mounted on their sides), their eye trackers (211-1) and collages of
several cameras. The colour camera's sensor is mounted on its side, too, but its frame-aligned
videos are stored upright: the authors' own tool (ego-exo4d-egopose, hand pose) turns them by 90
degrees to get back to the sensor's picture. So nothing is turned here but by what a file says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sofdata.corpora.base import (
    Ignored,
    Listing,
    count_ignored,
    counted,
    is_hidden,
    names_in,
    suffix,
)
from sofdata.corpora.content import is_meant_as_video, is_other_folder
from sofdata.corpora.egoexo4d.descriptions import (
    Moment,
    Moments,
    description_files,
    read_descriptions,
    texts_of,
)
from sofdata.corpora.egoexo4d.takes import TAKES, Take, read_takes
from sofdata.corpora.entry import Entry
from sofdata.corpora.readers import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.types import Annotations

ALIGNED = "frame_aligned_videos"
AGAIN = "other file of a camera that is here"
NO_TAKE = "video of no take"
CAPTURE = "video of a whole capture"
NO_VIDEO = "takes without a video"
_ROOTS = ("", "v2/", "v1/")
_HEAD_BYTES = 1 << 16
_MARKS = (b'"take_uid"', b'"take_name"', b'"frame_aligned_videos"')
_METADATA = ("captures.json", "participants.json", "physical_setting.json", "visual_objects.json")
_SIZE = re.compile(r"\d{2,4}")


@dataclass(frozen=True, slots=True)
class _File:
    """A video of a camera of a take."""

    item: Item
    take: Take
    stem: str


@dataclass(slots=True)
class _Found:
    """What lies in a source. unknown: videos of takes that takes.json does not have."""

    files: dict[tuple[str, str], list[_File]] = field(default_factory=dict)
    unknown: list[Item] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    stray: list[str] = field(default_factory=list)


class EgoExo4D:
    """Every colour camera of every take; windows carry the descriptions of their time."""

    name = "egoexo4d"
    summary = f"Ego-Exo4D v1, v2: {TAKES}, takes/TAKE/{ALIGNED}/CAMERA.mp4, descriptions"
    example = "sofdata ingest egoexo DEST --recipe ego4d"

    def detect(self, tree: Tree) -> str:
        root = _root(tree)
        return "" if root is None else f"Ego-Exo4D: {root}{TAKES}"

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` where takes.json is missing or malformed, or a label file is."""
        root = _root(tree)
        if root is None:
            raise ConfigError(
                f"{tree.name} has no {TAKES} of Ego-Exo4D at its top: give the folder that it was "
                "downloaded to, or --corpus folder to take the videos without labels"
            )
        takes = read_takes(tree, f"{root}{TAKES}")
        found = _find(tree, takes)
        chosen = _choose(found)
        splits = _splits(tree, root)
        moments, notes = _descriptions(tree, root, chosen)
        late = Counter[str]()
        entries = [_entry(file, splits, moments, late) for file in chosen]
        entries += [_unknown(item) for item in found.unknown]
        away = takes.keys() - {file.take.folder for file in chosen}
        notes += _notes(found, late, moments, chosen)
        if away:
            notes.append(f"{len(away)} of the {len(takes)} takes of {TAKES} have no video here")
        unused = {NO_VIDEO: len(away)}
        return Listing.of(entries, found.ignored, notes, tables=found.tables, unused=unused)


def _root(tree: Tree) -> str | None:
    """Where takes.json lies that is one of Ego-Exo4D, None where there is none."""
    if tree.is_file():
        return None
    for root in _ROOTS:
        if TAKES not in names_in(tree, root.rstrip("/")):
            continue
        try:
            head = tree.read_range(f"{root}{TAKES}", 0, _HEAD_BYTES)
        except OSError:
            continue
        if sum(mark in head for mark in _MARKS) >= 2:
            return root
    return None


# Files


def _find(tree: Tree, takes: Mapping[str, Take]) -> _Found:
    found = _Found()
    for item in tree.walk():
        if is_hidden(item.rel) or is_other_folder(item):
            count_ignored(found.ignored, item)
        elif _is_table(item):
            found.tables.append(item.rel)
        elif is_meant_as_video(tree, item):
            _take_video(found, takes, item)
        else:
            count_ignored(found.ignored, item)
    return found


def _is_table(item: Item) -> bool:
    folder, _, name = item.rel.rpartition("/")
    if item.problem or suffix(name) != ".json":
        return False
    own = name in (TAKES, *_METADATA) or name == "splits.json"
    return own or name.startswith("atomic_descriptions") or folder.endswith("annotations")


def _take_video(found: _Found, takes: Mapping[str, Take], item: Item) -> None:
    """Note a video under its camera, or as what it is else."""
    *folders, name = item.rel.split("/")
    stem = name.rpartition(".")[0]
    take = next((takes[each] for each in reversed(folders) if each in takes), None)
    if take is None and "captures" in folders:
        found.ignored[CAPTURE] += 1
    elif take is None and ALIGNED in folders:
        found.unknown.append(item)
    elif take is None:
        found.ignored[NO_TAKE] += 1
        found.stray.append(item.rel)
    elif kind := take.camera(stem).left_out:
        found.ignored[kind] += 1
    else:
        found.files.setdefault((take.folder, stem), []).append(_File(item, take, stem))


def _choose(found: _Found) -> list[_File]:
    """One file a camera: see `_rank`. The others are counted as ignored."""
    chosen = []
    for _, files in sorted(found.files.items()):
        chosen.append(min(files, key=_rank))
        found.ignored[AGAIN] += len(files) - 1
    return chosen


def _rank(file: _File) -> tuple[bool, int, int, bool, str]:
    """Sorts the files of a camera: readable ones; then downscaled ones, the smallest first.

    Flow is estimated at far less than any of them has. Then comes the full size, then any other
    folder; MP4 before other containers.
    """
    folders = file.item.rel.split("/")[:-1]
    bad = bool(file.item.problem) or not file.item.size_bytes
    small = next((int(each) for each in reversed(folders) if _SIZE.fullmatch(each)), 0)
    is_small = "downscaled" in folders and small > 0
    place = 0 if is_small else 1 if folders and folders[-1] == ALIGNED else 2
    plain = suffix(file.item.rel) != ".mp4"
    return bad, place, small if is_small else 0, plain, file.item.rel


# Labels


def _splits(tree: Tree, root: str) -> dict[str, str]:
    """The split of each take, by uid."""
    for rel in (f"{root}annotations/splits.json", f"{root}splits.json"):
        if not tree.exists(rel):
            continue
        top = jsonfile.read_json(tree, rel, dict)
        by_take = jsonfile.field(tree, rel, top, "take_uid_to_split", dict)
        by_split = jsonfile.field(tree, rel, top, "split_to_take_uids", dict)
        if not by_take and not by_split:
            what = "it has neither 'take_uid_to_split' nor 'split_to_take_uids'"
            raise jsonfile.wrong(tree, rel, what)
        pairs = ((uid, split) for split, uids in by_split.items() for uid in uids or ())
        known = ((uid, split) for uid, split in (*pairs, *by_take.items()) if split is not None)
        return {str(uid): jsonfile.clean(str(split)) for uid, split in known}
    return {}


def _descriptions(tree: Tree, root: str, chosen: list[_File]) -> tuple[Moments, list[str]]:
    wanted = {file.take.uid for file in chosen}
    files = description_files(tree, root)
    if not files:
        return {}, ["no descriptions: no annotations/atomic_descriptions_*.json is there"]
    found: dict[str, tuple[Moment, ...]] = {}
    for rel in files:
        found |= read_descriptions(tree, rel, wanted)
    return found, []


def _entry(file: _File, splits: Mapping[str, str], moments: Moments, late: Counter[str]) -> Entry:
    item, take, camera = file.item, file.take, file.take.camera(file.stem)
    problem, detail = item.problem, item.detail
    if take.is_dropped and not problem:
        problem, detail = "dropped_take", f"{TAKES} says that {take.name} was dropped"
    texts, too_late = texts_of(take, moments.get(take.uid, ()), camera.is_ego)
    late[take.name] = max(late[take.name], too_late)
    labels = {
        **take.labels,
        "camera": camera.id,
        "view": "ego" if camera.is_ego else "exo",
        "split": splits.get(take.uid, ""),
        "recording": take.name,
    }
    return Entry(
        id=f"{take.name}/{file.stem}",
        uri=item.uri,
        size_bytes=item.size_bytes,
        text=take.text,
        labels={key: value for key, value in labels.items() if value},
        problem=problem,
        detail=detail,
        annotations=Annotations() if problem else Annotations(texts),
        stamp=item.stamp,
    )


def _unknown(item: Item) -> Entry:
    detail = item.detail or f"{TAKES} knows no take by the folder that it lies in"
    problem = item.problem or "no_metadata"
    return Entry(item.rel, item.uri, item.size_bytes, problem=problem, detail=detail)


def _notes(
    found: _Found, late: Mapping[str, int], moments: Moments, chosen: list[_File]
) -> list[str]:
    notes = []
    if again := found.ignored[AGAIN]:
        notes.append(f"{again} x {AGAIN}, in another size; not used twice")
    if found.stray:
        notes.append(counted(found.stray, "video belongs to no take; ignored"))
    beyond = [f"{name} ({number})" for name, number in late.items() if number]
    if beyond:
        notes.append(counted(beyond, "take has descriptions beyond its end; they are left out"))
    silent = sorted({file.take.name for file in chosen if not moments.get(file.take.uid)})
    if moments and silent:
        notes.append(counted(silent, "take has no description"))
    return notes
