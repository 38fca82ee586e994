"""Ego4D, versions 1 and 2: hours of egocentric video with narrations.

Grauman et al., "Ego4D: around the world in 3,000 hours of egocentric video", CVPR 2022. The layout
is what its command line downloads (https://ego4d-data.org/docs/CLI/, .../docs/data/metadata/), or
any other: a video or a clip is known by its name, in whatever folder it lies.

    ego4d.json                          videos, clips, redacted intervals; at or above the videos
    video_540ss/UID.mp4, full_scale/    or any folder of resized copies; see `files.choose`
    clips_540ss/CLIP.mp4, clips/        taken where the video that it is a part of is not there
    */manifest.csv                      what was to be downloaded: counted, never required
    annotations/narration.json          or narrations.json, all_narrations_redacted.json; optional

Any frame of a redacted interval is kept from being used (see `redaction`), and of a stereo video
the left view alone is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sofdata.corpora.base import Listing, counted, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.ego4d.files import MANIFEST, Files, VideoFile, choose, find_files
from sofdata.corpora.ego4d.metadata import METADATA, UID, Video
from sofdata.corpora.ego4d.narrations import NARRATIONS, Texts, read_narrations, texts_of
from sofdata.corpora.ego4d.redaction import (
    OFFICIAL,
    Redaction,
    refuse_unknown_files,
)
from sofdata.corpora.entry import Entry
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

_VERSIONS = ("", "v2/", "v1/", "v2_1/")  # folders that the command line makes below its own
_COLUMNS = ("video_uid", "exported_clip_uid", "clip_uid", "file_uid")
_LOCATIONS = ("canonical_s3_location", "s3_path")


class Ego4D:
    """Videos, or clips of them, by uid; their windows carry the narrations of their time."""

    name = "ego4d"
    summary = f"Ego4D v1, v2: UID.mp4 in any folder at or below {METADATA}, narrations"
    example = "sofdata ingest ego4d_data/v2 DEST --recipe ego4d"

    def detect(self, tree: Tree) -> str:
        single = tree.is_file()
        if single and suffix(tree.root) not in VIDEO_SUFFIXES:
            return ""
        places = (f"{root}{METADATA}" for root in _VERSIONS)
        if not single and (found := next((rel for rel in places if tree.exists(rel)), "")):
            return f"Ego4D: {found}"
        above = Redaction(tree.parent() if single else tree).roots()
        if not above or Manifest().detect(tree):
            return ""
        return f"Ego4D: it lies below {METADATA} in {above[0]}"

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed or missing ego4d.json, or malformed narrations.

        A video of ego4d.json without a file here is no input, since most people hold a part: it is
        counted. A file that ego4d.json does not know is left out, as it is not known what of it may
        be seen: an entry with the problem "no_metadata".
        """
        redaction = Redaction(tree.parent() if tree.is_file() else tree)
        files = find_files(tree, redaction)
        roots = _roots(redaction, files)
        chosen, notes = choose(files)
        narrations, silent = _narrations(redaction, chosen)
        late = Counter[str]()
        entries = [_entry(file, narrations, late) for file in chosen]
        known = {uid: video for root in roots for uid, video in redaction.known(root).items()}
        unused = _unused(known, files)
        notes += [*_manifests(redaction.base, files, unused), *silent]
        notes += _notes(known, files, chosen, narrations, late)
        return Listing.of(entries, files.ignored, notes, tables=files.tables, unused=unused)


def _roots(redaction: Redaction, files: Files) -> list[str]:
    """The folders of all ego4d.json that concern the source.

    Raises `ConfigError` where there is none, and where one above the source knows no file in it.
    """
    inside = [each.found for each in files.videos if each.found]
    roots = dict.fromkeys(root for each in inside for root in each.roots)
    roots |= dict.fromkeys(redaction.roots())
    if not roots:
        raise jsonfile.wrong(redaction.base, METADATA, "it is not here, nor above any video here")
    if not any(rel.rpartition("/")[2] == METADATA for rel in files.tables):
        usable = [each for each in files.videos if not each.item.problem]
        refuse_unknown_files([(each.item.rel, each.found) for each in usable if each.found])
    return list(roots)


def _entry(file: VideoFile, narrations: Texts, late: Counter[str]) -> Entry:
    item, found, video = file.item, file.found, file.video
    entry = Entry(
        file.id,
        item.uri,
        item.size_bytes,
        labels=video.labels if video else {},
        problem=item.problem,
        detail=item.detail,
        stamp=item.stamp,
    )
    if item.problem:
        return entry
    if found is None:
        detail = f"no {METADATA} lies at or above it: nobody can tell what of it is redacted"
        return replace(entry, problem="no_metadata", detail=detail)
    if video is None or found.problem:
        return replace(entry, problem=found.problem, detail=found.detail)
    texts = texts_of(video, narrations, late)
    return replace(entry, annotations=replace(found.annotations, texts=texts))


