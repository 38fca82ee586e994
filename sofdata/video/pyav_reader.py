"""Sampled frames with PyAV: one pass, one thread, no more than two decoded frames in memory.

Reads whatever FFmpeg reads. A packet that does not decode is counted and costs its own frame only,
and a file that is cut off gives all frames before the cut.

Frames that are not sampled are not converted, and those of them that no other frame refers to are
not even decoded. That makes sampling every fourth frame of H.264 1.3 to 1.5 times faster, and
changes no pixel of the others. Which frames will be sampled is predicted from the times of the
packets; where one of them does not come (two packets may be the fields of one frame), the video is
decoded once more without that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.types import Eye
from sofdata.video.chunks import Sample
from sofdata.video.config import Fit
from sofdata.video.container import START, EntryPoint, open_container, packets, shown_pts
from sofdata.video.geometry import crop_square, square_size, working_size
from sofdata.video.hdr import hdr_transfer, tone_map
from sofdata.video.orientation import Orientation, orientation_of
from sofdata.video.probe import VideoInfo
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import Source
from sofdata.video.sampling import Sampling, StepSampler, select
from sofdata.video.tally import DecodeTally

Ticks = tuple[int, int]

MAX_REORDERED = 16  # places by which H.264 and HEVC may move a picture


class Picture(NamedTuple):
    """A decoded frame, when it is shown, and how it has to be turned."""

    pts: int | None
    frame: Any
    orientation: Orientation


@dataclass(frozen=True, slots=True, eq=False)
class _DecodePass:
    """One pass over a video.

    wanted: int64; presentation times that will be sampled, None where they are not known, which
    costs the decoding of all frames. tally: counts this pass.
    """

    source: Source
    info: VideoInfo
    sampling: Sampling
    tally: DecodeTally
    wanted: NDArray[np.int64] | None


class _Mispredicted(Exception):
    """A frame that was to be sampled did not come out of the decoder."""


def read(
    source: Source,
    info: VideoInfo,
    fit: Fit,
    sampling: Sampling,
    tally: DecodeTally,
) -> Iterator[Sample]:
    """Yield (pts_s, rgb uint8 [size,size,3]) of the sampled frames, and count in `tally`."""
    convert = Converter(info.pixel_aspect, sampling.size, fit, sampling.eye)
    sampler: StepSampler[Picture] = StepSampler(sampling.step_s, sampling.span_s, sampling.hidden_s)
    first = _DecodePass(source, info, sampling, tally, wanted_pts(info, sampling))
    try:
        for kept_s, kept in _sampled(first, sampler):
            yield kept_s, convert(kept)
    except _Mispredicted:
        sampler.rewind()
        tally.reset()
        tally.is_repeated = True
        for kept_s, kept in _sampled(replace(first, wanted=None), sampler):
            yield kept_s, convert(kept)
    tally.frames_undated += sampler.dropped


def pictures(
    source: Source, info: VideoInfo, wanted: NDArray[np.int64], tally: DecodeTally
) -> Iterator[Picture]:
    """The frames of the wanted presentation times of a video, and perhaps others, in their order.

    info: of all of it. One that cannot be decoded is missing, and counted in `tally`.
    """
    sampling = Sampling(size=0, step_s=0.0)
    one = _DecodePass(source, info, sampling, tally, None if info.undated else wanted)
    yield from _frames(one, START, info.ticks(None))


def decoder_name(info: VideoInfo) -> str:
    """Name and version, for the record."""
    import av

    return f"pyav {av.__version__} {info.codec}"


def wanted_pts(info: VideoInfo, sampling: Sampling) -> NDArray[np.int64] | None:
    """Presentation times that will be sampled if all goes well; None where they are not known.

    The sampler still decides on what was really decoded: it makes the same choice from the wanted
    frames and any others.
    """
    if info.undated or info.by_order:
        return None
    return info.pts[select(info.pts_s, sampling.step_s, sampling.span_s, sampling.hidden_s)]


def _sampled(one: _DecodePass, sampler: StepSampler[Picture]) -> Iterator[tuple[float, Picture]]:
    """The frames that the sampler keeps. Raises `_Mispredicted` before it could choose wrongly."""
    coming = deque([] if one.wanted is None else one.wanted.tolist())
    end_s = one.sampling.span_s[1] if one.sampling.span_s else math.inf
    for frame in _from_the_right_entry(one):
        if frame.pts is None:
            one.tally.frames_undated += 1
            continue
        if coming and frame.pts > coming[0]:
            raise _Mispredicted
        if coming and frame.pts == coming[0]:
            coming.popleft()
        pts_s = one.info.seconds(frame.pts)
        kept = sampler.offer(pts_s, frame)
        one.tally.frames_disordered = sampler.dropped
        yield from kept
        if pts_s >= end_s:
            break
    if coming:
        raise _Mispredicted
    yield from sampler.finish()


def _from_the_right_entry(one: _DecodePass) -> Iterator[Picture]:
    """Decoded frames, from one at or before the first of the span on where there is such a one.

    A decoder may need longer to recover than its container promises: then it begins earlier.
    """
    info = one.info
    span = info.ticks(one.sampling.span_s)
    first = info.pts[np.searchsorted(info.pts, span[0]) :][:1]
    for entry in info.entries:
        one.tally.reset()
        with closing(_frames(one, entry, span)) as frames:
            for frame in frames:
                is_late = frame.pts is not None and len(first) and frame.pts > first[0]
                if is_late and entry != info.entries[-1]:
                    break
                yield frame
                yield from frames
                return


def _frames(one: _DecodePass, entry: EntryPoint, span: Ticks) -> Generator[Picture, None, None]:
    """Decoded frames in the order of presentation; frames that are not wanted may be missing."""
    info = one.info
    needed = None if one.wanted is None else frozenset(one.wanted.tolist())
    with open_container(one.source, info.max_pixels) as container:
        stream = container.streams[info.stream_index]
        decoder = _Decoder(stream.codec_context, info, span[0], one.tally)
        for packet in packets(container, stream, entry, info.packets_end(span[1])):
            if packet.size:
                skip = needed is not None and shown_pts(packet) not in needed
                yield from decoder.decode(packet, skip)
        yield from decoder.finish()


class _Decoder:
    """Packets to frames, with their times; counts what goes wrong from the start of the span on."""

    def __init__(self, codec: Any, info: VideoInfo, start: int, tally: DecodeTally) -> None:
        self._codec = codec
        self._info = info
        self._start = start
        self._tally = tally
        self._skipping = False
        self._given = 0  # packets
        self._taken = 0  # frames
        self._lost: list[int] = []  # numbers of packets that did not decode
        self._orientation = info.orientation
        self._frame = round(info.frame_s / info.time_base)  # a median of all times: asked for once
        self._last: int | None = None

    def decode(self, packet: Any, skip: bool) -> Iterator[Picture]:
        """Frames that a packet completes. skip: its own is not needed."""
        # NONREF and not ALL: frames that others refer to are still decoded, so that pixels stay.
        if skip != self._skipping:
            self._codec.skip_frame, self._skipping = ("NONREF" if skip else "DEFAULT"), skip
        if self._info.by_order:
            packet.pts = self._given
        self._given += 1
        yield from self._decode(packet)

    def finish(self) -> Iterator[Picture]:
        """The frames that the decoder still holds."""
        self._codec.skip_frame = "DEFAULT"
        yield from self._decode(None)

    def _decode(self, packet: Any) -> Iterator[Picture]:
        import av

        try:
            frames = self._codec.decode(packet)
        except MemoryError:  # FFmpeg's own, too: no fault of the packet
            raise
        except av.FFmpegError:
            self._lost.append(self._given - 1)
            if packet is None or self._info.by_order or (shown_pts(packet) or 0) >= self._start:
                self._tally.decode_errors += 1
            return
        PROGRESS.frames += len(frames)
        for frame in frames:
            # A stream may say with its key frames only how all of them are to be turned.
            self._orientation = orientation_of(frame) or self._orientation
            self._tally.is_turned |= self._orientation != self._info.orientation
            pts = self._time_by_order(frame) if self._info.by_order else self._time(frame.pts)
            if not frame.is_corrupt:
                self._tally.frames_decoded += 1
                yield Picture(pts, frame, self._orientation)
            elif pts is None or pts >= self._start:
                self._tally.decode_errors += 1

    def _time(self, pts: int | None) -> int | None:
        """The time of the next frame; without one of its own, between the frame before and others.

        That is a frame after the one before, or where another has that time, half way to it.
        """
        frame = self._frame
        if pts in (None, self._last) and self._last is not None and frame:
            self._tally.frames_spread += 1
            after = self._info.pts[np.searchsorted(self._info.pts, self._last, "right") :][:1]
            pts = self._last + frame
            if len(after) and pts > after[0] - frame // 2:
                pts = (self._last + int(after[0])) // 2
        self._last = pts
        return pts

    def _time_by_order(self, frame: Any) -> int | None:
        """The time of the next frame, where frames take the times of packets in their order.

        Packets that gave an error and no frame had one each. Decoders also pass over packets in
        silence, as before the first key frame: a frame is never shown before its packet's turn.
        """
        place = self._taken
        if frame.pts is not None:  # the number of its packet
            lost = sum(lost < frame.pts for lost in self._lost)
            place = max(place + lost, frame.pts - self._moved_up(frame))
            self._taken = place - lost
        self._taken += 1
        return int(self._info.pts[place]) if place < len(self._info.pts) else None

    def _moved_up(self, frame: Any) -> int:
        """By how many places, at most, a frame is shown before its packet's turn.

        Only pictures of kind B are: one place, before the picture after them, but in H.264 and HEVC
        as many as those have references.
        """
        from av.video.frame import PictureType

        if frame.pict_type not in (PictureType.B, PictureType.BI):
            return 0
        return MAX_REORDERED if self._info.codec in ("h264", "hevc") else 1


class Converter:
    """Turns a decoded frame into RGB at the working size, upright, of one eye and standard range.

    Two views side by side are resized together and parted afterwards, so that the last column of
    the left one is blended with the right one.
    """

    def __init__(self, pixel_aspect: float, size: int, fit: Fit, eye: Eye) -> None:
        from av.video.reformatter import VideoReformatter

        self.size = size
        self.pixel_aspect = pixel_aspect
        self.fit = fit
        self.views = 2 if eye else 1
        self.reformatter = VideoReformatter()

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        frame, orientation = picture.frame, picture.orientation
        stored = square_size(frame.width, frame.height, self.pixel_aspect)
        shown_width, shown_height = orientation.shown_size(*stored)
        view = working_size(shown_width / self.views, shown_height, self.size, self.fit)
        # The frame is resized as it is stored and turned afterwards.
        width, height = orientation.shown_size(self.views * view[0], view[1])
        transfer = hdr_transfer(frame.color_trc)
        small: Any = self.reformatter.reformat(
            frame,
            width=int(width),
            height=int(height),
            format="rgb48le" if transfer else "rgb24",
            interpolation="BICUBIC",  # as decord does
            threads=1,  # there is a worker for each core: more threads would wait for each other
        )
        rgb = small.to_ndarray()
        if transfer:
            rgb = tone_map(rgb, transfer, frame.color_primaries)
        upright = orientation.apply(rgb)
        return np.ascontiguousarray(crop_square(upright[:, : view[0]], self.size))
