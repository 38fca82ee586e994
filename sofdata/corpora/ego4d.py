"""Ego4D, versions 1 and 2: hours of egocentric video with narrations.

Grauman et al., "Ego4D: around the world in 3,000 hours of egocentric video", CVPR 2022. The layout
is what its command line downloads (https://ego4d-data.org/docs/CLI/, .../docs/data/metadata/):

    ego4d.json                          videos, clips, redacted intervals; also below v2/ or v1/
    video_540ss/UID.mp4                 taken before full_scale/UID.mp4, which holds the same
    clips/CLIP.mp4                      taken where the video that it is a part of is not there
    */manifest.csv                      what was to be downloaded: told of, never required
    annotations/narration.json          or narrations.json, all_narrations_redacted.json; optional

Only the fields named in this module are read. Any frame of a redacted interval is kept from being
used, and of a stereo video the left view alone is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.corpora import csvfile, jsonfile
from sofdata.corpora.base import Entry, Listing, count_ignored, counted, is_hidden
from sofdata.errors import ContractError
from sofdata.storage import Tree
from sofdata.types import Annotations, TimedText, merged
from sofdata.walk import Item

METADATA = "ego4d.json"
VIDEO_FOLDERS = ("video_540ss", "full_scale")  # the first that holds a video gives it
CLIPS = "clips"
NARRATIONS = ("narration.json", "narrations.json", "all_narrations_redacted.json")
PASSES = ("narration_pass_1", "narration_pass_2")  # two annotators; the first that has any counts
NARRATION_S = 4.0  # a narration names the moment at which something begins; ours
MARGIN_S = 0.05  # hidden beside each redacted interval, for times that are rounded; ours
LATE_S = 1.0  # by so much a time may lie beyond the end that the metadata tells
_ROOTS = ("", "v2/", "v1/", "v2_1/")
_VERSIONS = re.compile(r"v?[12](\D.*)?")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_COLUMNS = ("video_uid", "exported_clip_uid", "clip_uid", "file_uid")
_LOCATIONS = ("canonical_s3_location", "s3_path")


@dataclass(frozen=True, slots=True)
class _Video:
    """What ego4d.json says of a video, or of a clip of one: a part that begins at `start_s`.

    hidden_s: what is redacted, None where that cannot be told.
    """

    uid: str
    video: str
    start_s: float
    duration_s: float | None
    stereo: bool
    hidden_s: tuple[tuple[float, float], ...] | None
    labels: Mapping[str, str]


class Ego4D:
    """Videos, or clips of them, by uid; their windows carry the narrations of their time."""

    name = "ego4d"
    summary = f"Ego4D v1, v2: {METADATA}, {{video_540ss,full_scale,clips}}/UID.mp4, narrations"
    example = "sofdata ingest ego4d_data/v2 DEST --recipe ego4d"

    def detect(self, tree: Tree) -> str:
        found = next((root for root in _ROOTS if tree.exists(f"{root}{METADATA}")), None)
        if found is None:
            return ""
        folders = [name for name in (*VIDEO_FOLDERS, CLIPS) if tree.names(f"{found}{name}")]
        return f"Ego4D: {found}{METADATA}, and {', '.join(folders)}" if folders else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed or missing ego4d.json, or malformed narrations.

        A video of ego4d.json without a file here is no input, since most people hold a part: a
        note counts them. A file that ego4d.json does not know is left out, as nobody can tell what
        of it may be seen: an entry with the problem "no_metadata".
        """
        root = next((root for root in _ROOTS if tree.exists(f"{root}{METADATA}")), "")
        known = _metadata(tree, f"{root}{METADATA}")
        files, ignored = _files(tree)
        chosen, doubled = _choose(files, known)
        here = {known[uid].video for uid in chosen if uid in known}
        narrations, notes = _narrations(tree, root, here)
        late = Counter[str]()
        entries = [_entry(item, known.get(uid), narrations, late) for uid, item in chosen.items()]
        notes += _notes(known, chosen, doubled, _manifests(tree, files), narrations, late)
        return Listing.of(entries, ignored, notes)


# ego4d.json


