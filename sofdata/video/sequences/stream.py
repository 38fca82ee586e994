"""`SequenceStream`: a sequence of pictures as sampled `Frames`, like a video.

Pictures are sampled by the same rules, converted by the same code and given in the same chunks.
Only those that are sampled are read. One that cannot be decoded costs itself alone: its neighbours
are sampled in its place.

Two options of a place are heeded here, for all formats: `turn`, "flip" or "rotate", and `channels`,
"bgr"; see `sofdata.corpora.config.SequenceConfig`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError, DecodeError
from sofdata.types import Frames
from sofdata.video.chunks import Sample, chunks
from sofdata.video.config import VideoConfig
from sofdata.video.division import Division
from sofdata.video.limits import out_of_memory
from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.pyav_reader import Converter, Picture
from sofdata.video.ranges import Source
from sofdata.video.sampling import Sampling, StepSampler
from sofdata.video.sequences.base import Sequence
from sofdata.video.sequences.formats import open_sequence
from sofdata.video.sequences.images import DamagedImage, picture
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.tally import StreamReport

FIRST_TRIES = 100  # pictures to look at for the size of one
SQUARE = 1.0  # shape of a pixel: pictures do not say


@dataclass(frozen=True, slots=True)
class ShownPictures:
    """Size as shown, px; usual pictures a second, 0 for one alone; seconds from first to last."""

    height: int
    width: int
    fps: float
    duration_s: float


class SequenceStream:
    """The sampled frames of a sequence, in chunks; iterate over it once.

    As `sofdata.video.reader.VideoStream`, whose chunks, report and errors it has; a sequence is
    never decoded in parts.

    Raises `Unusable` where the sequence holds no picture, or one that is too large, and
    `DecodeError` where none can be decoded.
    """

    division: Division | None = None
    is_sound = False

    def __init__(
        self, source: Source, place: SequencePlace, config: VideoConfig, sampling: Sampling
    ) -> None:
        self.path = str(source)
        self.config = config
        self.sampling = sampling
        self._report: StreamReport | None = None
        self._sequence = _opened(source, place)
        self.decoder = f"{place.format} {self._sequence.codec}"
        self._convert = _Shown(place, Converter(SQUARE, sampling.size, config.fit, sampling.eye))
        self._times_s = self._sequence.times_s
        self.info = self._look()
        self._iterator = self._iterate()

    def __iter__(self) -> Iterator[Frames]:
        return self._iterator

    @property
    def duration_s(self) -> float:
        """From the first picture to the last."""
        return self.info.duration_s

    @property
    def report(self) -> StreamReport:
        if self._report is None:
            raise ContractError(f"{self.path}: the report is known after the last chunk only")
        return self._report

    def _look(self) -> ShownPictures:
        """The first picture that can be decoded tells the size."""
        if not len(self._times_s):
            raise Unusable("no_frames", f"{self.path}: the sequence holds no picture")
        why = ""
        first = range(min(FIRST_TRIES, len(self._times_s)))
        for image in self._sequence.images(first):
            try:
                found = picture(image, self.config.max_pixels)
            except DamagedImage as error:
                why = str(error)
                continue
            width, height = found.orientation.shown_size(found.frame.width, found.frame.height)
            return ShownPictures(round(height), round(width), *_pace(self._times_s))
        raise DecodeError(
            f"{self.path}: none of the first {len(first)} pictures can be read: {why}"
        )

    def _iterate(self) -> Iterator[Frames]:
        taken = _Taken()
        try:
            yield from chunks(self._sampled(taken), self.config.chunk_frames)
        except MemoryError:
            raise out_of_memory() from None
        finally:
            self._sequence.close()
        if not taken.times_s:
            raise self._nothing(taken)
        self._report = self._made_report(taken)

    def _sampled(self, taken: _Taken) -> Iterator[Sample]:
        """The samples, once more from where one could not be had."""
        left = _Left(len(self._times_s))
        while True:
            asked: deque[int] = deque()  # a reader may look ahead
            for image in self._sequence.images(self._wanted(left, taken, asked)):
                number = asked.popleft()
                try:
                    found = picture(image, self.config.max_pixels)
                except DamagedImage as error:
                    left.remove(number)
                    taken.errors.append(str(error))
                    break
                PROGRESS.frames += 1
                taken.sizes.add((found.frame.width, found.frame.height))
                sample = float(self._times_s[number]), self._convert(found)
                taken.times_s.append(sample[0])
                taken.last = number
                yield sample
            else:
                return

    def _wanted(self, left: _Left, taken: _Taken, asked: deque[int]) -> Iterator[int]:
        """The numbers that are sampled of those that may be good, after the last that was taken.

        One by one, lest each that fails costs a look at all that follow. asked: grows by each.
        """
        sampling = self.sampling
        sampler: StepSampler[int] = StepSampler(
            sampling.step_s, sampling.span_s, sampling.hidden_s, taken.last_s
        )
        for number in left.after(taken.last):
            kept = sampler.offer(float(self._times_s[number]), number)
            asked.extend(at for _, at in kept)
            yield from (at for _, at in kept)
        kept = sampler.finish()
        asked.extend(at for _, at in kept)
        yield from (at for _, at in kept)

    def _made_report(self, taken: _Taken) -> StreamReport:
        lost, sentences = self._sequence.damage
        errors = len(taken.errors)
        words = [*sentences]
        if errors:
            words.append(f"{errors} pictures cannot be read: {taken.errors[0]}")
        if len(taken.sizes) > 1:
            words.append(f"its pictures have {len(taken.sizes)} different sizes")
        if undated := _undated(self._times_s):
            words.append(f"{undated} pictures left out: their times are missing or go back")
        missing_s = self._missing_s()
        if missing_s:
            words.append(f"the pictures end {missing_s:.2f} s before the span does")
        return StreamReport(
            frames_sampled=len(taken.times_s),
            frames_decoded=len(taken.times_s),
            decode_errors=errors,
            frames_undated=undated,
            frames_lost=lost + errors,
            missing_s=missing_s,
            salvaged="; ".join(words),
            covered_s=taken.times_s[-1] - taken.times_s[0],
        )

    def _missing_s(self) -> float:
        """By how much the pictures end before what was asked for; 0 for less than two of them."""
        if self.sampling.span_s is None or not self.info.fps:
            return 0.0
        start_s, end_s = self.sampling.span_s
        last_s = float(np.nanmax(self._times_s)) + 1 / self.info.fps
        short_s = end_s - max(start_s, last_s)
        return short_s if short_s > 2 / self.info.fps else 0.0

    def _nothing(self, taken: _Taken) -> Exception:
        if taken.errors:
            what = f"{self.path}: no picture can be read, {len(taken.errors)} fail"
            return DecodeError(f"{what}: {taken.errors[0]}")
        if not np.isfinite(self._times_s).any():
            return Unusable("no_times", f"{self.path}: of no picture the time is known")
        if self.sampling.hidden_s:
            return Unusable("redacted", f"{self.path}: all that is shown is redacted")
        return Unusable("no_frames", f"{self.path}: no picture lies in the span")


class _Shown:
    """Converts pictures, and holds them as the place says they have to be."""

    def __init__(self, place: SequencePlace, convert: Converter) -> None:
        turn, channels = place.get("turn"), place.get("channels", "rgb")
        if turn not in ("", "flip", "rotate") or channels not in ("rgb", "bgr"):
            raise ContractError(f"'{place.text:.200}' has an unknown turn or order of channels")
        self._flip_x, self._flip_y = turn == "rotate", turn in ("flip", "rotate")
        self._exchanged = channels == "bgr"
        self._convert = convert

    def __call__(self, found: Picture) -> NDArray[np.uint8]:
        turned = found.orientation.then(self._flip_x, self._flip_y)
        rgb = self._convert(found._replace(orientation=turned))
        return np.ascontiguousarray(rgb[..., ::-1]) if self._exchanged else rgb


class _Taken:
    """What has come so far.

    times_s, sizes: of the samples. errors: on pictures that failed. last: the number of the picture
    that was taken last, -1 for none.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.errors: list[str] = []
        self.sizes: set[tuple[int, int]] = set()
        self.last = -1

    @property
    def last_s(self) -> float | None:
        return self.times_s[-1] if self.times_s else None


