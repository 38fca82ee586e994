"""Films of a third of a minute for what is done with hours: kinds that may be split, and others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.videos import write_video

FPS = 30
SECONDS = 20
SIZE = (96, 160)
KEYS = {"g": "48"}


@dataclass(frozen=True, slots=True)
class Film:
    """How a film is encoded. splits: whether it is split."""

    suffix: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    rate: Callable[[int], list[float]] | None = None
    splits: bool = True


def uneven(count: int) -> list[float]:
    """Times of frames that come after 20 to 70 ms, with a pause of two seconds in the middle."""
    steps = 0.02 + 0.05 * np.abs(np.sin(np.arange(count) / 9.0))
    steps[count // 2] = 2.0
    times: list[float] = np.round(np.cumsum(steps), 3).tolist()
    return times


FILMS = {
    "closed GOPs, B-frames": Film("mp4", "libx264", {**KEYS, "bf": "3"}),
    "open GOPs": Film("mp4", "libx264", {**KEYS, "bf": "3", "x264-params": "open-gop=1:ref=4"}),
    "open GOPs of HEVC": Film(
        "mkv", "libx265", {"x265-params": "keyint=48:bframes=3:open-gop=1:log-level=none"}
    ),
    "headers with each key": Film("mkv", "libx264", {**KEYS, "x264-params": "repeat-headers=1"}),
    "VP9": Film("webm", "libvpx-vp9", {**KEYS, "deadline": "realtime", "cpu-used": "8"}),
    "AV1": Film("mp4", "libsvtav1", {**KEYS, "preset": "12"}),
    "uneven times": Film("mp4", "libx264", {**KEYS, "bf": "2"}, rate=uneven),
    "turned": Film("mp4", "libx264", KEYS, rotation=90),
    "keys far apart": Film("mp4", "libx264", {"g": "2000", "sc_threshold": "0"}, splits=False),
    "another codec": Film("mp4", "mpeg4", KEYS, splits=False),
    "no index": Film("ts", "libx264", KEYS, splits=False),
}


def frames(count: int = FPS * SECONDS) -> NDArray[np.uint8]:
    """Textured frames [T,H,W,3] that move smoothly; some stretches stand still, some are cut."""
    import cv2

    height, width = SIZE
    noise = np.random.default_rng(0).integers(0, 256, (3 * height, 3 * width, 3), np.uint8)
    noise = cv2.GaussianBlur(noise, (5, 5), 0).astype(np.uint8)
    shown = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        moves = min(number % 200, 160)  # it stands still for the last forty
        x = int(width * (1 + 0.7 * np.sin(moves / 17)))
        y = int(height * (1 + 0.7 * np.cos(moves / 23)))
        shot = noise[y : y + height, x : x + width]
        shown[number] = 255 - shot if (number // 77) % 2 else shot
    return shown


def damaged(path: Path, target: Path, share: float = 0.5, size: int = 2000) -> Path:
    """A copy of a film with some bytes wrong, from that share of the file on."""
    data = bytearray(path.read_bytes())
    begin = int(share * len(data))
    data[begin : begin + size] = bytes(byte ^ 0x55 for byte in data[begin : begin + size])
    target.write_bytes(data)
    return target


def write_film(folder: Path, name: str) -> Path:
    """Encode one of `FILMS`."""
    film, shown = FILMS[name], frames()
    path = folder / f"{name.replace(' ', '_')}.{film.suffix}"
    pts = film.rate(len(shown)) if film.rate else None
    return write_video(path, shown, FPS, film.codec, pts, film.rotation, film.options)


def films_in(folder: Path) -> Callable[[str], Path]:
    """Films by name, each encoded once, when it is first asked for."""
    made: dict[str, Path] = {}

    def film(name: str) -> Path:
        if name not in made:
            made[name] = write_film(folder, name)
        return made[name]

    return film
