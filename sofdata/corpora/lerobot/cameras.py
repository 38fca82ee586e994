"""Which features of a LeRobot dataset are cameras to read, and which are left out, and why.

A camera is kept as video or as pictures. Depth and segmentation are kept so, too: a grey or a gaudy
picture of no light, whose motion is no motion of things. lerobot marks depth in a feature's `info`
or `video_info` (`is_depth_map`, once `video.is_depth_map`: huggingface/lerobot,
dataset_metadata.py). Its releases 0.3 and 0.4 write that mark as false for every video
(video_utils.py, `get_video_info`), and there is none for segmentation, so names count as well:
`observation.images.top_depth`, `observation.images.seg_instance_id.left_wrist`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEPTH, SEGMENTATION = "depth", "segmentation"
PICTURES = "image"
CAMERAS = ("video", PICTURES)  # dtypes
_WORDS = {
    DEPTH: {"depth", "depths", "depthmap", "disparity"},
    SEGMENTATION: {
        *("seg", "segm", "segmentation", "segmentations", "semantic", "semantics"),
        *("mask", "masks"),
    },
}
_COLOUR = {"rgb", "color", "colour", "bgr"}  # observation.images.depth_camera_rgb
_MARKS = ("is_depth_map", "video.is_depth_map")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # also of topDepth


@dataclass(frozen=True, slots=True)
class Cameras:
    """The cameras among the features.

    used: names of those to read, sorted. pictures: those of them that are kept as pictures.
    left_out: names of those that are not read, with their kind. notes: a sentence for each.
    """

    used: tuple[str, ...]
    pictures: frozenset[str]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


def find_cameras(features: Mapping[str, Any]) -> Cameras:
    """Go through the features of `meta/info.json`; nothing of them is trusted."""
    used, left_out, notes = {}, {}, []
    for name, feature in features.items():
        dtype = feature.get("dtype") if isinstance(feature, dict) else None
        if dtype not in CAMERAS:
            continue
        if kind := _kind(name, feature):
            left_out[name] = kind
            notes.append(f"camera {name} shows {kind} and is left out")
        elif "/" in name or ".." in name:
            notes.append(f"camera {name!r} is no name of a folder and is left out")
        else:
            used[name] = dtype
    pictures = frozenset(name for name, dtype in used.items() if dtype == PICTURES)
    return Cameras(tuple(sorted(used)), pictures, left_out, tuple(notes))


def _kind(name: str, feature: Mapping[str, Any]) -> str:
    """What a camera shows in place of what is seen, "" where it shows that."""
    about = (feature.get("video_info"), feature.get("info"))
    if any(each.get(mark) for each in about if isinstance(each, dict) for mark in _MARKS):
        return DEPTH
    words = {word.lower() for word in _WORD.findall(name)}
    if words & _COLOUR:
        return ""
    return next((kind for kind, theirs in _WORDS.items() if words & theirs), "")
