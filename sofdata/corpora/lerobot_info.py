"""`meta/info.json` of a LeRobot dataset: version, cameras, where files lie, what actions are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage import Tree
from sofdata.types import ActionSpec

INFO = "meta/info.json"
ACTIONS = ("action", "actions")  # the second is what some converters write
V2, V3 = ("v2.0", "v2.1"), ("v3.0",)
DEFAULT_CHUNK = 1000  # episodes a folder, where v2 does not say
_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")
_FIELDS = {V2: {"episode_chunk", "episode_index"}, V3: {"chunk_index", "file_index"}}
_OPTIONAL = {"episode_chunk"}  # the number of an episode says all


@dataclass(frozen=True, slots=True)
class Info:
    """What info.json says, checked.

    version: such as "v2.1"; fps: frames and rows of data a second.
    cameras: the features that are videos. chunk: episodes a folder, in v2.
    data_path, video_path: templates of the files' places; see `fill`.
    features: all features by name. notes: what of them is left out.
    """

    version: str
    fps: float
    chunk: int
    cameras: tuple[str, ...]
    data_path: str
    video_path: str
    features: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def half_frame_s(self) -> float:
        return 0.5 / self.fps

    @property
    def has_a_file_an_episode(self) -> bool:
        """Whether each episode has files of its own, as in v2, or a part of one, as in v3.0."""
        return self.version in V2

    @property
    def action(self) -> str:
        """The name of the actions, "" where there are none."""
        return next((name for name in ACTIONS if isinstance(self.features.get(name), dict)), "")

    def actions(self, tree: Tree) -> ActionSpec:
        """What the actions are. Raises `ConfigError` where there are none, or no vectors."""
        name = self.action
        if not name:
            known = ", ".join(sorted(self.features))
            raise ConfigError(
                f"{INFO} in {tree.name} tells of no feature '{ACTIONS[0]}', only of {known}; leave "
                "out --with-actions to use the videos alone"
            )
        feature: Mapping[str, Any] = self.features[name]
        shape, dtype = feature.get("shape"), str(feature.get("dtype"))
        size = _vector_size(shape)
        if not size or not dtype.startswith(("float", "int")):
            raise ConfigError(
                f"{INFO} in {tree.name}: feature '{name}' is {dtype} {shape}, and only vectors "
                "of numbers can be stored; leave out --with-actions to use the videos alone"
            )
        return ActionSpec(_names(feature.get("names"), size), self.fps)


def read_info(tree: Tree) -> Info:
    """Read and check info.json. Raises `ConfigError` that says what was found."""
    values: dict[str, Any] = jsonfile.read_json(tree, INFO, dict)
    version = _version(tree, values.get("codebase_version"))
    features = values.get("features")
    if not isinstance(features, dict):
        raise jsonfile.wrong(tree, INFO, "it lacks 'features'")
    fps = values.get("fps")
    if not isinstance(fps, int | float) or not 0 < fps < 10_000:
        raise jsonfile.wrong(tree, INFO, f"'fps' should be frames a second, found {fps!r}")
    cameras, notes = _cameras(features)
    if not cameras:
        kinds = sorted({str(_get(feature, "dtype")) for feature in features.values()})
        raise jsonfile.wrong(tree, INFO, f"no feature is a video, only {', '.join(kinds)}")
    chunk = values.get("chunks_size", DEFAULT_CHUNK)
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise jsonfile.wrong(tree, INFO, f"'chunks_size' should be a number, found {chunk!r:.40}")
    fields = _FIELDS[V2 if version in V2 else V3]
    return Info(
        version=version,
        fps=float(fps),
        chunk=chunk,
        cameras=tuple(sorted(cameras)),
        data_path=_template(tree, values, "data_path", fields),
        video_path=_template(tree, values, "video_path", {*fields, "video_key"}),
        features=features,
        notes=tuple(notes),
    )


def _version(tree: Tree, value: Any) -> str:
    """The format's version. Raises `ConfigError` for one that is not read."""
    found = f"v{value.removeprefix('v')}" if isinstance(value, str) else ""
    if found in (*V2, *V3):
        return found
    hint = ""
    if found.startswith("v1"):
        hint = ". LeRobot's own converters bring older datasets to v2.0 and on"
    known = ", ".join((*V2, *V3))
    raise jsonfile.wrong(
        tree, INFO, f"codebase_version is {value!r:.40}, and only {known} are read{hint}"
    )


def fill(template: str, **values: Any) -> str:
    """Put values into a template such as `data/chunk-{chunk_index:03d}/...`."""

    def one(field: re.Match[str]) -> str:
        return str(values[field[1]]).zfill(int(field[2] or 0))

    return _FIELD.sub(one, template)


def _template(tree: Tree, values: dict[str, Any], key: str, fields: set[str]) -> str:
    """A template of which nothing is trusted: known fields only, and no way out of the tree."""
    template = values.get(key)
    if not isinstance(template, str):
        raise jsonfile.wrong(tree, INFO, f"'{key}' should be a path, found {template!r}")
    rest = _FIELD.sub("", template)
    found = {match[1] for match in _FIELD.finditer(template)}
    outside = template.startswith("/") or ".." in template or "://" in template
    if outside or not fields - _OPTIONAL <= found <= fields or "{" in rest or "}" in rest:
        wanted = ", ".join(f"{{{field}}}" for field in sorted(fields))
        raise jsonfile.wrong(
            tree,
            INFO,
            f"'{key}' is '{template}', where a relative path with {wanted} was expected, as it is "
            f"of codebase_version {values.get('codebase_version')}",
        )
    return template


def _cameras(features: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The features to read as videos, and what is said of those that are left out."""
    cameras, notes = [], []
    for name, feature in features.items():
        dtype = _get(feature, "dtype")
        if dtype == "image":
            notes.append(f"camera {name} is stored as images, which are not read")
        elif dtype == "video" and _is_depth(feature):
            notes.append(f"camera {name} shows depth and is left out")
        elif dtype == "video" and ("/" in name or ".." in name):
            notes.append(f"camera {name!r} is no name of a folder and is left out")
        elif dtype == "video":
            cameras.append(name)
    return cameras, notes


def _is_depth(feature: dict[str, Any]) -> bool:
    told = (feature.get("video_info"), feature.get("info"))
    names = ("is_depth_map", "video.is_depth_map")
    return any(_get(about, name) for about in told for name in names)


def _get(feature: Any, key: str) -> Any:
    return feature.get(key) if isinstance(feature, dict) else None


def _vector_size(shape: Any) -> int:
    """Length of a vector of this shape, 0 for what is none."""
    fits = isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int)
    return max(0, shape[0]) if fits else 0


def _names(names: Any, dimension: int) -> tuple[str, ...]:
    """A name for each dimension; LeRobot keeps a list, {"motors": list}, {name: number} or null."""
    if isinstance(names, dict) and names and all(isinstance(v, int) for v in names.values()):
        names = sorted(names, key=lambda name: int(names[name]))
    elif isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    fits = isinstance(names, list) and len(names) == dimension
    if fits and len({str(name) for name in names}) == dimension:
        return tuple(jsonfile.clean(str(name)) for name in names)
    return tuple(f"{ACTIONS[0]}_{number}" for number in range(dimension))
