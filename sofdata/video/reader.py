"""`open_video`: a video file becomes a stream of sampled `Frames`, whatever decodes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sofdata.errors import ContractError, DecodeError
from sofdata.types import Frames
from sofdata.video import decord_reader, pyav_reader
from sofdata.video.chunks import Sample, chunks
from sofdata.video.config import DecoderName, VideoConfig
from sofdata.video.damage import damage_of
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.division import Division, divide
from sofdata.video.hidden import on_file_clock
from sofdata.video.limits import out_of_memory
from sofdata.video.probe import Unusable, VideoInfo, probe
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sampling import DivideS, Sampling
from sofdata.video.tally import DecodeTally, StreamReport


def open_video(
    path: Source,
    config: VideoConfig,
    sampling: Sampling,
    decoder: DecoderName | None = None,
    divide_s: DivideS | None = None,
) -> VideoStream:
    """Open a video file for sampling: a local one, or with PyAV one that is read in ranges.

    decoder: overrides `config.decoder`.
    divide_s: from which length on to look for parts in which the video may be decoded, and how long
        they are to be; None: not at all.

    Raises `ConfigError` if decord is asked for where it is not installed, `Unusable` where the file
    holds no video, one of frames too large, or it is not known what of it must not be shown,
    `OverLimit` where it takes too much memory, and `DecodeError` where it cannot be read.
    """
    wanted = decoder or config.decoder
    if wanted == "decord":
        decord_reader.require_decord()
    try:
        info = probe(path, sampling.span_s, config.max_pixels)
    except MemoryError:
        raise out_of_memory() from None
    sampling = on_file_clock(sampling, info, str(path))
    return VideoStream(path, info, config, sampling, wanted, divide_s)


class VideoStream:
    """The sampled frames of one video, in chunks; iterate over it once.

    Every chunk after the first begins with the last frame of the chunk before, so that the steps
    between frames run on. Otherwise chunks hold `chunk_frames` frames, the last one fewer.

    info: what the file holds.
    decoder: what decodes it, such as "decord 0.6.0"; settled once the first chunk is there.
    division: the parts in which the video may be decoded, where it was asked for and can be.
    is_sound: whether all has come so far as the packets promise, so that the parts from here on may
        be decoded apart; False where the decoder counts nothing.
    report: what became of the video, once all chunks were read.

    While iterating: raises `DecodeError` if no frame decodes, `Unusable` if the span holds none,
    `OverLimit` where memory runs out, and `DecoderMisbehaved` if decord turns out not to be trusted
    after it gave some chunks; open the video again with decoder="pyav" then.
    """

    def __init__(
        self,
        path: Source,
        info: VideoInfo,
        config: VideoConfig,
        sampling: Sampling,
        decoder: DecoderName,
        divide_s: DivideS | None = None,
    ) -> None:
        self.path = str(path)
        self._source = path
        self.info = info
        self.config = config
        self.sampling = sampling
        self.decoder = ""
        self._wanted = decoder
        self._report: StreamReport | None = None
        self._tally: DecodeTally | None = None
        self.division = self._division(*divide_s) if divide_s else None
        self._iterator = self._iterate()

    def __iter__(self) -> Iterator[Frames]:
        return self._iterator

    @property
    def duration_s(self) -> float:
        """The longer of the durations that the header states and the packets cover."""
        pts_s = self.info.pts_s
        covered_s = float(pts_s[-1] - pts_s[0]) if len(pts_s) else 0.0
        return max(covered_s, self.info.duration_s or 0.0)

    @property
    def report(self) -> StreamReport:
        if self._report is None:
            raise ContractError(f"{self.path}: the report is known after the last chunk only")
        return self._report

    @property
    def is_sound(self) -> bool:
        return self._tally is not None and self._tally.is_sound

    def _division(self, from_s: float, part_s: float) -> Division | None:
        if self.duration_s < from_s or isinstance(self._source, RangeFile) or self._use_decord():
            return None
        samples = pyav_reader.wanted_pts(self.info, self.sampling)
        if samples is None or not len(samples):
            return None
        if (samples[-1] - samples[0]) * self.info.time_base < from_s:
            return None
        times_s = [self.info.seconds(int(samples[end])) for end in (0, -1)]
        sampled = _Sampled(len(samples), *times_s)
        report = self._made_report(sampled, DecodeTally())
        hidden_s = self.sampling.hidden_s
        return divide(self.info, samples, hidden_s, self.config.chunk_frames, part_s, report)

    def _iterate(self) -> Iterator[Frames]:
        try:
            yield from self._decoded()
        except MemoryError:
            raise out_of_memory() from None

    def _decoded(self) -> Iterator[Frames]:
        if self._use_decord():
            chunks = self._with_decord()
            try:
                first = next(chunks)
            except DecoderMisbehaved:
                pass
            else:
                yield first
                yield from chunks
                return
        yield from self._with_pyav()

    def _use_decord(self) -> bool:
        ranged, sampling = isinstance(self._source, RangeFile), self.sampling
        if self._wanted == "pyav" or ranged or sampling.hidden_s or sampling.eye:
            return False
        return not decord_reader.refusal(self.info, sampling.size, self.config.fit)

    def _with_decord(self) -> Iterator[Frames]:
        self.decoder = decord_reader.decoder_name()
        samples = decord_reader.read(
            self.path,
            self.info,
            size=self.sampling.size,
            fit=self.config.fit,
            step_s=self.sampling.step_s,
            batch=self.config.chunk_frames,
        )
        yield from self._chunks(samples, None)

    def _with_pyav(self) -> Iterator[Frames]:
        self.decoder = pyav_reader.decoder_name(self.info)
        tally = DecodeTally()
        samples = pyav_reader.read(self._source, self.info, self.config.fit, self.sampling, tally)
        yield from self._chunks(samples, tally)

    def _chunks(self, samples: Iterator[Sample], tally: DecodeTally | None) -> Iterator[Frames]:
        """Group samples, then write the report. A tally of None: the decoder counted nothing."""
        self._tally = tally
        sampled = _Sampled()
        yield from chunks(sampled.through(samples), self.config.chunk_frames)
        if sampled.count == 0:
            raise self._nothing(tally)
        self._report = self._made_report(sampled, tally)

    def _made_report(self, sampled: _Sampled, tally: DecodeTally | None) -> StreamReport:
        damage = damage_of(self.info, self.sampling, tally)
        return StreamReport(
            frames_sampled=sampled.count,
            frames_decoded=tally.frames_decoded if tally else None,
            decode_errors=tally.decode_errors if tally else 0,
            frames_undated=tally.frames_undated if tally else 0,
            frames_lost=damage.frames_lost,
            missing_s=damage.missing_s,
            salvaged="; ".join(damage.sentences),
            covered_s=sampled.last_s - sampled.first_s,
        )

    def _nothing(self, tally: DecodeTally | None) -> Exception:
        found = len(self.info.pts)
        if tally and not tally.frames_decoded:
            declared = self.info.frames_declared
            header = f"declares {declared} frames" if declared else "declares no number of frames"
            return DecodeError(
                f"{self.path}: the header {header}, {found} are found and 0 can be decoded "
                f"({tally.decode_errors} errors); the file is damaged"
            )
        bounds = self.sampling.span_s
        span = f" between {bounds[0]} s and {bounds[1]} s" if bounds else ""
        if self.sampling.hidden_s:
            return Unusable("redacted", f"{self.path}: all that is shown{span} is redacted")
        return Unusable("no_frames", f"{self.path}: no frame is shown{span}")


@dataclass(slots=True)
class _Sampled:
    """How many samples have gone through, and the times of the first and the last."""

    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def through(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.count += 1
            self.last_s = sample[0]
            self.first_s = self.last_s if self.count == 1 else self.first_s
            yield sample
