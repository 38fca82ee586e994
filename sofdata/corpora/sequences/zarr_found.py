"""`Found`: one video of a Zarr store, checked as anything is that an untrusted file gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Found:
    """A video of a store as a look says it: `sofdata.video.sequences.zarrs.about`.

    array, group: paths in the store. episode: its number, None for a whole array. start, end: its
    rows. times, unit: of its timestamps, "" for none; lasts_s, fps: by these. range: of floats, ""
    if that is not sure. is_bgr: by its name. actions, states: paths of arrays and their numbers in
    a row.
    """

    array: str
    group: str
    episode: int | None
    start: int
    end: int
    times: str
    unit: str
    lasts_s: float | None
    fps: float | None
    is_float: bool
    is_bgr: bool
    range: str
    actions: tuple[tuple[str, int], ...]
    states: tuple[tuple[str, int], ...]
    text: str
    problem: str
    detail: str

    @classmethod
    def of(cls, said: Any) -> Found:
        """Raises `TypeError` or `ValueError` for what no look says."""
        values = {each.name: said[each.name] for each in fields(cls)}
        for name in ("array", "group", "times", "unit", "range", "text", "problem", "detail"):
            values[name] = str(values[name])
        for name in ("start", "end"):
            values[name] = int(values[name])
        for name in ("lasts_s", "fps"):
            value = values[name] if values[name] is None else float(values[name])
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}")
            values[name] = value
        for name in ("actions", "states"):
            values[name] = tuple((str(path), int(size)) for path, size in values[name])
        number = values["episode"]
        return cls(**values | {"episode": None if number is None else int(number)})
