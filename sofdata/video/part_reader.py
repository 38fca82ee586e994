"""One part of a video, decoded on its own: exactly the frames that the whole video would give.

`Part` says which frames these are, from the times of the packets. What does not come as it says, or
may come otherwise where the whole video is decoded, raises `NotAsWhole`: then the video is to be
decoded as a whole. A part is no more patient than that on purpose: how a damaged video is salvaged
depends on all that came before.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from sofdata.types import Frames
from sofdata.video.chunks import Sample, chunks
from sofdata.video.config import VideoConfig
from sofdata.video.container import EntryPoint, open_container, packets, shown_pts
from sofdata.video.division import NotAsWhole, Part, Track
from sofdata.video.orientation import orientation_of
from sofdata.video.progress import PROGRESS
from sofdata.video.pyav_reader import Converter, Picture
from sofdata.video.sampling import Sampling, StepSampler

_Timed = tuple[int, Picture]


def read_part(
    path: str, config: VideoConfig, sampling: Sampling, track: Track, part: Part
) -> Iterator[Frames]:
    """The chunks of a part: those that `open_video` gives of the whole video.

    sampling: that of the whole video; what it hides is taken from `track`, where it is on the clock
        of the file.

    Raises `NotAsWhole`, and `MemoryError` where FFmpeg or this process has not enough.
    """
    import av

    try:
        samples = _samples(path, config, sampling, track, part)
        yield from chunks(samples, config.chunk_frames, begun=True)
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, MemoryError):
            raise
        raise NotAsWhole(f"{path}: {error}") from None


def _samples(
    path: str, config: VideoConfig, sampling: Sampling, track: Track, part: Part
) -> Iterator[Sample]:
    convert = Converter(track.pixel_aspect, sampling.size, config.fit, sampling.eye)
    coming = deque(part.pts)
    for kept_s, kept in _kept(path, sampling, track, part):
        if not coming and part.following is not None:
            return  # and what comes after it is of the next part
        if not coming or kept.pts != coming.popleft():
            raise NotAsWhole(f"the frame at {kept_s:.3f} s is not the one that was to come")
        yield kept_s, convert(kept)
    if coming:
        raise NotAsWhole(f"{path}: {len(coming)} frames of a part did not come")


def _kept(
    path: str, sampling: Sampling, track: Track, part: Part
) -> Iterator[tuple[float, Picture]]:
    """What the sampler keeps from the first frame of a part on, up to the one after the last."""
    start_s, end_s = track.seconds(part.pts[0]), sampling.span_s[1] if sampling.span_s else math.inf
    # As that of the whole video is once it has kept the first sample of this part: it looks back to
    # what it has kept last, and no further.
    sampler: StepSampler[Picture] = StepSampler(sampling.step_s, (start_s, end_s), track.hidden_s)
    end = None if end_s == math.inf else track.first_not_before(end_s)
    if part.following is not None:
        end = part.following + 1
    with closing(_pictures(path, track, part, end)) as pictures:
        for pts, picture in pictures:
            pts_s = track.seconds(pts)
            if pts_s >= end_s:
                break
            yield from sampler.offer(pts_s, picture)
    yield from sampler.finish()


def _pictures(
    path: str, track: Track, part: Part, end: int | None
) -> Generator[_Timed, None, None]:
    """Decoded frames of a part in the order of presentation; what is not wanted may be missing.

    end: no frame is needed that is shown then or later.
    """
    needed = frozenset(part.pts) | {part.following}
    with open_container(path, track.max_pixels) as container:
        stream = container.streams[track.index]
        decoder = _Decoder(stream.codec_context, track, part.key_pts)
        for packet in _from_key(container, stream, part, end):
            if packet.size:
                yield from decoder.decode(packet, shown_pts(packet) not in needed)
        yield from decoder.decode(None, skip=False)


class _Decoder:
    """Packets to frames; raises `NotAsWhole` for whatever is out of order from the key packet on.

    What is shown before the key packet and comes after it refers to what lies before it, and is of
    the part before.
    """

    def __init__(self, codec: Any, track: Track, key_pts: int) -> None:
        self._codec = codec
        self._track = track
        self._key_pts = key_pts
        self._last = key_pts - 1
        self._skipping = False

    def decode(self, packet: Any, skip: bool) -> Iterator[_Timed]:
        """As `sofdata.video.pyav_reader` does; None for a packet: what the decoder still holds."""
        import av

        if skip != self._skipping:
            self._codec.skip_frame, self._skipping = ("NONREF" if skip else "DEFAULT"), skip
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            pts = None if packet is None else shown_pts(packet)
            if pts is None or pts >= self._key_pts:
                raise NotAsWhole(f"a packet does not decode ({error})") from None
            return
        PROGRESS.frames += len(frames)
        for frame in frames:
            if frame.pts is None or frame.pts >= self._key_pts:
                yield self._checked(frame), Picture(frame.pts, frame, self._track.orientation)

    def _checked(self, frame: Any) -> int:
        """The time of a frame that is as it should be."""
        pts: int | None = frame.pts
        if pts is None or pts <= self._last:
            raise NotAsWhole(f"a frame has the time {pts} after {self._last}")
        if frame.is_corrupt:
            raise NotAsWhole(f"the frame of time {pts} is damaged")
        if orientation_of(frame) not in (None, self._track.orientation):
            raise NotAsWhole(f"the frame of time {pts} is turned in another way")
        self._last = pts
        return pts


def _from_key(container: Any, stream: Any, part: Part, end: int | None) -> Iterator[Any]:
    """The packets from the key packet of a part on.

    Some indices hold times of presentation, others of decoding: a time of the wrong kind may lead
    to a key packet that lies too late.
    """
    for target in (part.key_pts, part.key_dts):
        found = packets(container, stream, EntryPoint(target), end)
        for packet in found:
            if packet.dts is not None and packet.dts > part.key_dts:
                break
            if packet.dts == part.key_dts:
                if packet.pts != part.key_pts or not packet.is_keyframe:
                    raise NotAsWhole("a part does not begin with the key packet that was found")
                yield packet
                yield from found
                return
    raise NotAsWhole("the key packet of a part is not found again")
