"""Sampled frames with decord, for files that it reads well and within bounds.

decord 0.6.0 reads ahead without limit: while its decoder is busy it queues packets up to the end
of the file (1.3 GB for an hour of 1080p, at every batch anew if one seeks back to stop it), and
between batches it goes on to decode and convert all that is queued. So it gets only files whose
packets and frames fit into memory together, in one go; PyAV reads the others, faster too.

decord tells no presentation times. It decodes by index into the sorted times of the packets, and
whatever might shift that index is either refused beforehand or found out afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError
from sofdata.system import extras
from sofdata.video.config import Fit
from sofdata.video.geometry import crop_square, working_size
from sofdata.video.probe import VideoInfo
from sofdata.video.sampling import select

CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})
CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4"})
MAX_PACKET_BYTES = 32 * 2**20
MAX_FRAME_BYTES = 128 * 2**20
# decord counts the frames that it replaced by another, and raises once they are more than this
# share of all. With fewer than 10,000 frames that is: at the first.
FAULT_SHARE = 0.0001
MAX_FRAMES = 9999


class DecoderMisbehaved(DecodeError):
    """decord cannot be trusted with this file; read it again, from the start, with PyAV.

    reason: what was noticed, a short sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: decord misbehaved: {self.reason}; decode with PyAV instead"


def require_decord() -> None:
    """Raise `ConfigError` if decord is not installed."""
    otherwise = "use video.decoder=pyav (decord has wheels for Linux on x86-64 only)"
    extras.require("decord", "decord", "video.decoder=decord", otherwise)


def decoder_name() -> str:
    """Name and version, for the record."""
    import decord

    return f"decord {decord.__version__}"


def refusal(info: VideoInfo, size: int, fit: Fit) -> str:
    """Why decord should not read this video; "" if it may."""
    width, height = working_size(info.width, info.height, size, fit)
    if info.container not in CONTAINERS or info.codec not in CODECS:
        return f"it is not known to read {info.codec} in {info.container} well"
    if not info.whole:
        return "only a span is wanted, and it reads whole files"
    if not info.is_best:
        return "it would choose another stream"
    if info.by_order or info.restarts or info.repeats:
        return "its packets do not say when each frame is shown"
    if info.is_hdr:
        return "it would leave the picture as pale as it is stored"
    if info.orientation.is_mirrored:
        return "it would leave the picture mirrored"
    if fit == "crop" and info.pixel_aspect != 1:
        return "its pixels are not square"
    if info.undated or info.packets != len(info.pts) or np.any(np.diff(info.pts) == 0):
        return "some packets have no presentation time of their own, or are not shown"
    if len(info.pts) < 2:
        return "it fails on videos of one frame"
    if info.frames_declared and info.frames_declared != len(info.pts):
        return f"{info.frames_declared} frames are declared and {len(info.pts)} found"
    if len(info.pts) > MAX_FRAMES or info.packet_bytes > MAX_PACKET_BYTES:
        return "the file is long, and it reads ahead without limit"
    if len(info.pts) * width * height * 3 > MAX_FRAME_BYTES:
        return "the frames would not fit into memory, and it reads ahead without limit"
    return ""


def read(
    path: str | Path,
    info: VideoInfo,
    *,
    size: int,
    fit: Fit,
    step_s: float,
    batch: int,
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (pts_s, rgb uint8 [size,size,3]) of the sampled frames, decoded `batch` at a time.

    Raises `DecoderMisbehaved` as soon as anything about decord's answer is doubtful; all that was
    yielded before is sound.
    """
    name = str(path)
    indices = select(info.pts_s, step_s)
    reader = _open(name, info, size, fit)
    previous: NDArray[np.uint8] | None = None
    for start in range(0, len(indices), batch):
        chosen = indices[start : start + batch]
        is_end = start + batch >= len(indices)
        rgb = _get_batch(reader, name, chosen, len(info.pts) - 1 if is_end else None)
        _check_repeats(name, rgb, previous, info.pts_s[chosen])
        previous = rgb[-1]
        yield from zip(info.pts_s[chosen].tolist(), crop_square(rgb, size), strict=True)


def _open(path: str, info: VideoInfo, size: int, fit: Fit) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    width, height = working_size(info.width, info.height, size, fit)
    try:
        reader = decord.VideoReader(
            os.path.abspath(path),
            ctx=decord.cpu(0),
            width=width,
            height=height,
            num_threads=1,  # with more, decord fails on many VP9 files
            fault_tol=FAULT_SHARE,
        )
    except Exception as error:  # noqa: BLE001 - decord raises RuntimeError, AssertionError and more
        raise DecoderMisbehaved(path, f"it cannot open the file ({_brief(error)})") from None
    if len(reader) != len(info.pts):
        raise DecoderMisbehaved(
            path, f"it counts {len(reader)} frames where the file has {len(info.pts)}"
        )
    return reader


def _get_batch(
    reader: Any, path: str, indices: NDArray[np.int64], last: int | None
) -> NDArray[np.uint8]:
    """Frames [T,H,W,3] at `indices`.

    With `last`, the last frame of the file is decoded too and thrown away. A frame that the decoder
    lost on the way shifts all later ones and is missed only there, where decord then fails.
    """
    wanted = indices.tolist()
    if last is not None and wanted[-1] != last:
        wanted.append(last)
    try:
        rgb: NDArray[np.uint8] = reader.get_batch(wanted).asnumpy()
    except Exception as error:  # noqa: BLE001 - decord raises its own and built-in errors alike
        raise DecoderMisbehaved(path, f"it cannot decode the file ({_brief(error)})") from None
    return rgb[: len(indices)]


def _check_repeats(
    path: str,
    rgb: NDArray[np.uint8],
    previous: NDArray[np.uint8] | None,
    pts_s: NDArray[np.float64],
) -> None:
    """Refuse a frame that equals the one before: it may stand in for one that did not decode."""
    before = [previous, *rgb[:-1]]
    for earlier, frame, time_s in zip(before, rgb, pts_s, strict=True):
        if earlier is not None and np.array_equal(earlier, frame):
            raise DecoderMisbehaved(path, f"it gives the same frame twice at {time_s:.3f} s")


def _brief(error: Exception) -> str:
    """The last line of decord's message, which carries a stack of places and addresses."""
    text = str(error).split("Stack trace")[0].strip().splitlines()
    return text[-1].split("] ")[-1][:200] if text else type(error).__name__
