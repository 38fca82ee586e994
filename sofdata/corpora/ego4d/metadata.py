"""ego4d.json: the videos and clips of Ego4D by uid, and what of each must not be seen.

The fields are those of https://ego4d-data.org/docs/data/metadata/ and, in version 2.1,
`group_video_uids` of a grouped video: its uid begins with "grp-", and it is several videos put one
behind the other (https://github.com/facebookresearch/ego4d-goalstep/issues/9).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.errors import ContractError
from sofdata.storage.tree import Tree
from sofdata.types import merged

METADATA = "ego4d.json"
UID = re.compile(r"(grp-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# The videos of a group need not follow each other to the frame; hidden beside what is redacted in
# one of them, and by so much their lengths together may differ from the group's. Ours.
GROUP_S = 1.0
_VERSIONS = re.compile(r"v?[12](\D.*)?")
_SAME_S = 0.001
_NO = {"", "0", "false", "no", "none", "null"}

Stretches = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Video:
    """What ego4d.json says of a video, or of a clip of one: a part that begins at `start_s`.

    parts: videos whose narrations hold in it, with the time in s at which each begins on its clock.
        Where the first has narrations, the others (the videos of a group) are not asked.
    hidden_s: what is redacted, on its own clock in s; None where that is not known.
    """

    uid: str
    video: str
    start_s: float
    duration_s: float | None
    stereo: bool
    hidden_s: Stretches | None
    labels: Mapping[str, str]
    parts: tuple[tuple[str, float], ...]

    @property
    def members(self) -> tuple[str, ...]:
        """The videos that a grouped video is made of."""
        return tuple(uid for uid, _ in self.parts[1:]) if self.uid == self.video else ()


def read_metadata(tree: Tree, rel: str) -> dict[str, Video]:
    """All videos and clips by uid, in lower case. Raises `ConfigError` for a malformed file."""
    top: dict[str, Any] = jsonfile.read_json(tree, rel, dict)
    version = str(top.get("version", ""))
    if version and not _VERSIONS.fullmatch(version):
        raise jsonfile.wrong(tree, rel, f"it is of version {version!r}; versions 1 and 2 are read")
    if "videos" not in top:
        raise jsonfile.wrong(tree, rel, "it has no 'videos'; is it the metadata of Ego4D v1 or v2?")
    found: dict[str, Video] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for at, record in enumerate(jsonfile.field(tree, rel, top, "videos", list)):
        video = _video(tree, rel, at, record)
        found[video.uid] = joined(found.get(video.uid), video)
        if members := record.get("group_video_uids"):
            groups[video.uid] = _members(tree, rel, at, members)
    for uid, uids in groups.items():
        found[uid] = _grouped(found[uid], [found.get(each) for each in uids], uids)
    for at, record in enumerate(jsonfile.field(tree, rel, top, "clips", list)):
        clip = _clip(tree, rel, at, record, found)
        found[clip.uid] = joined(found.get(clip.uid), clip)
    return found


def joined(one: Video | None, other: Video) -> Video:
    """What two records of a uid say together: all that either hides.

    Where they do not agree on what the uid is, what is redacted is not known.
    """
    if one is None:
        return other
    same = one.video == other.video and abs(one.start_s - other.start_s) < _SAME_S
    hidden = None
    if same and one.hidden_s is not None and other.hidden_s is not None:
        hidden = merged((*one.hidden_s, *other.hidden_s))
    return replace(one, hidden_s=hidden, stereo=one.stereo or other.stereo)


def _video(tree: Tree, rel: str, at: int, record: Any) -> Video:
    uid = _uid(tree, rel, record, "video_uid", place=f"videos[{at}]")
    scenarios = jsonfile.field(tree, rel, record, "scenarios", list, at=at)
    labels = {
        "scenarios": ", ".join(str(each) for each in scenarios),
        "device": record.get("device"),
        "video_source": record.get("video_source"),
        "split": record.get("split_em"),
    }
    return Video(
        uid=uid,
        video=uid,
        start_s=0.0,
        duration_s=_optional_s(tree, rel, at, record, "duration_sec"),
        stereo=_flag(record.get("is_stereo")),
        hidden_s=_redacted(record),
        labels={key: jsonfile.clean(str(value)) for key, value in labels.items() if value},
        parts=((uid, 0.0),),
    )


def _redacted(record: dict[str, Any]) -> Stretches | None:
    """The redacted intervals of a record; None where they cannot be understood."""
    try:
        found = [
            (_number(interval["start_sec"]), _number(interval["end_sec"]))
            for interval in record.get("redacted_intervals") or []
        ]
        hidden = merged(found)
    except (KeyError, TypeError, ValueError, ContractError):
        return None
    if _flag(record.get("has_redacted_regions")) and not hidden:
        return None
    return hidden


def _grouped(group: Video, members: Sequence[Video | None], uids: Sequence[str]) -> Video:
    """A group with what its videos say, each beginning where the one before it ends."""
    begin_s, parts, hidden = 0.0, list(group.parts), list(group.hidden_s or ())
    known = group.hidden_s is not None
    for uid, member in zip(uids, members, strict=True):
        if member is None or member.hidden_s is None or member.duration_s is None:
            known = False
            break
        parts.append((uid, begin_s))
        hidden += [
            (begin_s + start - GROUP_S, begin_s + end + GROUP_S) for start, end in member.hidden_s
        ]
        begin_s += member.duration_s
    stated_s = begin_s if group.duration_s is None else group.duration_s
    apart = any(each.hidden_s for each in members if each) and abs(begin_s - stated_s) > GROUP_S
    if not known or apart:
        return replace(group, hidden_s=None, parts=(*group.parts, *((uid, 0.0) for uid in uids)))
    stereo = group.stereo or any(each.stereo for each in members if each)
    return replace(group, hidden_s=merged(hidden), parts=tuple(parts), stereo=stereo)


def _members(tree: Tree, rel: str, at: int, uids: Any) -> tuple[str, ...]:
    if not isinstance(uids, list) or not all(UID.fullmatch(str(uid)) for uid in uids):
        what = f"videos[{at}]: 'group_video_uids' should be a list of uids"
        raise jsonfile.wrong(tree, rel, what)
    return tuple(str(uid).lower() for uid in uids)


def _clip(tree: Tree, rel: str, at: int, record: Any, videos: Mapping[str, Video]) -> Video:
    uid = _uid(tree, rel, record, "clip_uid", place=f"clips[{at}]")
    video = videos.get(str(record.get("video_uid")).lower())
    start_s = _optional_s(tree, rel, at, record, "video_start_sec")
    end_s = _optional_s(tree, rel, at, record, "video_end_sec")
    if video is None or start_s is None or end_s is None or not start_s < end_s:
        what = f"clips[{at}] ({uid}) needs the video_uid of a video here, and video_start_sec below"
        raise jsonfile.wrong(tree, rel, f"{what} video_end_sec")
    own, hidden = _redacted(record), None
    if video.hidden_s is not None and own is not None:
        moved = [(begin - start_s, end - start_s) for begin, end in (*video.hidden_s, *own)]
        # Intervals of a clip's own are not documented: they may be on either clock.
        hidden = merged(each for each in (*moved, *own) if each[1] >= -GROUP_S)
    return Video(
        uid=uid,
        video=video.uid,
        start_s=start_s,
        duration_s=end_s - start_s,
        stereo=video.stereo,
        hidden_s=hidden,
        labels={**video.labels, "video_uid": video.uid},
        parts=tuple((part, begin_s - start_s) for part, begin_s in video.parts),
    )


def _uid(tree: Tree, rel: str, record: Any, key: str, *, place: str) -> str:
    uid = str(record.get(key, "")) if isinstance(record, dict) else ""
    if not UID.fullmatch(uid):
        raise jsonfile.wrong(tree, rel, f"{place} needs a {key}, found {uid[:60]!r}")
    return uid.lower()


def _optional_s(tree: Tree, rel: str, at: int, record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    try:
        found = _number(value)
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found < 1e7:
        raise jsonfile.wrong(tree, rel, f"record {at}: '{key}' should be seconds, found {value!r}")
    return found


def _number(value: Any) -> float:
    """A number, also one that was written as text. Raises `ValueError` or `TypeError`."""
    if isinstance(value, bool):
        raise TypeError("true and false are no numbers")
    found = float(value)
    if math.isnan(found):
        raise ValueError("not a number")
    return found


def _flag(value: Any) -> bool:
    """A boolean, also one written as text or as a number; whatever is odd counts as true."""
    return str(value).strip().lower() not in _NO
