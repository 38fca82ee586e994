"""What the table is made of: a film is a container, a codec and a condition, and knows its frames.

`make` writes the file and returns the frames that it shows, in order, by construction. It raises
`NotEncodable` where that cannot be done here; such films stand in the table with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.encoding import FPS, HEIGHT, WIDTH, encode, encode_by_ffmpeg, pictures
from tests.conformance.rule import Shown

FRAMES = 90

Make = Callable[[Path], Sequence[Shown]]


@dataclass(frozen=True, slots=True)
class Film:
    """A row of the table.

    make: writes the file, and returns the frames that are shown, their times on the file's clock.
    fit: how the frame becomes a square. middle: the part of the width that carries the code, where
        the picture is wider.
    begins_s: when the first frame is shown by our clock, where it is not the first thing there is,
        or what says so of the file.
    damaged: whether a reader must say that something is missing; None where it cannot know.
    undated: whether frames have no time of their own in the file, which a reader must say.
    """

    container: str
    codec: str
    condition: str
    suffix: str
    make: Make
    fit: str = "stretch"
    middle: float = 1.0
    begins_s: float | Callable[[Path], float] = 0.0
    damaged: bool | None = False
    undated: bool = False

    @property
    def name(self) -> str:
        """For files and tests: letters, digits, dots and dashes."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(self.parts)).strip("-")

    @property
    def parts(self) -> tuple[str, str, str]:
        return self.container, self.codec, self.condition


def steady(count: int, rate: float = FPS, first: int = 0, start_s: float = 0.0) -> list[Shown]:
    """Frames of a constant rate."""
    return [Shown(start_s + place / rate, first + place) for place in range(count)]


@dataclass(frozen=True, slots=True)
class Codec:
    """How a codec is encoded: the encoder's name and arguments of `encode`."""

    encoder: str
    arguments: dict[str, Any] = field(default_factory=dict)


def x264(parameters: str, b_frames: int = 0) -> Codec:
    """H.264 by x264 with some of its own parameters.

    Without assembly: with it, the same frames give other bytes now and then.
    """
    options = {"preset": "veryfast", "crf": "20", "threads": "1"}
    options["x264-params"] = f"no-asm=1:{parameters}"
    return Codec("libx264", {"options": options, "b_frames": b_frames})


def _quality(encoder: str, **arguments: Any) -> Codec:
    options = {"flags": "+qscale", "global_quality": "400"}
    return Codec(encoder, {"options": options, "gop": 12, **arguments})


def _vpx(encoder: str, **options: str) -> Codec:
    basic = {"deadline": "good", "cpu-used": "8", "crf": "15", "b": "600k"}
    return Codec(encoder, {"options": {**basic, **options}})


_X265 = "bframes=2:keyint=24:min-keyint=24:scenecut=0:log-level=error:pools=1:frame-threads=1"
_GROUP = "keyint=24:min-keyint=24:scenecut=0"

