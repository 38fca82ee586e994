"""Atomic action descriptions of Ego-Exo4D: what is done at which moment, in plain words.

Format: the documentation's page "Atomic Action Descriptions". A take has one list or several, each
of one annotator. The first that was not rejected and says anything counts, since their moments
overlap. The letter C denotes the wearer of the glasses, and is taken off the start of what is said
of them, as of Ego4D's narrations.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sofdata.corpora.ego4d.narrations import LATE_S, NARRATION_S
from sofdata.corpora.egoexo4d.takes import Take, is_set
from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

FILES = ("train", "val", "test")
_NAMES = tuple(f"atomic_descriptions_{each}.json" for each in FILES)
OLDER = "atomic_descriptions_latest.json"  # of the first release; read where none of those is
_FOLDERS = ("annotations/", "")
_EARLY_S = 1.0  # by so much a moment may lie before the take, within which its makers place it
_WEARER = re.compile(r"^C\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that begins at a time. is_seen: whether the glasses show it."""

    time_s: float
    text: str
    is_seen: bool


Moments = Mapping[str, tuple[Moment, ...]]


def description_files(tree: Tree, root: str) -> list[str]:
    """The files of descriptions that are there."""
    for names in (_NAMES, (OLDER,)):
        for folder in _FOLDERS:
            paths = [f"{root}{folder}{name}" for name in names]
            if found := [path for path in paths if tree.exists(path)]:
                return found
    return []


def read_descriptions(tree: Tree, rel: str, wanted: Collection[str]) -> Moments:
    """The moments of the wanted takes, by uid. Raises `ConfigError` for a malformed file.

    Memory is that of one take's descriptions and of what is wanted.
    """
    found = {}
    for uid, passes in jsonfile.items(tree, rel, inside="annotations"):
        if uid in wanted:
            found[uid] = _moments(tree, rel, uid, passes)
    return found


def texts_of(
    take: Take, moments: tuple[Moment, ...], is_ego: bool
) -> tuple[tuple[TimedText, ...], int]:
    """The texts of a camera: each until the next moment or for 4 s; and how many lie too late.

    is_ego: whether it is what the glasses see, for which only what they show counts.
    """
    limit_s = float("inf") if take.duration_s is None else take.duration_s
    starts_s = sorted({moment.time_s for moment in moments})
    ends_s = {each: min(each + NARRATION_S, after) for each, after in pairwise(starts_s)}
    texts, late = [], 0
    for moment in moments:
        start_s = moment.time_s
        if start_s >= limit_s:
            late += start_s > limit_s + LATE_S
        elif moment.text and (moment.is_seen or not is_ego):
            texts.append(
                TimedText(start_s, ends_s.get(start_s, start_s + NARRATION_S), moment.text)
            )
    return tuple(texts), late


def _moments(tree: Tree, rel: str, uid: str, passes: Any) -> tuple[Moment, ...]:
    """What the first annotator says whose work was not rejected, by time."""
    if not isinstance(passes, list):
        raise jsonfile.wrong(tree, rel, f"take {uid} should be a list of annotations")
    for annotation in passes:
        if not isinstance(annotation, dict):
            raise jsonfile.wrong(tree, rel, f"take {uid}: an annotation should be an object")
        if is_set(annotation.get("rejected")):
            continue
        listed = jsonfile.field(tree, rel, annotation, "descriptions", list)
        found = [_moment(tree, rel, uid, each) for each in listed]
        if any(moment.text for moment in found):
            return tuple(sorted(found, key=lambda moment: moment.time_s))
    return ()


def _moment(tree: Tree, rel: str, uid: str, record: Any) -> Moment:
    about: dict[str, Any] = record if isinstance(record, dict) else {}
    text, seen = about.get("text"), about.get("ego_visible")
    said = " ".join(jsonfile.clean(text).split()) if isinstance(text, str) else ""
    if (about.get("subject") or about.get("narration_subject")) in (None, "C"):
        said = _WEARER.sub("", said)
    time_s = _time_s(tree, rel, uid, about.get("timestamp"))
    return Moment(time_s, said.rstrip(" .,;"), seen is None or is_set(seen))


def _time_s(tree: Tree, rel: str, uid: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not -_EARLY_S <= value < 1e7:
        what = f"take {uid}: a description needs 'timestamp' in seconds, found {value!r:.60}"
        raise jsonfile.wrong(tree, rel, what)
    return max(0.0, float(value))
