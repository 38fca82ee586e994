"""Pictures of one topic of a recording of messages, MCAP or bag, as a `Sequence`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sofdata.errors import DecodeError
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.clocks import Clocked
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.messages import MessageType, Packet
from sofdata.video.sequences.packets import PacketPictures

FIRST_TRIES = 100  # messages to look at for what the pictures are
# The bytes of a message by its number in the file; None where it cannot be had.
Fetch = Callable[[int], bytes | None]


class RecordedPictures:
    """The pictures of a topic.

    fetch: gives the bytes of a message by its number in the file; called with numbers that mostly
    increase. damage: as of a `Sequence`.

    Raises `Unusable` for B-frames, and `DecodeError` where no picture can be read.
    """

    def __init__(
        self,
        kind: MessageType,
        ordered: Clocked,
        fetch: Fetch,
        damage: tuple[int, tuple[str, ...]],
        close: Callable[[], None],
    ) -> None:
        self._kind, self._fetch, self._order = kind, fetch, ordered.order
        lost, sentences = damage
        self.damage = lost, (*sentences, ordered.doubt) if ordered.doubt else sentences
        self.close = close
        self.times_s = ordered.times_s()
        codec, is_video = self._looked() if len(self.times_s) else ("", False)
        self.codec = f"{codec} by {ordered.clock} times"
        self._skipped = 0
        self._packets: PacketPictures | None = None
        if is_video:
            self._packets = PacketPictures(self._packet, len(self.times_s))
            self._skip_to_key(self._packets)

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        if self._packets is not None:
            yield from self._packets.images(number + self._skipped for number in numbers)
            return
        for number in numbers:
            found = self._message(number)
            is_packet = isinstance(found, Packet)
            yield DamagedImage("a packet of video between pictures") if is_packet else found

    def _looked(self) -> tuple[str, bool]:
        """What the pictures are, by the first that can be read, and whether they are packets."""
        why = ""
        for number in range(min(FIRST_TRIES, len(self.times_s))):
            found = self._message(number)
            if found is None or isinstance(found, DamagedImage):
                why = str(found or "it is missing")
                continue
            data = self._fetch(int(self._order[number]))
            return self._kind.codec(data or b""), isinstance(found, Packet)
        raise DecodeError(f"none of the first pictures can be read: {why}")

    def _skip_to_key(self, packets: PacketPictures) -> None:
        """Leave out what comes before the first picture that can be decoded."""
        count = len(self.times_s)
        self._skipped = packets.first_shown()
        if self._skipped == count:
            raise DecodeError(f"none of {count} packets can be decoded: {packets.why(0)}")
        if self._skipped:
            lost, sentences = self.damage
            what = f"{self._skipped} pictures before the first key frame cannot be decoded"
            self.damage = lost + self._skipped, (*sentences, what)
            self.times_s = self.times_s[self._skipped :]

    def _packet(self, number: int) -> Packet | DamagedImage | None:
        found = self._message(number)
        if found is None or isinstance(found, Packet | DamagedImage):
            return found
        return DamagedImage("a picture that is no packet of video")

    def _message(self, number: int) -> StoredImage | Packet:
        data = self._fetch(int(self._order[number]))
        if data is None:
            return None
        try:
            return self._kind.image(data)
        except DamagedImage as error:
            return error