CODECS = {
    "H.264": x264(f"bframes=0:{_GROUP}"),
    "H.264 B": x264(f"bframes=2:b-adapt=0:{_GROUP}", 2),
    "H.264 B pyramid": x264(f"bframes=3:b-adapt=0:b-pyramid=normal:ref=4:{_GROUP}", 3),
    "H.264 open GOP": x264(f"open-gop=1:bframes=2:b-adapt=0:{_GROUP}", 2),
    "H.264 intra refresh": x264("intra-refresh=1:bframes=0:keyint=24"),
    "H.264 one GOP": x264("bframes=2:b-adapt=0:keyint=600:scenecut=0", 2),
    "H.264 interlaced": x264(f"interlaced=1:bframes=2:b-adapt=0:{_GROUP}", 2),
    "HEVC": Codec(
        "libx265",
        {"options": {"preset": "ultrafast", "crf": "20", "x265-params": _X265 + ":open-gop=0"}},
    ),
    "HEVC open GOP": Codec(
        "libx265",
        {"options": {"preset": "ultrafast", "crf": "20", "x265-params": _X265 + ":open-gop=1"}},
    ),
    "MPEG-1": _quality("mpeg1video", b_frames=2),
    "MPEG-2": _quality("mpeg2video", b_frames=2),
    "MPEG-2 interlaced": Codec(
        "mpeg2video",
        {
            "options": {"flags": "+qscale+ildct+ilme", "global_quality": "400"},
            "gop": 12,
            "b_frames": 2,
        },
    ),
    "MPEG-4": _quality("mpeg4"),
    "MPEG-4 B": _quality("mpeg4", b_frames=2),
    "MJPEG": _quality("mjpeg", pixel_format="yuvj420p"),
    "ProRes": Codec("prores", {"pixel_format": "yuv422p10le"}),
    "FLV1": _quality("flv"),
    "WMV2": _quality("wmv2"),
    "VP8": _vpx("libvpx", **{"auto-alt-ref": "0"}),
    "VP8 hidden frames": _vpx("libvpx", **{"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "VP9": _vpx("libvpx-vp9", **{"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "AV1": Codec("libsvtav1", {"options": {"preset": "12", "crf": "25", "svtav1-params": "lp=1"}}),
    "uncompressed": Codec("rawvideo"),
}

# What PyAV's FFmpeg has no encoder for, or none that is good enough.
BY_FFMPEG = {
    "Theora": ("-c:v", "libtheora", "-q:v", "8", "-g", "24"),
    "RV20": ("-c:v", "rv20", "-q:v", "3", "-g", "24"),
}

# Names of containers as PyAV has them, and suffixes.
CONTAINERS = {
    "MP4": ("mp4", ".mp4", {}),
    "fragmented MP4": ("mp4", ".mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "MP4, a fragment a frame": ("mp4", ".mp4", {"movflags": "frag_every_frame+empty_moov"}),
    "MOV": ("mov", ".mov", {}),
    "MKV": ("matroska", ".mkv", {}),
    "WebM": ("webm", ".webm", {}),
    "AVI": ("avi", ".avi", {}),
    "TS": ("mpegts", ".ts", {}),
    "PS": ("mpeg", ".mpg", {}),
    "OGV": ("ogg", ".ogv", {}),
    "FLV": ("flv", ".flv", {}),
    "MXF": ("mxf", ".mxf", {}),
    "NUT": ("nut", ".nut", {}),
    "IVF": ("ivf", ".ivf", {}),
    "ASF": ("asf", ".wmv", {}),
    "RealMedia": ("rm", ".rm", {}),
    "Y4M": ("yuv4mpegpipe", ".y4m", {}),
    "DV": ("dv", ".dv", {}),
    "elementary stream": ("mpeg2video", ".m2v", {}),
}

PLAIN = {
    "MP4": (
        "H.264, H.264 B, H.264 B pyramid, H.264 open GOP, H.264 intra refresh, H.264 one GOP, "
        "H.264 interlaced, HEVC, HEVC open GOP, MPEG-2, MPEG-4, MPEG-4 B, MJPEG, VP9, AV1"
    ),
    "fragmented MP4": "H.264 B, HEVC, AV1",
    "MP4, a fragment a frame": "H.264 B",
    "MOV": "H.264 B, H.264 open GOP, MPEG-4 B, MJPEG, ProRes",
    "MKV": (
        "H.264, H.264 B, H.264 open GOP, H.264 intra refresh, HEVC open GOP, MPEG-2, MPEG-4 B, "
        "MJPEG, VP8, VP9, AV1, Theora"
    ),
    "WebM": "VP8, VP8 hidden frames, VP9, AV1",
    "AVI": "H.264, H.264 B, H.264 B pyramid, MPEG-2, MPEG-4, MPEG-4 B, MJPEG",
    "TS": (
        "H.264, H.264 B, H.264 B pyramid, H.264 open GOP, H.264 intra refresh, H.264 one GOP, "
        "H.264 interlaced, HEVC, HEVC open GOP, MPEG-2, MPEG-2 interlaced"
    ),
    "PS": "H.264 B, MPEG-1, MPEG-2, MPEG-2 interlaced",
    "OGV": "Theora, VP8",
    "FLV": "FLV1, H.264, H.264 B",
    "MXF": "MPEG-2, H.264, H.264 B",
    "NUT": "H.264 B, MPEG-4 B, VP9",
    "IVF": "VP8, VP8 hidden frames, VP9, AV1",
    "ASF": "WMV2",
    "RealMedia": "RV20",
    "Y4M": "uncompressed",
    "elementary stream": "MPEG-2",
}


def write(path: Path, container: str, codec: str, frames: Sequence[Any], **more: Any) -> None:
    """Encode frames as a film of the table is."""
    wrapper, _, muxing = CONTAINERS[container]
    if codec in BY_FFMPEG:
        encode_by_ffmpeg(path, frames, BY_FFMPEG[codec])
        return
    how = CODECS[codec]
    arguments = {**how.arguments, **more}
    arguments["muxing"] = {**muxing, **more.get("muxing", {})}
    encode(path, frames, container=wrapper, codec=how.encoder, **arguments)


def film_of(container: str, codec: str, condition: str, make: Make, **more: Any) -> Film:
    """A film in one of these containers, under a condition of its own."""
    if container == "PS":
        more = {"begins_s": first_shown_s, "undated": codec.startswith("H.264"), **more}
    return Film(container, codec, condition, CONTAINERS[container][1], make, **more)


def _plain(container: str, codec: str) -> Film:
    def make(path: Path) -> Sequence[Shown]:
        write(path, container, codec, pictures(FRAMES, WIDTH, HEIGHT))
        return steady(FRAMES)

    return film_of(container, codec, "plain", make)


def plain_films() -> list[Film]:
    """Every codec in every container that it is met in, at a constant rate."""
    films = [
        _plain(container, codec)
        for container, codecs in PLAIN.items()
        for codec in codecs.split(", ")
    ]
    return [*films, film_of("DV", "DV", "plain", _dv)]


def _dv(path: Path) -> Sequence[Shown]:
    """DV knows two sizes only."""
    encode(path, pictures(50, 720, 576), container="dv", codec="dvvideo", rate=25)
    return steady(50, rate=25)


def first_shown_s(path: Path) -> float:
    """When the first frame of a program stream is shown, s after the clock of its first pack."""
    import av

    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.time is not None
        return float(frame.time) - _first_clock_s(path.read_bytes()[:9])


def _first_clock_s(pack: bytes) -> float:
    """The system clock reference of a pack header: 3, 15 and 15 bits with marker bits between."""
    mpeg2 = pack[4] >> 6 == 1
    bits = int.from_bytes(pack[4:9], "big")
    high, middle, low = (35, 19, 3) if mpeg2 else (33, 17, 1)
    ticks = (bits >> high & 0x7) << 30 | (bits >> middle & 0x7FFF) << 15 | bits >> low & 0x7FFF
    return ticks / 90_000
