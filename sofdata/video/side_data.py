"""The display matrix that a frame of PyAV brings along, past two flaws of that library."""

from __future__ import annotations

from functools import cache
from typing import Any


def display_matrix(frame: Any) -> bytes | None:
    """The matrix as FFmpeg keeps it, nine int32 in the order of the machine; None without one.

    `frame.side_data` is not asked: the frame would keep it, and it the frame, so that both stay in
    memory until Python looks for such circles, which may be hundreds of frames later.
    """
    container, wanted = _library()
    data = container(frame).get(wanted)
    return None if data is None else bytes(data)


@cache
def _library() -> tuple[Any, Any]:
    """What reads the side data of a frame, and the kind that is wanted of it."""
    from av.sidedata import sidedata

    kinds: Any = sidedata  # its stubs know no arguments
    # PyAV 18.1 names every kind of side data that a frame has, and fails at one that it does not
    # know: Exif, which FFmpeg 8 gives with frames of MJPEG beside the matrix that it makes of it.
    kinds.Type._missing_ = classmethod(_unknown_kind)
    return kinds.SideDataContainer, kinds.Type.DISPLAYMATRIX


def _unknown_kind(kinds: Any, value: object) -> Any:
    """A member for a kind of side data that has no name."""
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind
