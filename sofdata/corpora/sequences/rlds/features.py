"""features.json of TFDS: which features a record has, by the flat names under which they lie.

Two layouts, both of tensorflow_datasets/core/features/feature.py. Today (4.9) a feature is

    {"pythonClassName": "...", "featuresDict": {"features": {NAME: feature}}}
    {"pythonClassName": "...", "sequence": {"feature": feature, "length": "-1"}}
    {"pythonClassName": "...", "tensor": {"shape": {"dimensions": ["7"]}, "dtype": "float32",
                                          "encoding": "none"}}       and image, video, text, ...

and once it was {"type": "...", "content": ...}, with shapes as lists and names_in_snake_case; one
may stand in the other. In a record the names of what contains a feature stand before
its own, with "/" between them (example_serializer.py); a list in a list has other names, and is not
read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree

FEATURES = "features.json"
_DEEPEST = 32
# What tells the kind of a feature in either layout: a key of the first, a class of the second.
_KINDS = {
    "featuresDict": ("FeaturesDict",),
    "sequence": ("Sequence", "Dataset"),
    "image": ("Image", "LabeledImage"),
    "video": ("Video",),
    "text": ("Text",),
    "tensor": ("Tensor", "Scalar"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a record.

    name: as records have it, such as "steps/observation/image".
    group: the path of the list that it is in, such as "steps"; "" for what is of the whole record.
    depth: in how many lists it lies.
    kind: "image", "text", "tensor", or the name of its class if it is something else.
    shape: None for a number that is not always the same. dtype: as TFDS names it.
    coding: none, bytes or zlib. is_labels: of a picture whose numbers are names of things.
    """

    name: str
    group: str
    depth: int
    kind: str
    shape: tuple[int | None, ...] = ()
    dtype: str = ""
    coding: str = "none"
    is_labels: bool = False

    @property
    def own_name(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def short_name(self) -> str:
        """Without the list that it is in."""
        return self.name.removeprefix(f"{self.group}/") if self.group else self.name


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a feature stands: as in `Feature`, and in how many others it lies."""

    name: str = ""
    group: str = ""
    depth: int = 0
    level: int = 0

    def named(self, key: str) -> _Place:
        name = f"{self.name}/{key}" if self.name else key
        return _Place(name, self.group, self.depth, self.level + 1)

    def listed(self) -> _Place:
        return _Place(self.name, self.group or self.name, self.depth + 1, self.level + 1)


def read_features(tree: Tree, rel: str) -> list[Feature]:
    """All features of a dataset, in the order of the file. Raises `ConfigError`."""
    top = jsonfile.read_json(tree, rel, dict)
    try:
        if _parts(top)[1] != "featuresDict":
            raise ValueError("at the top should be a FeaturesDict")
        return list(_walk(top, _Place()))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise jsonfile.wrong(tree, rel, f"no features as TFDS writes them: {error}") from None


def _walk(node: Any, place: _Place) -> Iterator[Feature]:
    if place.level > _DEEPEST:
        raise ValueError(f"'{place.name:.80}' is nested too deeply")
    content, kind = _parts(node)
    if kind == "featuresDict":
        for key, inner in _inner(content).items():
            yield from _walk(inner, place.named(key))
    elif kind == "sequence":
        yield from _walk(content.get("feature"), place.listed())
    elif kind == "video":
        yield _leaf(content, "image", place.listed(), is_labels=False)
    else:
        yield _leaf(content, kind, place, _class_of(node) == "LabeledImage")


def _inner(content: dict[str, Any]) -> dict[str, Any]:
    """The features of a FeaturesDict by name."""
    inner = content.get("features")
    if not isinstance(inner, dict) or _class_of(inner):  # once they stood there themselves
        inner = content
    return inner


def _leaf(content: dict[str, Any], kind: str, place: _Place, is_labels: bool) -> Feature:
    shape = _shape(content.get("shape"))
    if kind == "image" and len(shape) == 4:
        shape = shape[1:]  # of a video: its pictures
    coding = content.get("encoding") if kind == "tensor" else None
    colormap = content.get("useColormap") or content.get("use_colormap")
    return Feature(
        name=jsonfile.clean(place.name),
        group=jsonfile.clean(place.group),
        depth=place.depth,
        kind=kind,
        shape=shape,
        dtype=str(content.get("dtype") or ("uint8" if kind == "image" else "")),
        coding=str(coding or "none").lower(),
        is_labels=is_labels or bool(colormap),
    )


def _shape(stated: Any) -> tuple[int | None, ...]:
    """A shape of either layout; -1 and null stand for any number."""
    if isinstance(stated, dict):
        stated = stated.get("dimensions")
    sides = [None if side is None else int(side) for side in stated or []]
    return tuple(None if side is None or side < 0 else side for side in sides)


def _parts(node: Any) -> tuple[dict[str, Any], str]:
    """Content and kind of a feature in either layout."""
    if not isinstance(node, dict):
        raise ValueError(f"expected a feature, found {node!r:.60}")
    name = _class_of(node)
    kind = next((kind for kind in _KINDS if kind in node), "")
    content = node[kind] if kind else node.get("content", {})
    if isinstance(content, str):  # JSON in JSON, once
        content = json.loads(content)
    return content if isinstance(content, dict) else {}, kind or _KIND_OF.get(name, name)


def _class_of(node: Mapping[str, Any]) -> str:
    return str(node.get("pythonClassName") or node.get("type") or "").rpartition(".")[2]
