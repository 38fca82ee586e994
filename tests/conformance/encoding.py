"""Test films: numbered frames, encoded by PyAV, or by an installed ffmpeg where PyAV cannot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.barcode import Picture, draw

WIDTH, HEIGHT = 160, 112
FPS = 30

Turn = Callable[[Picture], Picture]


class NotEncodable(Exception):
    """Neither encoder can make this film here; the message says why."""


def ffmpeg(*arguments: str | Path, stdin: bytes | None = None) -> None:
    """Run the installed ffmpeg. Raises `NotEncodable` where there is none, or it fails."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise NotEncodable("needs the program ffmpeg, which is not installed here")
    command = [program, "-hide_banner", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    if stdin is not None:
        command.remove("-nostdin")
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotEncodable(f"ffmpeg: {lines[-1] if lines else done.returncode}")


@cache
def pictures(count: int, width: int, height: int, first: int = 0) -> tuple[Picture, ...]:
    """Numbered frames, upright."""
    return tuple(draw(first + place, width, height) for place in range(count))


def raw(frames: Sequence[Picture]) -> bytes:
    """Frames as ffmpeg's rawvideo takes them."""
    return b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)


def encode_by_ffmpeg(
    path: Path, frames: Sequence[Picture], arguments: Sequence[str], rate: int = FPS
) -> None:
    """Encode frames of a constant rate with ffmpeg's own arguments."""
    height, width = frames[0].shape[:2]
    source: list[str | Path] = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
        "-r",
        str(rate),
    ]
    output: list[str | Path] = ["-pix_fmt", "yuv420p", "-threads", "1", *arguments, path]
    ffmpeg(*source, "-i", "-", *output, stdin=raw(frames))


def encode(
    path: Path,
    frames: Sequence[Picture],
    *,
    container: str,
    codec: str,
    rate: Fraction | int = FPS,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    muxing: Mapping[str, str] | None = None,
    b_frames: int = 0,
    gop: int = 24,
    pixel_format: str = "yuv420p",
    prepare: Callable[[Any], None] | None = None,
) -> None:
    """Encode frames with PyAV.

    times: presentation times in `time_base`; by default one frame follows the other at `rate`.
    prepare: called with the stream before the first frame, for what has no argument here.
    """
    import av

    height, width = frames[0].shape[:2]
    base = time_base or 1 / Fraction(rate)
    try:
        with av.open(str(path), "w", format=container, options=dict(muxing or {})) as out:
            stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            context = stream.codec_context
            context.time_base = base
            context.gop_size = gop
            context.thread_count = 1
            if codec not in ("mjpeg", "prores", "dvvideo"):
                context.max_b_frames = b_frames
            if prepare is not None:
                prepare(stream)
            for place, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.time_base = base
                frame.pts = place if times is None else times[place]
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise NotEncodable(f"PyAV {av.__version__}: {error}") from None


def rewrap(
    source: Path,
    path: Path,
    *,
    container: str,
    muxing: Mapping[str, str] | None = None,
    bitstream_filter: str | None = None,
    shift_s: float = 0.0,
    change: Callable[[int, Any], Any] | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> None:
    """Copy the packets of a film's video stream into another container.

    shift_s: added to all times. change: is given the number of a packet, in decoding order, and
    the packet, and returns what takes its place, None for nothing.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    try:
        with (
            av.open(str(source)) as given,
            av.open(str(path), "w", format=container, options=dict(muxing or {})) as out,
        ):
            stream = given.streams.video[0]
            copy = out.add_stream_from_template(stream, opaque=True)
            if prepare is not None:
                prepare(copy)
            filtered = (
                BitStreamFilterContext(bitstream_filter, stream) if bitstream_filter else None
            )
            shift = round(shift_s / stream.time_base)
            number = 0
            for packet in given.demux(stream):
                if not packet.size and packet.dts is None:
                    continue  # PyAV's sign of the end
                for one in filtered.filter(packet) if filtered else [packet]:
                    changed = change(number, one) if change else one
                    number += 1
                    if changed is None:
                        continue
                    changed.stream = copy
                    if changed.pts is not None:
                        changed.pts += shift
                    if changed.dts is not None:
                        changed.dts += shift
                    out.mux_one(changed)
    except (av.FFmpegError, ValueError) as error:
        raise NotEncodable(f"PyAV {av.__version__}: {error}") from None


def add_silence(source: Path, path: Path, *, container: str, shift_s: float) -> None:
    """Copy a film with sound beside it, which begins so much earlier than the pictures."""
    import av

    with av.open(str(source)) as given, av.open(str(path), "w", format=container) as out:
        stream = given.streams.video[0]
        video = out.add_stream_from_template(stream, opaque=True)
        # AAC begins before its first sample, which not all containers can say.
        sound: Any = out.add_stream("pcm_s16le" if container == "matroska" else "aac", rate=16_000)
        packets = [packet for packet in given.demux(stream) if packet.size]
        first = min(packet.pts for packet in packets if packet.pts is not None)
        shift = round(shift_s / stream.time_base) - first
        for _ in range(50):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.int16), format="s16p", layout="mono"
            )
            silence.rate = 16_000
            out.mux(sound.encode(silence))
        out.mux(sound.encode(None))
        for packet in packets:
            packet.stream = video
            packet.pts += shift
            if packet.dts is not None:
                packet.dts += shift
            out.mux_one(packet)