def _metadata(tree: Tree, rel: str) -> dict[str, _Video]:
    """All videos and clips by uid."""
    top: dict[str, Any] = jsonfile.read_json(tree, rel, dict)
    version = str(top.get("version", ""))
    if version and not _VERSIONS.fullmatch(version):
        raise jsonfile.wrong(tree, rel, f"it is of version {version!r}; versions 1 and 2 are read")
    if "videos" not in top:
        raise jsonfile.wrong(tree, rel, "it has no 'videos'; is it the metadata of Ego4D v1 or v2?")
    found: dict[str, _Video] = {}
    for at, record in enumerate(jsonfile.field(tree, rel, top, 0, "videos", list)):
        video = _video(tree, rel, at, record)
        found.setdefault(video.uid, video)
    for at, record in enumerate(jsonfile.field(tree, rel, top, 0, "clips", list)):
        clip = _clip(tree, rel, at, record, found)
        found.setdefault(clip.uid, clip)
    return found


def _video(tree: Tree, rel: str, at: int, record: Any) -> _Video:
    uid = _uid(tree, rel, "videos", at, record, "video_uid")
    scenarios = jsonfile.field(tree, rel, record, at, "scenarios", list)
    labels = {
        "scenarios": ", ".join(str(each) for each in scenarios),
        "device": record.get("device"),
        "video_source": record.get("video_source"),
        "split": record.get("split_em"),
    }
    return _Video(
        uid=uid,
        video=uid,
        start_s=0.0,
        duration_s=_optional_s(tree, rel, at, record, "duration_sec"),
        stereo=bool(record.get("is_stereo")),
        hidden_s=_redacted(record),
        labels={key: jsonfile.clean(str(value)) for key, value in labels.items() if value},
    )


def _redacted(record: dict[str, Any]) -> tuple[tuple[float, float], ...] | None:
    """The redacted intervals with a margin; None where they cannot be understood."""
    try:
        found = [
            (float(interval["start_sec"]), float(interval["end_sec"]))
            for interval in record.get("redacted_intervals") or []
        ]
        merged(found)
    except (KeyError, TypeError, ValueError, ContractError):
        return None
    if record.get("has_redacted_regions") and not found:
        return None
    return merged((start - MARGIN_S, end + MARGIN_S) for start, end in found)


def _clip(tree: Tree, rel: str, at: int, record: Any, videos: Mapping[str, _Video]) -> _Video:
    uid = _uid(tree, rel, "clips", at, record, "clip_uid")
    video = videos.get(str(record.get("video_uid")))
    start_s = _optional_s(tree, rel, at, record, "video_start_sec")
    end_s = _optional_s(tree, rel, at, record, "video_end_sec")
    if video is None or start_s is None or end_s is None or not start_s < end_s:
        what = f"clips[{at}] ({uid}) needs the video_uid of a video here, and video_start_sec below"
        raise jsonfile.wrong(tree, rel, f"{what} video_end_sec")
    hidden = None
    if video.hidden_s is not None:
        parts = [each for each in video.hidden_s if each[1] >= start_s and each[0] <= end_s]
        hidden = tuple((begin - start_s, end - start_s) for begin, end in parts)
    labels = {**video.labels, "video_uid": video.uid}
    return _Video(uid, video.uid, start_s, end_s - start_s, video.stereo, hidden, labels)


def _uid(tree: Tree, rel: str, part: str, at: int, record: Any, key: str) -> str:
    uid = str(record.get(key, "")) if isinstance(record, dict) else ""
    if not _UID.fullmatch(uid):
        raise jsonfile.wrong(tree, rel, f"{part}[{at}] needs a {key}, found {uid[:60]!r}")
    return uid.lower()