class _Left:
    """The numbers of pictures that have not failed, of which it takes the same time to go on from
    one to the next whatever lies between: after a disk was full thousands in a row may be empty.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # Of each number the ones before and after it, from the place before the first one on.
        self._before = np.arange(-1, count + 1)
        self._next = np.arange(1, count + 3)

    def after(self, number: int) -> Iterator[int]:
        """Those behind one that has not failed, or behind -1."""
        place = int(self._next[number + 1])
        while place <= self._count:
            yield place - 1
            place = int(self._next[place])

    def remove(self, number: int) -> None:
        """Leave one out from now on."""
        place = number + 1
        before, following = int(self._before[place]), int(self._next[place])
        self._next[before] = following
        self._before[following] = before


def _undated(times_s: NDArray[np.float64]) -> int:
    """How many pictures have no time, or one that is not after all before."""
    latest_s = np.maximum.accumulate(np.where(np.isnan(times_s), -np.inf, times_s))
    before_s = np.concatenate([[-np.inf], latest_s[:-1]])
    return int(np.sum(~(times_s > before_s)))


def _opened(source: Source, place: SequencePlace) -> Sequence:
    try:
        return open_sequence(source, place)
    except MemoryError:
        raise out_of_memory() from None


def _pace(times_s: NDArray[np.float64]) -> tuple[float, float]:
    """Usual pictures a second, and seconds from first to last."""
    steps = np.diff(times_s)
    steps = steps[steps > 0]
    usual_s = float(np.median(steps)) if len(steps) else 0.0
    known_s = times_s[np.isfinite(times_s)]
    lasts_s = float(known_s.max() - known_s.min()) if len(known_s) else 0.0
    return 1 / usual_s if usual_s else 0.0, lasts_s
