"""What a TFRecord file holds, for a listing: its records, their steps, what is said of them.

Of a picture nothing is read, and of a feature that nobody asked for its place alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from sofdata.errors import InputError
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.base import damaged, opened_file
from sofdata.video.sequences.rlds import clocks, example, steps, tfrecord
from sofdata.video.sequences.rlds.steps import Features, Numbers, Part
from sofdata.video.sequences.rlds.tfrecord import Record

MOST_TEXT_CHARACTERS = 10_000
MOST_RUNS = 10_000


def look(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """The episodes of a file, and why there are no more, if there should be.

    options:
        groups: by the path of a sequence ("steps"): `counts`, numbers a step of features that tell
            how many there are; `pictures`, features of pictures, each with its kind of list;
            `texts`; `codes`, texts as numbers, with their width; `times`; `first` and `last`, flags
        alone: features of the whole episode, a text or a number each

    Returns {"episodes": [...], "wrong": null or [reason, detail]}; an episode is
        {"at", "bytes", "wrong", "alone": {name: value}, "groups": {path: {"steps", "parts",
        "texts": {name: [[step, text], ...]}, "times": null or {"name", "unit", "fps",
        "last_s", "rows", "all"}, "lacks": {feature: why}}}}

    of times, all from the first step of its part on: the latest of each part, how many rows of
    numbers each has, and the time of each step, which for one that goes back is that before it
    """
    with opened_file(source) as file:
        size = source.size if isinstance(source, RangeFile) else _size(file)
        episodes: list[dict[str, Any]] = []
        try:
            for record in tfrecord.records(file, size):
                episodes.append(_episode(file, record, options))
        except Unusable as error:
            return {"episodes": episodes, "wrong": [error.reason, str(error)]}
        return {"episodes": episodes, "wrong": None}


def _size(file: BinaryIO) -> int:
    file.seek(0, 2)
    return file.tell()


def _episode(file: BinaryIO, record: Record, options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"at": record.start, "bytes": record.size, "wrong": None}
    try:
        features = example.features(file, record.start, record.end)
        found["alone"] = {name: _alone(file, features, name) for name in options["alone"]}
        found["groups"] = {
            path: _group(file, features, wanted) for path, wanted in options["groups"].items()
        }
    except InputError as error:
        found["wrong"] = [getattr(error, "reason", "damaged"), str(error)]
    return found


def _alone(file: BinaryIO, features: Features, name: str) -> str | float | None:
    """A value of the whole episode."""
    feature = features.get(name)
    if feature is None or not feature.kind:
        return None
    if feature.kind != example.BYTES:
        numbers = example.numbers(file, feature)
        return numbers[0].item() if len(numbers) == 1 else None
    _, runs = steps.text_runs(file, feature)
    return runs[0][1][:MOST_TEXT_CHARACTERS] if runs else ""


def _group(file: BinaryIO, features: Features, wanted: Mapping[str, Any]) -> dict[str, Any]:
    counts = _counts(file, features, wanted)
    texts = _texts(file, features, wanted, counts)
    if not counts:
        counts = _counted_pictures(file, features, wanted)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{number} in {name}" for name, number in list(counts.items())[:4])
        raise damaged(f"its features do not have as many steps each: {told}")
    count = next(iter(counts.values()), 0)
    first, last = (
        steps.numbers_of(file, features, wanted[each]) if wanted[each] else np.empty(0, np.int64)
        for each in ("first", "last")
    )
    parts = steps.parts_of(first, last, count)
    changes = len(parts) > 1 or any(len(runs) > 1 for runs in texts.values())
    return {
        "steps": count,
        "parts": [[part.first, part.end, part.ends_marked] for part in parts],
        "texts": texts,
        "times": _times(file, features, wanted["times"], parts, changes),
        "lacks": _lacking(features, wanted["pictures"]),
    }


def _counts(file: BinaryIO, features: Features, wanted: Mapping[str, Any]) -> dict[str, int]:
    """Steps by each feature of numbers that is there; of floats none is read for that."""
    found = {}
    for name, width in wanted["counts"].items():
        feature = features.get(name)
        if feature is None or feature.kind not in (example.FLOATS, example.INTS):
            continue
        if feature.kind == example.FLOATS:
            parts = example.number_parts(file, feature)
            values = sum(end - start for start, end in parts) // 4
        elif feature.size_bytes <= example.MOST_COUNTED_BYTES:
            values = len(example.numbers(file, feature))
        else:
            continue
        if values % width:
            raise damaged(f"'{name}' has {values} numbers, where each step has {width}")
        found[name] = values // width
    return found


def _counted_pictures(
    file: BinaryIO, features: Features, wanted: Mapping[str, Any]
) -> dict[str, int]:
    """By encoded pictures, where nothing smaller tells; only their lengths are read.

    Raises `Unusable` where there are others, which would have to be read for that.
    """
    there = {name: features[name] for name in wanted["pictures"] if name in features}
    for name, feature in there.items():
        if feature.kind == wanted["pictures"][name] == example.BYTES:
            return {name: sum(1 for _ in example.values(file, feature))}
    if any(feature.size_bytes for feature in there.values()):
        raise damaged(
            "how many steps it has is told by no small feature, such as the flags of RLDS, and not "
            f"by '{next(iter(there))}', which is not encoded"
        )
    return {}


def _texts(
    file: BinaryIO, features: Features, wanted: Mapping[str, Any], counts: dict[str, int]
) -> dict[str, list[tuple[int, str]]]:
    """The texts of the steps by feature, and in `counts` how many steps they tell of."""
    found = {}
    for name in wanted["texts"]:
        feature = features.get(name)
        if feature is not None and feature.kind == example.BYTES:
            counts[name], found[name] = steps.text_runs(file, feature)
    for name, width in wanted["codes"].items():
        stated = steps.numbers_of(file, features, name)
        if len(stated):
            counts[name], found[name] = steps.code_runs(stated, width)
    for name, runs in found.items():
        if len(runs) > MOST_RUNS:
            raise damaged(f"'{name}' changes {len(runs)} times in an episode")
        found[name] = [(at, text[:MOST_TEXT_CHARACTERS]) for at, text in runs]
    return found


def _times(
    file: BinaryIO, features: Features, names: list[str], parts: list[Part], all_of_them: bool
) -> dict[str, Any] | None:
    """The first of the features that holds times, None where none does.

    all_of_them: give the time of each step, which is needed where something changes within.
    """
    count = parts[-1].end
    for name in names:
        feature = features.get(name)
        if feature is None or feature.kind not in (example.FLOATS, example.INTS):
            continue
        stated = example.numbers(file, feature)
        unit_s = clocks.unit_of(name, stated) if len(stated) == count and count else None
        step_s = clocks.usual_s(stated, unit_s, parts) if unit_s is not None else None
        if unit_s is not None and step_s is not None:
            told = _of_parts(stated, unit_s, parts, all_of_them)
            return {"name": name, "unit": unit_s, "fps": 1 / step_s, **told}
    return None


def _of_parts(
    stated: Numbers, unit_s: float, parts: list[Part], all_of_them: bool
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"last_s": [], "rows": [], "all": []}
    for part in parts:
        times_s = clocks.relative_s(stated[part.first : part.end], unit_s)
        found["last_s"].append(float(times_s.max()))
        found["rows"].append(int(steps.rows_of(part, clocks.in_order(times_s)).sum()))
        if all_of_them:
            found["all"] += np.maximum.accumulate(times_s).tolist()
    return found


def _lacking(features: Features, pictures: Mapping[str, int]) -> dict[str, str]:
    """Why the pictures of a feature cannot be had, for those of which it is known already."""
    found = {}
    for name, kind in pictures.items():
        try:
            steps.needed(features, name, kind)
        except Unusable as error:
            found[name] = str(error)
    return found