def _optional_s(tree: Tree, rel: str, at: int, record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise jsonfile.wrong(tree, rel, f"record {at}: '{key}' should be seconds, found {value!r}")
    return float(value)


# Narrations


def _narrations(
    tree: Tree, root: str, wanted: set[str]
) -> tuple[dict[str, tuple[TimedText, ...]], list[str]]:
    """Texts of the wanted videos by time, and what there is to say of them.

    The file may be larger than what one would hold in memory, and is read piece by piece.
    """
    places = [f"{root}{folder}{name}" for folder in ("annotations/", "") for name in NARRATIONS]
    rel = next((place for place in places if tree.exists(place)), None)
    if rel is None:
        return {}, [f"no narrations: none of {', '.join(places[:3])} is there"]
    found = {}
    for uid, record in jsonfile.items(tree, rel, inside="videos"):
        if uid.lower() not in wanted:
            continue  # also version, date, description
        if not isinstance(record, dict):
            raise jsonfile.wrong(tree, rel, f"video {uid} should be an object")
        found[uid.lower()] = _texts(tree, rel, uid, record)
    return found, []


def _texts(tree: Tree, rel: str, uid: str, record: dict[str, Any]) -> tuple[TimedText, ...]:
    """Narrations of one pass, each until the next one or for 4 s, and summaries between them."""
    passes = [jsonfile.field(tree, rel, record, 0, name, dict) for name in PASSES if name in record]
    texts = _moments(tree, rel, uid, _first(tree, rel, passes, "narrations"))
    for each in _first(tree, rel, passes, "summaries"):
        start_s, end_s = (_second(tree, rel, uid, each, key) for key in ("start_sec", "end_sec"))
        texts += _between(texts, start_s, end_s, plain(str(each.get("summary_text", ""))))
    return tuple(sorted(texts, key=lambda text: (text.start_s, text.end_s)))


def _first(tree: Tree, rel: str, passes: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """What the first pass that has any gives."""
    found = [jsonfile.field(tree, rel, each, 0, key, list) for each in passes]
    return next((each for each in found if each), [])


def _moments(tree: Tree, rel: str, uid: str, narrations: Sequence[Any]) -> list[TimedText]:
    """Narrations, in whatever order they come: each until the next one, or for `NARRATION_S`."""
    timed = [(_second(tree, rel, uid, each, "timestamp_sec"), each) for each in narrations]
    timed.sort(key=lambda each: each[0])
    texts = []
    for place, (start_s, each) in enumerate(timed):
        end_s = start_s + NARRATION_S
        if place + 1 < len(timed):
            end_s = min(end_s, timed[place + 1][0])
        text = plain(str(each.get("narration_text", "")))
        if text and end_s > start_s:
            texts.append(TimedText(start_s, end_s, text))
    return texts


def _second(tree: Tree, rel: str, uid: str, record: Any, key: str) -> float:
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        what = f"video {uid}: a narration or summary needs '{key}' in seconds, found {value!r}"
        raise jsonfile.wrong(tree, rel, what)
    return float(value)


def _between(
    texts: Sequence[TimedText], start_s: float, end_s: float, text: str
) -> list[TimedText]:
    """A text for those parts of a stretch that no other text covers."""
    found, free_s = [], start_s
    for other in sorted(texts, key=lambda each: each.start_s):
        if text and free_s < min(other.start_s, end_s):
            found.append(TimedText(free_s, min(other.start_s, end_s), text))
        free_s = max(free_s, other.end_s)
    if text and free_s < end_s:
        found.append(TimedText(free_s, end_s, text))
    return found


def plain(narration: str) -> str:
    """A narration without its tags: '#C C picks up a cup' becomes 'picks up a cup'.

    #C marks the wearer of the camera, whom C names; #O another person; #unsure a word that the
    annotator did not find.
    """
    text = re.sub(r"#\s*unsure\b", "", jsonfile.clean(narration), flags=re.IGNORECASE)
    text = re.sub(r"^\s*#\s*C\s+C\b", "", text, flags=re.IGNORECASE)
    text = re.sub(r"#\s*[A-Za-z]\b", "", text)
    return " ".join(text.split()).strip(" .")


# Files


def _files(tree: Tree) -> tuple[dict[str, dict[str, Item]], Counter[str]]:
    """The file of each uid, by folder; and what is no part of the corpus."""
    found: dict[str, dict[str, Item]] = {name: {} for name in (*VIDEO_FOLDERS, CLIPS)}
    ignored: Counter[str] = Counter()
    for item in tree.walk():
        folder, _, name = item.rel.rpartition("/")
        stem, _, end = name.rpartition(".")
        place, hidden = folder.rsplit("/", 1)[-1], is_hidden(item.rel)
        if place in found and end.lower() == "mp4" and _UID.fullmatch(stem) and not hidden:
            found[place].setdefault(stem.lower(), item)
        elif hidden or name not in (METADATA, "manifest.csv", *NARRATIONS):
            count_ignored(ignored, item.rel, item.problem)
    return found, ignored


def _choose(
    files: Mapping[str, Mapping[str, Item]], known: Mapping[str, _Video]
) -> tuple[dict[str, Item], list[str]]:
    """One file a uid; and the clips that are left out as parts of videos that are here."""
    chosen = {uid: item for name in reversed(VIDEO_FOLDERS) for uid, item in files[name].items()}
    doubled = []
    for uid, item in files[CLIPS].items():
        if uid in known and known[uid].video in chosen:
            doubled.append(uid)
        else:
            chosen.setdefault(uid, item)
    return dict(sorted(chosen.items())), doubled


def _entry(
    item: Item,
    video: _Video | None,
    narrations: Mapping[str, tuple[TimedText, ...]],
    late: Counter[str],
) -> Entry:
    uid = item.rel.rsplit("/", 1)[-1].rpartition(".")[0].lower()
    if video is None:
        detail = f"{METADATA} does not name it, so that nobody can tell what of it is redacted"
        problem = item.problem or "no_metadata"
        return Entry(uid, item.rel, item.size_bytes, problem=problem, detail=item.detail or detail)
    if video.hidden_s is None and not item.problem:
        detail = f"{METADATA} does not tell its redacted_intervals as start_sec and end_sec"
        return Entry(uid, item.rel, item.size_bytes, problem="bad_redaction", detail=detail)
    texts = _within(video, narrations.get(video.video, ()), late)
    return Entry(
        id=uid,
        uri=item.rel,
        size_bytes=item.size_bytes,
        labels=video.labels,
        annotations=Annotations(texts, video.hidden_s or (), "left" if video.stereo else ""),
        problem=item.problem,
        detail=item.detail,
    )


def _within(video: _Video, texts: Sequence[TimedText], late: Counter[str]) -> tuple[TimedText, ...]:
    """The texts of a video or of a clip of it, on its own clock; counts those beyond the end."""
    found = []
    limit_s = float("inf") if video.duration_s is None else video.duration_s
    for text in texts:
        start_s, end_s = text.start_s - video.start_s, text.end_s - video.start_s
        if end_s <= 0 or start_s >= limit_s:
            late[video.uid] += video.uid == video.video and start_s > limit_s + LATE_S
            continue
        found.append(TimedText(max(0.0, start_s), end_s, text.text))
    return tuple(found)


# What its user should know


def _manifests(tree: Tree, files: Mapping[str, Mapping[str, Item]]) -> list[str]:
    """Notes on uids that a manifest lists and that have no file beside it."""
    notes = []
    for root in _ROOTS:
        for folder in files:
            rel = f"{root}{folder}/manifest.csv"
            if not tree.exists(rel):
                continue
            missing = [uid for uid in _listed(tree, rel) if uid not in files[folder]]
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
        if not _UID.fullmatch(row[key]):
            raise jsonfile.wrong(tree, rel, f"line {line}: {key} {row[key][:60]!r} is no uid")
        yield row[key].lower()


def _notes(
    known: Mapping[str, _Video],
    chosen: Mapping[str, Item],
    doubled: list[str],
    manifests: list[str],
    narrations: Mapping[str, Any],
    late: Counter[str],
) -> list[str]:
    notes = list(manifests)
    videos = [uid for uid, video in known.items() if uid == video.video]
    absent = sum(uid not in chosen for uid in videos)
    if absent:
        notes.append(f"{absent} of the {len(videos)} videos of {METADATA} have no file here")
    if doubled:
        notes.append(counted(doubled, "clip is part of a video that is here; not used twice"))
    silent = [uid for uid in chosen if uid in known and not narrations.get(known[uid].video)]
    if narrations and silent:
        notes.append(counted(silent, "video has no narration"))
    beyond = [f"{uid} ({number})" for uid, number in late.items() if number]
    if beyond:
        notes.append(counted(beyond, "video has narrations beyond its end; they are left out"))
    hidden = [uid for uid in chosen if uid in known and known[uid].hidden_s]
    if hidden:
        notes.append(counted(hidden, "video has redacted intervals, which are not decoded"))
    return notes
