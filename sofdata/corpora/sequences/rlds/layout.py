"""What of the features of a dataset is read: cameras, texts, times, flags. An allow-list.

The names of texts and times are those of published datasets: Open X-Embodiment and what was
converted to it, Bridge V2, DROID, Language-Table. What is a picture is told by its type.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from sofdata.corpora.sequences.rlds.features import Feature
from sofdata.video.sequences.rlds.example import BYTES, INTS

STRINGS = ("string", "object", "str", "bytes")
# In the order in which they are preferred; what comes second is a label.
TEXTS = (
    r"language_instruction",
    r"natural_language_instruction",
    r"language_instruction_\d+",
    r"instruction",
    r"language_annotation|language|lang",
    r"task|task_description|task_name|text|caption",
    r"structured_language_instruction",
)
TIMES = re.compile(r"(time_?stamps?|time)(_(ns|us|ms|s|sec|seconds))?")
MARKS = ("episode_id", "file_path", "recording_folderpath")  # of an episode: labels
HAS = "has_"  # Bridge V2: episode_metadata/has_image_1 tells whether image_1 shows anything
DEPTH, SINGLE, NESTED = "depth or labels", "one picture an episode", "lists of pictures in steps"
PLANES, ARRAYS = "channels before rows", "arrays that may be pictures, of a shape that is not read"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # also of topDepth
_NO_PICTURES = {
    *("depth", "depths", "depthmap", "disparity", "normals", "flow"),
    *("seg", "segm", "segmentation", "semantic", "semantics", "mask", "masks", "labels"),
}
_COLOURS = {"rgb", "bgr", "color", "colour"}  # of depth_camera_rgb
_CHANNELS = (1, 3, 4)
_LEAST_SIDE = 16  # px, of an array that is taken for a picture


@dataclass(frozen=True, slots=True)
class Camera:
    """A feature that holds pictures of colours or of grey.

    raw, coding: of pictures that are arrays, as `sofdata.video.sequences.rlds.reader` has them.
    stored: the feature of a record that has them, and the kind of its list.
    """

    name: str
    label: str
    group: str
    stored: tuple[str, int]
    raw: str = ""
    coding: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a dataset has.

    features: by name. texts: features of texts, the preferred one first. times: of times, by the
    list in which they are. left_out: names of features of pictures that are not read, by why.
    """

    features: Mapping[str, Feature]
    cameras: tuple[Camera, ...]
    texts: tuple[str, ...]
    times: Mapping[str, list[str]]
    left_out: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """For the look into a file."""
        paths = dict.fromkeys(camera.group for camera in self.cameras)
        return {"groups": {path: self._group(path) for path in paths}, "alone": [*self._alone()]}

    def flag(self, group: str, name: str) -> str:
        """The feature of a flag of the steps, "" where there is none."""
        found = self.features.get(f"{group}/{name}")
        return found.name if found and is_numbers(found) and found.depth == 1 else ""

    def _group(self, path: str) -> dict[str, Any]:
        inside = {each.name: each for each in self.features.values() if _is_step(each, path)}
        cameras = [camera for camera in self.cameras if camera.group == path]
        pictures = {camera.stored[0]: camera.stored[1] for camera in cameras}
        texts = [name for name in self.texts if name in inside]
        codes = [name for name in texts if is_codes(inside[name])]
        counts = {each.name: size_of(each) for each in inside.values() if is_numbers(each)}
        return {
            "pictures": pictures,
            "counts": {name: size for name, size in counts.items() if name not in pictures},
            "texts": [name for name in texts if name not in codes],
            "codes": {name: size_of(inside[name]) for name in codes},
            "times": self.times.get(path, []),
            "first": self.flag(path, "is_first"),
            "last": self.flag(path, "is_last"),
        }

    def _alone(self) -> Iterator[str]:
        for each in self.features.values():
            named = each.own_name in MARKS or each.own_name.startswith(HAS)
            if each.depth == 0 and size_of(each) == 1 and (named or each.name in self.texts):
                yield each.name


def layout_of(features: Iterable[Feature], clock: str | None = None) -> Layout:
    """What is read of some features. clock: the one of times, if its user says so."""
    by_name = {each.name: each for each in features}
    cameras: list[Camera] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    times: dict[str, list[str]] = defaultdict(list)
    for each in by_name.values():
        found = _camera(each)
        if isinstance(found, Camera):
            cameras.append(found)
        elif found:
            left_out[found].append(each.short_name)
        if _is_time(each, clock):
            times[each.group].append(each.name)
    return Layout(by_name, _told_apart(cameras), _texts(by_name.values()), times, left_out)


