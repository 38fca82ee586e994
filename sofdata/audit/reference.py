"""A plain decode of a whole video, to compare with: every frame, from the first one to the last.

Nothing is shared with `sofdata.video` but the list of formats that may be opened and the way to
PyAV's side data, and nothing here is fast: the file is decoded twice, once for the times of all
frames and once for the pictures. No frame is skipped, no position is sought. Every picture is
converted at its full size, turned by its display matrix point for point, and only then reduced.

Times are those that FFmpeg gives the frames as they come out of the decoder, in the order of
showing, with five rules where they are not to be believed:

- AVI has no times, but a place in the file for every frame and every repetition of one: the n-th
  frame shown has the time of the n-th place that holds something.
- Where other containers have the times of coding only (some MXF), times come out in a wrong order:
  they are sorted, for the frames are not.
- A frame without a time, or with one that repeats, lies evenly between its neighbours.
- Where a clock restarts, the next frame is put a second after the one before, and the new clock
  runs on from there.
- All times are counted from where players begin to count: the start of the file's timeline, or the
  first moment of any of its streams if that is later. For a transport stream, whose clock means
  nothing, that is the first moment of the video; for a program stream, the clock of its first pack.
"""

from __future__ import annotations

import itertools
import os
import statistics
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError
from sofdata.video.container import FORMATS
from sofdata.video.side_data import display_matrix

Picture = NDArray[np.uint8]

HDR_TRANSFERS = (16, 18)  # PQ and HLG, ITU-T H.273
# No camera's pixels are longer in one direction by more: such a number is a slip.
MAX_ASPECT = 4.0
# No codec shows a frame more than this many frames later than the order of coding.
MAX_REORDERED = 16
# How long after the last frame of one clock the first frame of the next is put, s: nobody knows.
JOIN_S = 1.0
# A clock that steps back by less is one that repeats or jitters, not one that restarts.
RESTART_S = 0.25


