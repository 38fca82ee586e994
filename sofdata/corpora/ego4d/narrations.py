"""Narrations of Ego4D: what is done when, in plain words.

The tags are described in Grauman et al., appendix D, and counted, with their misspellings, in
public analyses of the released narrations; see `plain`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sofdata.corpora.ego4d.metadata import Video
from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.types import TimedText

NARRATIONS = ("narration.json", "narrations.json", "all_narrations_redacted.json")
PASSES = ("narration_pass_1", "narration_pass_2")  # two annotators; the first that has any counts
NARRATION_S = 4.0  # a narration names the moment at which something begins; ours
LATE_S = 1.0  # by so much a time may lie beyond the end that the metadata gives

Texts = Mapping[str, tuple[TimedText, ...]]

_UNSURE = re.compile(r"#\s*(?:unsured|un?s?sure|ub=nsure|unknown)", re.IGNORECASE)
_SUMMARY = re.compile(r"#\s*summary\s*:?", re.IGNORECASE)
_WEARER = re.compile(r"^\s*[#@]\s*c{1,2}\b(?:[\s:-]*c\b(?!'))?", re.IGNORECASE)
_JOINED = re.compile(r"#\s*(?:CC|OO|cc)(?=[a-z])")
_LETTER = re.compile(r"#\s*(?:[a-z]|cc|oo)\b", re.IGNORECASE)
_OTHER = re.compile(r"#[a-z]\w*|#(?!\d)", re.IGNORECASE)


def plain(narration: str) -> str:
    """A narration without its tags: '#C C picks up a cup' becomes 'picks up a cup'.

    #C marks the wearer of the camera, whom C names; #O another person, who may be named by a letter
    too; #unsure a word that the annotator did not find; #Summary what is done in minutes. They are
    written in many ways ('#cC c', '# C C', '#CC', '#Unsure', '#unsurefrom'). Words that follow a
    tag stay, and so does a number behind a '#'.
    """
    text = jsonfile.clean(narration)
    for tag in (_UNSURE, _SUMMARY, _WEARER, _JOINED, _LETTER, _OTHER):
        text = tag.sub(" ", text)
    return re.sub(r"\s+(?=[.,])", "", " ".join(text.split())).strip(" .,:;-")


def read_narrations(tree: Tree, rel: str, wanted: Collection[str]) -> Texts:
    """Texts of the wanted videos by time. Raises `ConfigError` for a malformed file.

    The file may be larger than what one would hold in memory, and is read piece by piece.
    """
    found = {}
    for uid, record in jsonfile.items(tree, rel, inside="videos"):
        if uid.lower() not in wanted:
            continue  # also version, date, description
        if not isinstance(record, dict):
            raise jsonfile.wrong(tree, rel, f"video {uid} should be an object")
        found[uid.lower()] = _texts(tree, rel, uid, record)
    return found


def texts_of(video: Video, narrations: Texts, late: Counter[str]) -> tuple[TimedText, ...]:
    """The texts of a video or of a clip of it, on its own clock; counts those beyond the end."""
    parts = video.parts[:1] if narrations.get(video.parts[0][0]) else video.parts
    limit_s = float("inf") if video.duration_s is None else video.duration_s
    found = []
    for uid, begin_s in parts:
        for text in narrations.get(uid, ()):
            start_s, end_s = text.start_s + begin_s, text.end_s + begin_s
            if end_s <= 0 or start_s >= limit_s:
                late[video.uid] += video.uid == video.video and start_s > limit_s + LATE_S
                continue
            found.append(TimedText(max(0.0, start_s), end_s, text.text))
    return tuple(sorted(found, key=lambda text: (text.start_s, text.end_s)))


def _texts(tree: Tree, rel: str, uid: str, record: dict[str, Any]) -> tuple[TimedText, ...]:
    """Narrations of one pass, each until the next one or for 4 s, and summaries between them."""
    passes = [jsonfile.field(tree, rel, record, name, dict) for name in PASSES if name in record]
    texts = _moments(tree, rel, uid, _first(tree, rel, passes, "narrations"))
    for each in _first(tree, rel, passes, "summaries"):
        start_s, end_s = (_second(tree, rel, uid, each, key) for key in ("start_sec", "end_sec"))
        texts += _between(texts, start_s, end_s, _plain(each.get("summary_text")))
    return tuple(sorted(texts, key=lambda text: (text.start_s, text.end_s)))


def _plain(value: Any) -> str:
    return plain(value) if isinstance(value, str) else ""


def _first(tree: Tree, rel: str, passes: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """What the first pass that has any gives."""
    found = [jsonfile.field(tree, rel, each, key, list) for each in passes]
    return next((each for each in found if each), [])


def _moments(tree: Tree, rel: str, uid: str, narrations: Sequence[Any]) -> list[TimedText]:
    """Narrations, in whatever order they come: each until the next one, or for `NARRATION_S`.

    Those of one moment hold side by side.
    """
    timed = [(_second(tree, rel, uid, each, "timestamp_sec"), each) for each in narrations]
    starts_s = sorted({start_s for start_s, _ in timed})
    ends_s = {each: min(each + NARRATION_S, after) for each, after in pairwise(starts_s)}
    texts = []
    for start_s, each in sorted(timed, key=lambda each: each[0]):
        if text := _plain(each.get("narration_text")):
            texts.append(TimedText(start_s, ends_s.get(start_s, start_s + NARRATION_S), text))
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
