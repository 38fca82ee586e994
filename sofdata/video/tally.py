"""What a decoder counts while it reads, and what the report of a video says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DecodeTally:
    """Counters that a decoder raises as it goes.

    frames_decoded: frames that came out of the decoder, sampled or not.
    decode_errors: packets or frames that could not be decoded.
    frames_undated: frames without a presentation time that increases; they are left out.
    frames_spread: frames without a presentation time that got one from the frames before.
    frames_disordered: those of `frames_undated` so far whose time does not increase.
    is_repeated: whether the video is decoded for the second time.
    is_turned: whether frames have to be turned in another way than the first one.
    """

    frames_decoded: int = 0
    decode_errors: int = 0
    frames_undated: int = 0
    frames_spread: int = 0
    frames_disordered: int = 0
    is_repeated: bool = False
    is_turned: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether all has come so far as the times of the packets have said."""
        wrong = self.decode_errors + self.frames_undated + self.frames_spread
        return not (wrong or self.frames_disordered or self.is_repeated or self.is_turned)

    def reset(self) -> None:
        """Count from zero: the video is decoded again."""
        self.frames_decoded = self.decode_errors = 0
        self.frames_undated = self.frames_spread = self.frames_disordered = 0
        self.is_turned = False


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of a video, known once all its frames were read.

    frames_sampled: frames that were handed out.
    frames_decoded: frames that came out of the decoder; None where it does not count them (decord).
    decode_errors: packets or frames that could not be decoded.
    frames_undated: frames left out because their presentation time is missing or does not increase.
    frames_lost: frames that the file holds or declares and that cannot be had, damaged or missing.
    missing_s: seconds that the file declares, or that were asked for, and that it does not hold.
    salvaged: "" for a sound video; else a sentence on what is missing or out of order.
    covered_s: seconds from the first sampled frame to the last.
    """

    frames_sampled: int
    frames_decoded: int | None
    decode_errors: int
    frames_undated: int
    frames_lost: int
    missing_s: float
    salvaged: str
    covered_s: float