def _told_apart(cameras: list[Camera]) -> tuple[Camera, ...]:
    """Of two that would be called the same each by its whole name: steps/observation/image."""
    labels = Counter(camera.label for camera in cameras)
    return tuple(
        replace(camera, label=camera.name) if labels[camera.label] > 1 else camera
        for camera in cameras
    )


def is_numbers(feature: Feature) -> bool:
    """Whether it is numbers as a record has them, always as many."""
    numeric = feature.dtype.startswith(("float", "bfloat", "int", "uint", "bool"))
    return (
        feature.kind == "tensor" and numeric and feature.coding == "none" and size_of(feature) > 0
    )


def size_of(feature: Feature) -> int:
    """How many numbers it has in each step, 0 where that is not always the same."""
    return prod(side or 0 for side in feature.shape)


def is_codes(feature: Feature) -> bool:
    """Whether it may be a text as the numbers of its bytes, as Language-Table's `instruction`."""
    return is_numbers(feature) and len(feature.shape) == 1 and feature.dtype.startswith("int")


def _is_step(feature: Feature, path: str) -> bool:
    return feature.group == path and feature.depth == 1


def _is_time(feature: Feature, clock: str | None) -> bool:
    one_a_step = feature.depth == 1 and is_numbers(feature) and size_of(feature) == 1
    meant = feature.name == clock if clock else TIMES.fullmatch(feature.own_name)
    return one_a_step and bool(meant) and not feature.dtype.startswith("bool")


def _texts(features: Iterable[Feature]) -> tuple[str, ...]:
    """The features of texts, the preferred one first, of equals that of the steps."""
    found = []
    for each in features:
        plain = size_of(each) == 1 and (each.kind == "text" or each.dtype in STRINGS)
        if each.depth > 1 or not (plain or is_codes(each)):
            continue
        ranks = [at for at, name in enumerate(TEXTS) if re.fullmatch(name, each.own_name)]
        if ranks and (plain or each.own_name == "instruction"):
            found.append((ranks[0], -each.depth, each.name))
    return tuple(name for *_, name in sorted(found))


def _camera(feature: Feature) -> Camera | str:
    """The camera that a feature is, or why its pictures are not read; "" where it has none."""
    if feature.kind == "image":
        fits, raw = not feature.shape or feature.shape[-1] in (*_CHANNELS, None), ""
    else:
        fits, raw = True, _raw_shape(feature)
        if raw in ("", PLANES, ARRAYS):
            return raw
    if feature.dtype != "uint8" or feature.is_labels or not fits or _is_other(feature):
        return DEPTH
    if feature.depth != 1:
        return NESTED if feature.depth else SINGLE
    label = feature.short_name.removeprefix("observation/")
    coding = feature.coding if raw else ""
    stored = f"{feature.name}/value" if "?" in raw else feature.name
    kind = INTS if coding == "none" else BYTES
    return Camera(feature.name, label, feature.group, (stored, kind), raw, coding)


def _is_other(feature: Feature) -> bool:
    """Whether it shows no light by its name; what is said last counts: depth/rgb, depth_camera."""
    for part in reversed(feature.short_name.split("/")):
        words = {word.lower() for word in _WORD.findall(part)}
        if words & (_COLOURS | _NO_PICTURES):
            return not words & _COLOURS
    return False


def _raw_shape(feature: Feature) -> str:
    """HEIGHTxWIDTHxCHANNELS of an array that is a picture by its type; or why it cannot be read.

    "" for any other.
    """
    if feature.kind != "tensor" or feature.dtype != "uint8" or len(feature.shape) < 3:
        return ""
    *_, height, width, channels = feature.shape
    is_one = len(feature.shape) == 3
    if channels not in _CHANNELS:
        sides = feature.shape[-2:]
        return PLANES if feature.shape[-3] == 3 and None not in sides and _large(sides) else ""
    if is_one and height is None and width is None and feature.coding != "none":
        return f"?x?x{channels}"
    if not _large((height, width)):
        return ""
    return f"{height}x{width}x{channels}" if is_one and height and width else ARRAYS


def _large(sides: tuple[int | None, ...]) -> bool:
    """Whether these are the sides of a picture, as far as they are known."""
    return all(side is None or side >= _LEAST_SIDE for side in sides)
