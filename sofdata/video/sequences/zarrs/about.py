"""What belongs to an array of pictures in a Zarr store: its times, actions, states and texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences import paces
from sofdata.video.sequences.zarrs import clocks
from sofdata.video.sequences.zarrs.checks import MOST_CHUNK_BYTES
from sofdata.video.sequences.zarrs.metadata import Array
from sofdata.video.sequences.zarrs.nodes import Store
from sofdata.video.sequences.zarrs.pictures import Layout, range_of
from sofdata.video.sequences.zarrs.reading import FAILURES, ArrayReader

ACTIONS = ("action", "actions")
CLOCKS = (
    *("timestamp", "timestamps", "timestamp_s", "timestamps_s"),
    *("robot_timestamp", "robot_timestamps"),
)
# Allowed under with_state: what the robot is in, by the names of Diffusion Policy, UMI and ALOHA.
STATES = (
    "state",
    "states",
    "agent_pos",
    "robot_state",
    "qpos",
    "qvel",
    *("robot_eef_pose", "robot_eef_pose_vel", "robot_joint", "robot_joint_vel"),
    *("eef_pos", "eef_quat", "gripper_width", "gripper_open"),
    *(
        f"robot{number}_{what}"
        for number in range(4)
        for what in ("eef_pos", "eef_rot_axis_angle", "gripper_width")
    ),
)
TEXTS = ("language_instruction", "instruction", "task_description", "task", "language", "text")
MOST_TEXT = 2000  # characters
SAMPLED = 8  # pictures, for the range of floats
_KIND = re.compile(r"_(?:rgb|bgr|colou?r|image|img)$")  # of camera0_rgb: camera0_timestamp


def blank(array: Array, group: str) -> dict[str, Any]:
    """A video of which nothing is known yet. group: the path of what was recorded together."""
    return {
        "array": array.path,
        "group": group,
        "episode": None,
        "start": 0,
        "end": 0,
        "times": "",
        "unit": "",
        "lasts_s": None,
        "fps": None,
        "is_float": False,
        "is_bgr": False,
        "range": "",
        "actions": [],
        "states": [],
        "text": "",
        "problem": "",
        "detail": "",
    }


class About:
    """What is the same for all episodes of an array of pictures.

    owner: the group whose `episode_ends` cut it, None for a video as a whole. group: that of what
    was recorded together. bases: the groups in which lies what belongs to it, nearest first.
    """

    def __init__(
        self,
        store: Store,
        array: Array,
        layout: Layout,
        owner: str | None,
        group: str,
        bases: list[str],
    ) -> None:
        self._store = store
        self._array = array
        self._owner = owner
        self._bases = bases
        self._blank = blank(array, group) | {
            "is_float": layout.is_float,
            "is_bgr": layout.is_bgr,
            "range": _sampled_range(store, array) if layout.is_float else "",
            "actions": self._sizes(ACTIONS, most=1),
            "states": self._sizes(STATES),
        }
        self._clock, self._unit = self._find_clock()
        self._texts = self._episode_texts()
        self._text = next((text for path in [array.path, *bases] if (text := self._said(path))), "")

    def video(self, number: int | None, start: int, end: int) -> dict[str, Any]:
        found = self._blank | {"episode": number, "start": start, "end": end}
        found["text"] = self._texts.get(number, self._text)
        if start == end:
            return found | {"problem": "no_frames", "detail": "it has no row"}
        if end > self._array.shape[0]:
            what = f"it ends with row {end}, where '{self._array.path}' has {self._array.shape[0]}"
            return found | {"problem": "cut_off", "detail": what}
        if self._clock is not None:
            found |= self._timed(self._clock, start, end)
        return found

    def _timed(self, clock: Array, start: int, end: int) -> dict[str, Any]:
        times_s = clocks.seconds(self._stamps(clock)[start:end], self._unit)
        # A picture alone has no step; that all are fine enough was seen with the unit.
        odd = paces.doubt([times_s]) or ("" if paces.usual_s([times_s]) else "do not increase")
        if odd:
            return {"problem": "no_times", "detail": f"the timestamps in '{clock.path}' {odd}"}
        usual_s = paces.usual_s([times_s])
        lasts_s = float(np.nanmax(times_s)) + usual_s
        known = {"times": clock.path, "unit": self._unit}
        return known | {"lasts_s": round(lasts_s, 6), "fps": round(1 / usual_s, 3)}

    def _sizes(self, names: tuple[str, ...], most: int | None = None) -> list[list[Any]]:
        """Paths of arrays of numbers, a row for each picture, and how many are in a row."""
        found = []
        for name in names:
            array = self._beside(name)
            if array is not None and array.is_number and len(array.shape) <= 3:
                found.append([array.path, int(np.prod(array.shape[1:]))])
        return found[:most]

    def _beside(self, name: str) -> Array | None:
        """The nearest array of this name that has as many rows."""
        for base in self._bases:
            array = self._store.arrays.get(f"{base}/{name}" if base else name)
            if array is None or not array.shape or array.path == self._array.path:
                continue
            if self._fits(array):
                return array
            what = f"has {array.shape[0]} rows, where pictures have {self._array.shape[0]}"
            self._store.leave_out(array.path, what)
        return None

    def _fits(self, array: Array) -> bool:
        rows = self._array.shape[0]
        if self._owner is None:
            return array.shape[0] == rows
        ends = self._store.ends[self._owner]
        return array.shape[0] == rows or (len(ends) > 0 and array.shape[0] == int(ends[-1]))

    def _find_clock(self) -> tuple[Array | None, str]:
        cameras = (self._array.name, _KIND.sub("", self._array.name))
        usual = self._store.clocks
        own = [f"{camera}_{name}" for camera in cameras for name in usual]
        for name in (*own, *usual):
            array = self._beside(name)
            if array is None or not clocks.is_clock(array):
                continue
            unit = self._unit_of(array)
            if unit == clocks.COARSE:
                self._store.leave_out(array.path, "has timestamps coarser than their steps")
                continue
            if unit:
                return array, unit
            self._store.leave_out(array.path, "has timestamps without the pace of any camera")
        return None, ""

    def _unit_of(self, array: Array) -> str:
        """The unit of timestamps as `clocks.unit_of` has it, "" where they cannot be read."""
        units, key = self._store.units, (array.path, self._owner or "")
        if key not in units:
            try:
                units[key] = clocks.unit_of(self._stamps(array), self._bounds(array.shape[0]))
            except Unusable:
                units[key] = ""
        return units[key]

    def _stamps(self, array: Array) -> NDArray[Any]:
        """Timestamps, which several cameras in turn may have in common."""
        known = self._store.stamps
        if array.path not in known:
            known.clear()
            known[array.path] = clocks.stamps(self._store.files, array, 0, array.shape[0])
        return known[array.path]

    def _bounds(self, rows: int) -> list[tuple[int, int]]:
        if self._owner is None:
            return [(0, rows)]
        ends = self._store.ends[self._owner].tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def _said(self, path: str) -> str:
        said = self._store.said.get(path, {})
        return next((text for name in TEXTS if (text := _text(said.get(name)))), "")

    def _episode_texts(self) -> dict[int | None, str]:
        """Texts of episodes, from an array of as many texts in `meta`."""
        if self._owner is None:
            return {}
        count = len(self._store.ends[self._owner])
        meta = f"{self._owner}/meta" if self._owner else "meta"
        for path in (meta, self._owner):
            for said in map(self._store.said.get(path, {}).get, TEXTS):
                if isinstance(said, list) and len(said) == count:
                    return {at: _text(each) for at, each in enumerate(said)}
        for name in TEXTS:
            array = self._store.arrays.get(f"{meta}/{name}")
            if array is None or not array.is_text or array.shape != (count,):
                continue
            if count * array.dtype.itemsize > MOST_CHUNK_BYTES:
                continue
            reader = ArrayReader(self._store.files, array)
            try:
                if reader.present(0, count).all():
                    return {at: _text(each) for at, each in enumerate(reader.rows(0, count))}
                self._store.leave_out(array.path, "lacks chunks: its texts are not used")
            except FAILURES:
                self._store.leave_out(array.path, "cannot be unpacked: its texts are not used")
        return {}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip()[:MOST_TEXT] if isinstance(value, str) else ""


def _sampled_range(store: Store, array: Array) -> str:
    """The range of floats as the first pictures show it."""
    reader = ArrayReader(store.files, array)
    try:
        for rows, values in reader.pieces(0, min(SAMPLED, array.shape[0])):
            if found := range_of(values[: len(rows)]):
                return found
    except FAILURES:
        return ""
    return ""