@dataclass(frozen=True, slots=True)
class Lying:
    """How a stored picture has to be held: the axes that its own axes become.

    right: where its x axis points when shown, (dx, dy) with y down; down: where its y axis points.
    Each is one of (1, 0), (-1, 0), (0, 1) and (0, -1).
    """

    right: tuple[int, int] = (1, 0)
    down: tuple[int, int] = (0, 1)

    def upright(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Turn and mirror an array [H,W,...] accordingly."""
        turned = picture.swapaxes(0, 1) if self.right[0] == 0 else picture
        x_runs = self.right[0] + self.down[0]
        y_runs = self.right[1] + self.down[1]
        return turned[::y_runs, ::x_runs]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFrame:
    """A frame as a viewer sees it.

    time_s: seconds since the start of the file's timeline.
    picture: uint8 [H,W,3]; upright, RGB, of square pixels.
    """

    time_s: float
    picture: Picture


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of all frames of a video.

    times_s: seconds since the start of the file's timeline, in order.
    lost: packets or frames that could not be decoded.
    restarts: how many times the clock restarted.
    is_hdr: whether brightness is coded for displays of high dynamic range (PQ or HLG).
    """

    times_s: tuple[float, ...]
    lost: int
    restarts: int
    is_hdr: bool


def frames(
    path: str, timeline: Timeline | None = None, wanted: Collection[int] | None = None
) -> Iterator[ReferenceFrame]:
    """All frames of a local file, in the order of showing; or those of these numbers only.

    Raises `DecodeError` where the file cannot be opened or holds no video.
    """
    times_s = (timeline or time_frames(path)).times_s
    last = len(times_s) - 1 if wanted is None else max(wanted, default=-1)
    decoded, convert = _Decoded(path), _converter()
    held = Lying()
    for number, (time_s, frame) in enumerate(zip(times_s, decoded, strict=False)):
        if number > last:
            return
        held = lying(frame) or held  # a stream that says so at key frames only means all frames
        if wanted is None or number in wanted:
            yield ReferenceFrame(time_s, _picture(convert(frame), held, decoded.pixel_aspect))


def time_frames(path: str) -> Timeline:
    """The times of all frames of a local file. Raises `DecodeError` as `frames` does."""
    decoded = _Decoded(path)
    ticks, is_hdr = list[int | None](), False
    for frame in decoded:
        ticks.append(frame.pts)
        is_hdr = is_hdr or frame.color_trc in HDR_TRANSFERS
    if not ticks:
        raise DecodeError(f"{path}: no frame of it can be decoded")
    if decoded.slots is not None and len(decoded.slots) == len(ticks):
        ticks = list(decoded.slots)
    times_s = [None if t is None else float(t * decoded.time_base) for t in ticks]
    true_s, restarts = _believable(times_s, decoded.step_s)
    zero_s = decoded.zero_s
    if zero_s is None:
        zero_s = max(0.0, min([true_s[0], *decoded.early_s]))
    return Timeline(tuple(t - zero_s for t in true_s), decoded.lost, restarts, is_hdr)


def duration_s(path: str) -> float:
    """How long a local file says that it is, s; 0 if it does not. Raises as `frames` does."""
    with _open(path) as container:
        stream = _video(container, path)
        of_stream = float((stream.duration or 0) * stream.time_base)
        return max(of_stream, float(container.duration or 0) / 1e6)


def lying(frame: Any) -> Lying | None:
    """How a frame of PyAV has to be held, after the display matrix that comes with it, if any.

    A matrix (a, b, u; c, d, v; x, y, w) puts the point (x, y), y down, at (a x + c y, b x + d y).
    One that makes no axis of an axis is taken for the nearest that does; one without an inverse
    means nothing.
    """
    data = display_matrix(frame)
    if data is None:
        return None
    numbers = np.frombuffer(data[:36], np.int32).astype(np.float64)
    return _from_matrix(numbers[0], numbers[1], numbers[3], numbers[4])


def _from_matrix(a: float, b: float, c: float, d: float) -> Lying:
    if abs(a * d - b * c) < 1e-6 * max(1.0, a * a + b * b + c * c + d * d):
        return Lying()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Lying((_sign(a), 0), (0, _sign(d)))
    return Lying((0, _sign(b)), (_sign(c), 0))


def _sign(value: float) -> int:
    return 1 if value >= 0 else -1


class _Decoded:
    """The frames of a file as PyAV decodes them, with what is known once they are all read.

    early_s: the times of packets up to the first frame: what cannot be decoded there is a part of
        the video all the same.
    slots: for AVI, the places in the file that belong to the frames, in order.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost = 0
        self.step_s: float | None = None
        self.pixel_aspect = 1.0
        self.zero_s: float | None = None
        self.early_s: list[float] = []
        self.time_base: Any = 1
        self.slots: list[int] | None = None

    def __iter__(self) -> Iterator[Any]:
        import av

        with _open(self.path) as container:
            stream = _video(container, self.path)
            stream.codec_context.thread_count = 1
            stream.codec_context.thread_type = "NONE"
            self.time_base = stream.time_base
            rate = stream.average_rate or stream.guessed_rate
            self.step_s = float(1 / rate) if rate else None
            aspect = float(stream.sample_aspect_ratio or 1)
            self.pixel_aspect = aspect if 1 / MAX_ASPECT <= aspect <= MAX_ASPECT else 1.0
            self.zero_s = _zero_s(container, stream, self.path)
            waiting: deque[int] = deque()
            slots: list[int] = []
            for packet in _packets(container, stream):
                if packet.dts is not None:
                    waiting.append(packet.dts)
                if not slots and packet.pts is not None and not packet.is_discard:
                    self.early_s.append(float(packet.pts * self.time_base))
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    self.lost += 1
                    if packet.dts is not None:
                        waiting.pop()
                    continue
                for frame in decoded:
                    slot = waiting.popleft() if waiting else None
                    if frame.is_corrupt:
                        self.lost += 1
                        continue
                    if slot is not None:
                        slots.append(slot)
                    yield frame
            if container.format.name == "avi" and not waiting:
                self.slots = slots


def _open(path: str) -> Any:
    import av

    try:
        return av.open(
            os.path.abspath(path),
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            **({"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}),
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise DecodeError(f"{path}: cannot be opened: {error}") from None


def _video(container: Any, path: str) -> Any:
    """The video that FFmpeg would play, or else the largest; never a cover picture."""
    from av.stream import Disposition

    films = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    films = [s for s in films if s.codec_context is not None]
    if not films:
        raise DecodeError(f"{path}: holds no video that can be decoded")
    best = container.streams.best("video")
    played = [s for s in films if best is not None and s.index == best.index]
    return (played or sorted(films, key=lambda s: s.width * s.height, reverse=True))[0]


def _zero_s(container: Any, stream: Any, path: str) -> float | None:
    """The time of the file's own clock that is called zero; None: that of the first frame."""
    if container.format.name == "mpegts":
        return float((stream.start_time or 0) * stream.time_base)
    if container.format.name == "mpeg":
        with open(path, "rb") as file:
            pack = file.read(9)
        if pack[:4] == b"\x00\x00\x01\xba":
            return max(0.0, _pack_clock_s(pack[4:]))
        return max(0.0, (container.start_time or 0) / 1e6)
    states_it = container.format.name.startswith(("mov", "matroska"))
    if len(container.streams) == 1 and not states_it:
        return None
    return max(0.0, (container.start_time or 0) / 1e6)


def _pack_clock_s(clock: bytes) -> float:
    """The clock of a pack: 33 bits of 90 kHz in three groups (ISO/IEC 13818-1, 2.5.3.3)."""
    bits = f"{int.from_bytes(clock, 'big'):040b}"
    if bits.startswith("01"):  # MPEG-2
        groups = bits[2:5] + bits[6:21] + bits[22:37]
    else:  # MPEG-1
        groups = bits[4:7] + bits[8:23] + bits[24:39]
    return int(groups, 2) / 90_000


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """All packets that hold something, and at the end the one that empties the decoder."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            break  # the rest cannot be read
        if packet.size:
            yield packet
        elif packet.pts is None and packet.dts is None:
            yield packet  # the end
            return
    end = av.Packet()
    end.stream = stream
    yield end


def _converter() -> Callable[[Any], Picture]:
    """What makes RGB of frames at their full size, in this thread.

    Without it every frame has a converter of its own with a thread for each core, which lives on
    with it: memory that is limited is full of stacks of threads after some hundred frames.
    """
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()

    def convert(frame: Any) -> Picture:
        rgb: Any = reformatter.reformat(frame, format="rgb24", threads=1)
        return np.asarray(rgb.to_ndarray(), np.uint8)

    return convert


def _picture(rgb: Picture, held: Lying, pixel_aspect: float) -> Picture:
    """A frame at its full size, RGB, upright, of square pixels.

    rgb: as it is stored. pixel_aspect: width of a stored pixel by its height.
    """
    import cv2

    height, width = rgb.shape[:2]
    if pixel_aspect > 1:
        rgb = cv2.resize(rgb, (round(width * pixel_aspect), height), interpolation=cv2.INTER_LINEAR)
    elif pixel_aspect < 1:
        rgb = cv2.resize(rgb, (width, round(height / pixel_aspect)), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(held.upright(rgb))


def _believable(times_s: Sequence[float | None], step_s: float | None) -> tuple[list[float], int]:
    """True times of frames in their order, from those they came with; and how often clocks restart.

    step_s: the time between frames that the container states, if any.
    """
    given = [t for t in times_s if t is not None]
    if _is_scrambled(given):
        in_order = iter(sorted(given))
        times_s = [None if t is None else next(in_order) for t in times_s]
    joined, restarts = _join(times_s)
    return _fill(joined, _usual_step(joined) or step_s or 0.04), restarts


def _is_scrambled(times_s: Sequence[float]) -> bool:
    """Whether these are the times of the order of coding rather than of showing."""
    order = sorted(range(len(times_s)), key=lambda place: times_s[place])
    if order == list(range(len(times_s))) or len(set(times_s)) < len(times_s):
        return False
    return all(abs(rank - place) <= MAX_REORDERED for rank, place in enumerate(order))


def _usual_step(times_s: Sequence[float | None]) -> float | None:
    """The median time from frame to frame, None where fewer than two have one."""
    known = [(place, time_s) for place, time_s in enumerate(times_s) if time_s is not None]
    steps = [
        (later - earlier) / (there - here)
        for (here, earlier), (there, later) in itertools.pairwise(known)
    ]
    return statistics.median(steps) if steps else None


def _join(times_s: Sequence[float | None]) -> tuple[list[float | None], int]:
    """The same on one clock, None where a frame has no time or one that does not increase."""
    joined: list[float | None] = []
    offset_s, last_s, restarts = 0.0, None, 0
    for time_s in times_s:
        if time_s is not None and last_s is not None and time_s + offset_s <= last_s:
            if last_s - (time_s + offset_s) < RESTART_S:
                time_s = None
            else:
                offset_s = last_s + JOIN_S - time_s
                restarts += 1
        if time_s is None:
            joined.append(None)
        else:
            last_s = time_s + offset_s
            joined.append(last_s)
    return joined, restarts


def _fill(times_s: Sequence[float | None], step_s: float) -> list[float]:
    """Frames without a time lie evenly between their neighbours, or a step apart at the ends."""
    known = [place for place, time_s in enumerate(times_s) if time_s is not None]
    if not known:
        return [place * step_s for place in range(len(times_s))]
    places = np.arange(len(times_s))
    values = [times_s[place] for place in known]
    filled = np.interp(places, known, np.array(values, dtype=np.float64))
    first, last = known[0], known[-1]
    filled[:first] = filled[first] + (places[:first] - first) * step_s
    filled[last + 1 :] = filled[last] + (places[last + 1 :] - last) * step_s
    return [float(time_s) for time_s in filled]