# Narrations


def _narrations(redaction: Redaction, chosen: Sequence[VideoFile]) -> tuple[Texts, list[str]]:
    """Texts of the chosen files' videos, and what there is to say of them.

    Several versions of Ego4D may lie side by side: the narrations of the folder that a file is in
    count, else the first that are found.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    wanted: dict[tuple[str, str], set[str]] = {}
    for file in chosen:
        if file.found is None or file.video is None:
            continue
        root, folder = file.found.root, f"{file.found.place.folder}/"
        if root not in places:
            places[root] = list(_narration_files(redaction, root))
        if places[root]:
            place = max(places[root], key=lambda each: _depth(each[0], folder))
            wanted.setdefault(place, set()).update(uid for uid, _ in file.video.parts)
    if chosen and not wanted:
        return {}, [f"no narrations: none of annotations/{', '.join(NARRATIONS)} is there"]
    found: dict[str, tuple[TimedText, ...]] = {}
    for (folder, rel), uids in sorted(wanted.items()):
        found |= read_narrations(redaction.tree(folder), rel, uids)
    return found, []


def _narration_files(redaction: Redaction, root: str) -> Iterator[tuple[str, str]]:
    """The folders at, below and above the source in which narrations may lie, and their names."""
    folders = [f"{root}/{version}".rstrip("/") for version in _VERSIONS]
    for folder in dict.fromkeys((*folders, *redaction.between(root))):
        tree = redaction.tree(folder)
        names = (f"{place}{name}" for place in ("annotations/", "") for name in NARRATIONS)
        if rel := next((name for name in names if tree.exists(name)), ""):
            yield folder, rel


def _depth(folder: str, place: str) -> int:
    """How near a folder above a place is; 0 for any other."""
    return len(folder) if place.startswith(f"{folder}/") else 0


# What its user should know


def _unused(known: Mapping[str, Video], files: Files) -> dict[str, int]:
    """Records of ego4d.json that say nothing of any file here."""
    named = {file.id for file in files.videos}
    shown = named | {file.video.video for file in files.videos if file.video}
    shown |= {uid for file in files.videos if file.video for uid in file.video.members}
    away = [uid for uid in known if uid not in shown]
    whole = sum(known[uid].video == uid for uid in away)
    return {f"videos of {METADATA}": whole, f"clips of {METADATA}": len(away) - whole}


def _manifests(base: Tree, files: Files, unused: dict[str, int]) -> list[str]:
    """Notes on uids that a manifest lists and that have no file beside it, which are counted."""
    notes = []
    for rel in files.tables:
        folder, _, name = rel.rpartition("/")
        if name != MANIFEST or (folder or base.root).rpartition("/")[2] not in OFFICIAL:
            continue
        here = {each.id for each in files.videos if each.item.rel.rpartition("/")[0] == folder}
        missing = [uid for uid in _listed(base, rel) if uid not in here]
        unused[f"rows of {rel}"] = len(missing)
        if missing:
            notes.append(counted(missing, f"uid of {rel} has no file there"))
    return notes


def _listed(tree: Tree, rel: str) -> Iterator[str]:
    """The uids of a manifest, in either of the styles in which it has been published."""
    heads = csvfile.columns(tree, rel)
    key = next((name for name in _COLUMNS if name in heads), None)
    if key is None or not any(name in heads for name in _LOCATIONS):
        what = f"line 1 needs one of {', '.join(_COLUMNS)} and one of {', '.join(_LOCATIONS)}"
        raise jsonfile.wrong(tree, rel, f"{what}, found {', '.join(heads)[:200]}")
    for line, row in csvfile.read_rows(tree, rel, [key]):
        if not UID.fullmatch(row[key]):
            raise jsonfile.wrong(tree, rel, f"line {line}: {key} {row[key][:60]!r} is no uid")
        yield row[key].lower()


def _notes(
    known: Mapping[str, Video],
    files: Files,
    chosen: Sequence[VideoFile],
    narrations: Texts,
    late: Counter[str],
) -> list[str]:
    notes = []
    named = {file.id for file in files.videos}
    videos = [uid for uid, video in known.items() if uid == video.video]
    absent = sum(uid not in named for uid in videos)
    if absent:
        notes.append(f"{absent} of the {len(videos)} videos of {METADATA} have no file here")
    used = {file.id: file.video for file in chosen if file.video}
    silent = [
        id for id, video in used.items() if not any(narrations.get(uid) for uid, _ in video.parts)
    ]
    if narrations and silent:
        notes.append(counted(silent, "video has no narration"))
    beyond = [f"{uid} ({number})" for uid, number in late.items() if number]
    if beyond:
        notes.append(counted(beyond, "video has narrations beyond its end; they are left out"))
    hidden = [id for id, video in used.items() if video.hidden_s]
    if hidden:
        notes.append(counted(hidden, "video has redacted intervals, which are not decoded"))
    return notes
