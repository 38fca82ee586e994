"""Which recording a video of a corpus was taken from, by what the corpus says of it.

Clips of one recording, and cameras of one episode, show the same thing in files of their own: what
learns from one must not be measured on another. Labels identify it; every dataset has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SEVERAL = "+"  # between the names of the corpora of one dataset
# By corpus: the label that names the recording.
LABEL = {
    "agibot": "recording",
    "droid": "recording",
    "ego4d": "video_uid",
    "egoexo4d": "recording",
    "epic": "video_id",
    "hdf5": "recording",
    "kinetics": "youtube_id",
    "frames": "recording",
    "lerobot": "episode",
    "mcap": "recording",
    "panda70m": "videoID",
    "rlds": "recording",
    "rosbag": "recording",
    "zarr": "recording",
}
# Clips as video2dataset cuts them: the key of the video, and the number of the clip.
_CLIP = re.compile(r"(\d{4,})_\d{3,}")
_CUT_BY_VIDEO2DATASET = ("panda70m", "video2dataset")


def names_recordings(corpus: str) -> bool:
    """Whether labels of videos of a corpus, or of any of several, may name a recording."""
    return any(each in LABEL or each in _CUT_BY_VIDEO2DATASET for each in corpora_of(corpus))


def corpora_of(corpus: str) -> list[str]:
    """The corpora of a dataset, as its record names them: lerobot+folder."""
    return corpus.split(SEVERAL)


def kind_of(part: str) -> str:
    """What corpus a part of a dataset is of, from its name: folder, or folder:kitchen."""
    return part.partition(":")[0]


def recording_of(corpus: str, labels: Mapping[str, str]) -> str:
    """A name for the recording of a video, "" where its file is all that is known of it."""
    label = LABEL.get(corpus, "")
    if labels.get(label):
        return f"{label} {labels[label]}"
    clip = _CLIP.fullmatch(labels.get("key", ""))
    if clip and corpus in _CUT_BY_VIDEO2DATASET:
        return f"key {clip[1]}"
    return ""
