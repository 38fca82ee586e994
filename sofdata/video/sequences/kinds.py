"""What names of arrays say of the pictures in them, in files that hold anything (HDF5, Zarr).

Depth, segmentation, flow and touch are stored as arrays of bytes, too, and their motion is that of
no thing; and learners keep each observation twice, the second time as that after the action. The
last name in a path that says anything decides.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_COLOUR = {"rgb", "bgr", "color", "colour", "colors", "colours"}  # of depth_camera_rgb
_OTHER = {
    "depth": re.compile(r"depth.*|disparit.*|normals"),
    "segmentation": re.compile(r"seg|segms?|segment(ed|ations?)|semantics?|masks?|labels?"),
    "flow": re.compile(r"(optical)?flows?"),
    "tactile pictures": re.compile(r"tactile|digit|gelsight|touch"),
}
_LAST = 2  # names, from the last one on, that may say what is shown
_NEXT = re.compile(
    r"next[-_]?(obs|observations?|images?|imgs?|pixels|rgbs?|frames?)([-_].*)?", re.IGNORECASE
)
_KINDS = "ep|episode|demo|traj|trajectory|run|take|trial|rollout|seq|sequence|clip"
_EPISODE = re.compile(rf"(?:.*[^a-z])?(?:{_KINDS})s?[-_ ]?\d+", re.IGNORECASE)


def other_kind(path: str) -> str:
    """What an array shows in place of colours by its name or its group's, "" for nothing of it."""
    for name in reversed(path.split("/")[-_LAST:]):
        words = _words(name)
        if words & _COLOUR:
            return ""
        for kind, theirs in _OTHER.items():
            if any(theirs.fullmatch(word) for word in words):
                return kind
    return ""


def is_bgr(path: str) -> bool:
    """Whether an array is named as one of blue, green, red."""
    return "bgr" in _words(path.rpartition("/")[2])


def is_later(path: str) -> bool:
    """Whether a name in a path says that the same pictures lie there, a step later."""
    return any(_NEXT.fullmatch(name) for name in path.split("/"))


def is_episode(name: str) -> bool:
    """Whether a group is named like an episode, with its number: demo_3, left take 12."""
    return bool(_EPISODE.fullmatch(name))


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
