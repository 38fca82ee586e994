"""What the decoding of a video may cost, and the outcomes of those that would cost more.

Frames that are too large are known before anything is decoded, and are an outcome like others. A
limit of memory or time that is reached while a video is decoded ends it: what was decoded up to
there is not used, since it would be a shorter video than the file holds.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from sofdata.config.section import Section
from sofdata.errors import DecodeError

MIB = 1 << 20


class OverLimit(DecodeError):
    """A video takes more memory or time than it may.

    reason: "over_memory" or "over_time".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class LimitConfig(Section):
    """What the decoding of one video may cost. Defaults are ours; none changes a byte."""

    floor_s: float = Field(
        60.0,
        gt=0,
        description="A decoder that makes no progress for this long, s, is stopped: it has read no "
        "byte, come upon no packet and given no frame. Every video may take this long.",
    )
    per_second: float = Field(
        20.0,
        ge=0,
        description="Further seconds, progress or not, for each second of video that the file "
        "tells of. Larger than any decoder needs: it ends what goes on for ever.",
    )
    per_mib: float = Field(
        10.0,
        ge=0,
        description="Further seconds for each MiB of the file, so that a slow store is no fault "
        "of a video.",
    )
    ceiling_s: float | None = Field(
        None, gt=0, description="No video may take longer, s; null: there is no such bound."
    )
    memory_mib: int = Field(
        2048,
        ge=256,
        description="Data memory of the decoding process, MiB, all libraries included.",
    )

    def seconds(self, duration_s: float, size_bytes: int = 0) -> float:
        """The longest time for a video of this duration in a file of this size."""
        most_s = self.floor_s + self.per_second * duration_s + self.per_mib * size_bytes / MIB
        return min(most_s, self.ceiling_s or math.inf)


def out_of_memory() -> OverLimit:
    """The error for an allocation that has failed, be it FFmpeg's or our own."""
    return OverLimit("over_memory", "decoding it takes more memory than there is")


def too_large(picture: Any, max_pixels: int | None) -> str:
    """Why a picture is too large, "" if it is not.

    picture: PyAV's context of a codec, which holds what the header says, or a frame.
    """
    if max_pixels is None:
        return ""
    bits = (
        max((part.bits for part in picture.format.components), default=8) if picture.format else 8
    )
    pixels = picture.width * picture.height * (2 if bits > 8 else 1)
    if pixels <= max_pixels:
        return ""
    return size_message(picture.width, picture.height, bits, max_pixels)


def size_message(width: int, height: int, bits: int, max_pixels: int) -> str:
    """A sentence on frames that are too large."""
    counted = f" of {bits} bits, each of which counts double" if bits > 8 else ""
    return (
        f"its frames have {width} x {height} = {width * height} px{counted}; "
        f"video.max_pixels allows {max_pixels}"
    )
