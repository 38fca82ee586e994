"""Packets of a video that come one by one, as messages: one picture each, in the order of decoding.

A packet needs those before it, back to a key frame. What cannot be decoded costs the pictures up to
the next key frame: from there on the decoder starts anew, and shows nothing that it had to guess.
B-frames, which come in another order than they are shown in, have no place in such messages
(foxglove.CompressedVideo rules them out), and are an error: their times cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import StoredImage, damaged
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.messages import Packet

LOOK_AHEAD = 4  # packets that a decoder may want before it shows a picture
# The message of a number; None, or an error, where it cannot be had.
PacketOf = Callable[[int], Packet | DamagedImage | None]


class PacketPictures:
    """The pictures of packets 0 to `count` - 1. Decodes from the start, or goes on where it was."""

    def __init__(self, packet_of: PacketOf, count: int) -> None:
        self._packet_of = packet_of
        self._count = count
        self._restart()

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        """As of a `Sequence`. Raises `Unusable` for B-frames."""
        for number in numbers:
            if number < self._kept_from:
                self._restart()
            yield self._image(number)

    def first_shown(self) -> int:
        """The number of the first picture that can be decoded; `count` where none can."""
        while not self._shown and self._position < self._count:
            self._feed()
        if not self._shown:
            self._drain()
        return min(self._shown, default=self._count)

    def why(self, number: int) -> str:
        """What is wrong with a picture that was not shown, as far as it is still known."""
        return self._errors.get(number, "it shows nothing")

    def _restart(self) -> None:
        self._decoder: Any = None
        self._codec = ""
        self._position = 0  # of the next packet
        self._last = -1  # number of the last picture that came out
        self._is_drained = False
        self._is_prompt = False  # whether each packet so far has shown its picture at once
        self._kept_from = 0  # what came out from this number on is kept
        self._shown: dict[int, Any] = {}
        self._errors: dict[int, str] = {}

    def _image(self, number: int) -> StoredImage:
        self._kept_from = number
        self._shown = {each: self._shown[each] for each in self._shown if each >= number}
        self._errors = {each: self._errors[each] for each in self._errors if each >= number}
        end = min(self._count, number + 1 + LOOK_AHEAD)
        while self._position < end and self._last < number and number not in self._errors:
            self._feed()
        if number not in self._shown and self._position == self._count:
            self._drain()
        if number not in self._shown:
            return DamagedImage(f"{self._codec or 'a packet'}: {self.why(number)}")
        return self._shown[number]

    def _feed(self) -> None:
        """Give the decoder one more packet."""
        import av

        number, self._position = self._position, self._position + 1
        PROGRESS.packets += 1
        packet = self._packet_of(number)
        if not isinstance(packet, Packet):
            self._failed(number, str(packet or "a picture is missing"))
            return
        if self._codec != packet.codec:
            self._decoder, self._codec = _decoder(packet.codec), packet.codec
        given = av.Packet(packet.data)
        given.pts = given.dts = number
        try:
            frames = self._decoder.decode(given)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            self._failed(number, getattr(error, "strerror", None) or str(error))
            return
        for frame in frames:
            self._show(frame)
        if number in self._shown:
            self._is_prompt = True
        elif self._is_prompt:
            self._failed(number, "it shows nothing")

    def _drain(self) -> None:
        """Have the decoder show what it keeps back after the last packet, as where its stream says
        that pictures may be reordered though none is.
        """
        import av

        if self._decoder is None or self._is_drained:
            return
        self._is_drained = True
        try:
            frames = self._decoder.decode(None)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):
            return
        for frame in frames:
            self._show(frame)

    def _show(self, frame: Any) -> None:
        if frame.pts is None or frame.is_corrupt:
            return
        if frame.pts == self._last:
            raise damaged(f"{self._codec}: a packet holds more than one picture")
        if frame.pts < self._last:
            raise damaged(
                f"{self._codec}: its pictures are shown in another order than they come in "
                "(B-frames), so their times cannot be told"
            )
        self._last = frame.pts
        self._shown[frame.pts] = frame

    def _failed(self, number: int, why: str) -> None:
        """Nothing is shown from here to the next key frame."""
        self._errors[number] = why
        if self._decoder is not None:
            self._decoder.flush_buffers()


def _decoder(codec: str) -> Any:
    import av

    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.thread_count, decoder.thread_type = 1, "NONE"
    decoder.options = {"err_detect": "explode"}
    return decoder
