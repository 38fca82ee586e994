"""Units of other windows, made of the flow that another dataset keeps of their videos."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.edits.notes import take_note
from sofdata.edits.origins import Origin
from sofdata.errors import ContractError, InputError, StorageError
from sofdata.ingest.account import kept_size
from sofdata.ingest.committed import Committed
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.events import UnitDone, VideoDone
from sofdata.ingest.job import UnitJob
from sofdata.ingest.kept_flow import KeptFlow, Piece
from sofdata.ingest.libraries import join_digests, own_digest, split_digests
from sofdata.ingest.outcome import finished_outcome
from sofdata.ingest.retries import VideoAttempt
from sofdata.ingest.stages import breaks_of, join_steps, with_actions
from sofdata.ingest.unit import commit_unit, labelled, shard_in, unit_done, video_done
from sofdata.ingest.units import Unit
from sofdata.shards.kept import decode_actions
from sofdata.shards.sample import Jpegs, VideoContext, encode_sample
from sofdata.shards.schema import DatasetRecord, LedgerRecord, VideoRecord
from sofdata.shards.writer import VideoSamples
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.types import Annotations, Pictures, RejectedWindow, VideoRef
from sofdata.video.tally import StreamReport
from sofdata.windows.kept import kept_steps
from sofdata.windows.shots import small_scores
from sofdata.windows.steps import Step


@dataclass(frozen=True, slots=True, eq=False)
class KeptChunk:
    """Kept steps as windows are cut of them; see `sofdata.ingest.stages.WindowSteps`."""

    frames: Pictures
    steps: list[Step | None]
    breaks: list[str]
    small: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Recuts:
    """Makes units of the flow that a dataset keeps; see `sofdata.ingest.job.UnitMaker`.

    parent: the dataset. record: its `dataset.json`. config_sha256: of the new dataset.
    alike: digest that a unit of the parent has which was made with the libraries of this process:
        other settings make others of them.
    """

    parent: Tree
    record: DatasetRecord
    config_sha256: str
    alike: str

    def __call__(self, unit: Unit, job: UnitJob) -> Iterator[VideoDone | UnitDone]:
        """Make a unit. Raises `StorageError` where the parent cannot be read, or is damaged."""
        own = own_digest(job.config, job.libraries)
        with (
            job.dest.scratch() as folder,
            shard_in(folder, job.config) as shard,
            Committed(self.parent, self.record.config_sha256) as there,
            closing(KeptFlow(self.parent, there, kept_size(self.record.config))) as kept,
        ):
            videos, digests = list[VideoRecord](), {own}
            for ref in unit.videos:
                origin = _origin_of(unit, ref)
                with shard.video(ref.id) as samples:
                    try:
                        record, video = _found(there, origin.path, ref.id)
                        video = self._video(ref, origin, video, kept, job, samples)
                    except InputError as error:
                        raise self._damaged(origin.path, error) from None
                digests |= {*split_digests(record.libraries)} - {self.alike}
                videos.append(labelled(ref, video))
                fault_point("edit: video cut again")
                yield video_done(unit, ref, videos[-1], taken_over=not samples.rows)
            computed = self.config_sha256, join_digests(*digests)
            yield unit_done(commit_unit(unit, job, shard, videos, *computed))

    def _video(
        self,
        ref: VideoRef,
        origin: Origin,
        video: VideoRecord,
        kept: KeptFlow,
        job: UnitJob,
        samples: VideoSamples,
    ) -> VideoRecord:
        """How a video ends. One that was not read to its end, since it could not be, stays as it
        was. video: how it ended in the parent.
        """
        if not kept.has_flow(origin.path, ref.id):
            take_note(self.parent, job.dest, video, ref.id)
            return video
        names = tuple(self.record.actions.names) if self.record.actions else ()
        recut(ref, kept.pieces(origin.path, ref.id), job.config, samples, names)
        attempt = VideoAttempt(job.config.video.decoder)
        ended = finished_outcome(ref, video.decoder, _report(video), samples, attempt).record
        return ended.model_copy(update={"tries": video.tries})

    def _damaged(self, where: str, error: InputError) -> StorageError:
        return StorageError(
            f"{where} of {self.parent.name}: {error}; 'sofdata verify' says what is wrong there, "
            "'verify --repair' and the ingest that made it make it whole, and the same command "
            "then goes on"
        )


def recut(
    ref: VideoRef,
    pieces: Iterator[Piece],
    config: IngestConfig,
    samples: VideoSamples,
    action_names: tuple[str, ...] = (),
) -> None:
    """Cut the kept flow of a video into windows, and write them. Raises `InputError`.

    action_names: of the dimensions of its actions, where it is a demonstration.
    """
    first = next(pieces, None)
    if first is None:  # no frame of it was sampled
        return
    record = first.kept.record
    context = VideoContext(ref, record.estimator, record.video_size, record.fit, action_names)
    is_shown = ref.actions is not None and bool(action_names)
    track = decode_actions(first.members, len(action_names)) if is_shown else None
    chunks = kept_chunks(itertools.chain([first], pieces), config, ref.annotations)
    images = Jpegs(config.images)
    for window in with_actions(join_steps(chunks, config.windows, ref.annotations), track):
        if isinstance(window, RejectedWindow):
            samples.reject(window)
        else:
            samples.write(encode_sample(window, context, config.codec, images))


def kept_chunks(
    pieces: Iterable[Piece], config: IngestConfig, annotations: Annotations
) -> Iterator[KeptChunk]:
    """The steps of a video as windows are cut of them. Raises `InputError`."""
    threshold = config.windows.shot_threshold if config.windows.shots else float("inf")
    for piece in pieces:
        steps = piece.kept.steps
        shots = small_scores(steps.small, threshold) >= threshold
        breaks = breaks_of(steps.pts_s, shots, config, annotations)
        try:
            made = kept_steps(steps, breaks, config.windows, config.quality)
            yield KeptChunk(piece.kept, made, breaks, steps.small)
        except ContractError as error:
            raise InputError(f"the kept flow of {piece.kept.record.source}: {error}") from None


def _found(there: Committed, path: str, id: str) -> tuple[LedgerRecord, VideoRecord]:
    """A record by its path, and what it says of a video. Raises `InputError`."""
    record, video = there.record(path), there.held(path).videos.get(id)
    if record is None:
        raise InputError("it is missing, or no record of the dataset's configuration")
    if video is None:
        raise InputError(f"it does not hold {id}")
    return record, video


def _origin_of(unit: Unit, ref: VideoRef) -> Origin:
    for each in unit.earlier:
        if isinstance(each, Origin) and ref.id in each.videos:
            return each
    raise ContractError(f"{ref.id} lies in no parent")


def _report(video: VideoRecord) -> StreamReport:
    """What became of a video when it was decoded."""
    return StreamReport(
        frames_sampled=video.frames,
        frames_decoded=None,
        decode_errors=video.decode_errors,
        frames_undated=video.frames_undated,
        frames_lost=video.frames_lost,
        missing_s=video.missing_s,
        salvaged=video.salvaged,
        covered_s=video.covered_s,
    )
