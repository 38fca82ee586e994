"""Which recording a video of a corpus was taken from, by what the corpus says of it.

Clips of one recording, and cameras of one episode, show the same thing in files of their own: what
learns from one must not be measured on another. Labels identify it; every dataset has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# By corpus: the label that names the recording.
LABEL = {
    "ego4d": "video_uid",
    "epic": "video_id",
    "kinetics": "youtube_id",
    "lerobot": "episode",
    "panda70m": "videoID",
}
# Clips as video2dataset cuts them: the key of the video, and the number of the clip.
_CLIP = re.compile(r"(\d{4,})_\d{3,}")
_CUT_BY_VIDEO2DATASET = ("panda70m", "video2dataset")


def names_recordings(corpus: str) -> bool:
    """Whether labels of videos of a corpus may name a recording."""
    return corpus in LABEL or corpus in _CUT_BY_VIDEO2DATASET


def recording_of(corpus: str, labels: Mapping[str, str]) -> str:
    """A name for the recording of a video, "" where its file is all that is known of it."""
    label = LABEL.get(corpus, "")
    if labels.get(label):
        return f"{label} {labels[label]}"
    clip = _CLIP.fullmatch(labels.get("key", ""))
    if clip and corpus in _CUT_BY_VIDEO2DATASET:
        return f"key {clip[1]}"
    return ""
