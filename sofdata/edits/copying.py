"""Units of a new dataset out of the shards of others: samples are copied byte for byte.

A unit that stays whole is copied as a file. Of any other, each video is copied sample by sample, as
an update does with what it takes over (`sofdata.ingest.carry`); a video that gets another id has
its samples written anew under it, with the same pictures and the same flow.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sofdata.edits.notes import take_note
from sofdata.edits.origins import Origin
from sofdata.errors import ContractError, InputError, StorageError
from sofdata.ingest.committed import Committed
from sofdata.ingest.events import UnitDone, VideoDone
from sofdata.ingest.job import UnitJob
from sofdata.ingest.libraries import join_digests
from sofdata.ingest.unit import commit_unit, labelled, unit_done, video_done
from sofdata.ingest.units import Unit
from sofdata.shards.commit import commit_record
from sofdata.shards.layout import SHARDS
from sofdata.shards.sample import sample_key
from sofdata.shards.schema import LedgerRecord, RejectedWindowRecord, VideoRecord, WindowRow
from sofdata.shards.writer import ShardWriter, VideoSamples
from sofdata.storage.local import storage_errors
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.types import VideoRef

NOT_SELECTED = "not_selected"
COPY = "copy"  # a video that shows what another one does, by `sofdata dedup`
LEFT_OUT = (NOT_SELECTED, COPY)
MOST_NOTE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class KeptWindows:
    """Which windows of a dataset are kept.

    first_rows: of each shard, by its name, the row of the index at which it begins.
    bits: uint8, a bit for each row of the index, as NumPy packs them.
    """

    first_rows: Mapping[str, int]
    bits: NDArray[np.uint8]

    def of(self, shard: str, windows: int) -> NDArray[np.bool_]:
        """Which of a shard's windows, bool [windows]."""
        first = self.first_rows[shard]
        start = first // 8
        bits = np.unpackbits(self.bits[start : (first + windows + 7) // 8])
        return bits[first - 8 * start :][:windows].astype(np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Makes units of what parents hold; see `sofdata.ingest.job.UnitMaker`.

    parents: the datasets. digests: of their configurations. config_sha256: of the new one.
    kept: of each parent the windows that are kept, None for all. why: a sentence for a video of
    which none is left. reason: of it, and of its windows. whys: other sentences for some videos, by
    their ids.
    """

    parents: Sequence[Tree]
    digests: Sequence[str]
    config_sha256: str
    kept: Sequence[KeptWindows | None]
    why: str = ""
    reason: str = NOT_SELECTED
    whys: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, unit: Unit, job: UnitJob) -> Iterator[VideoDone | UnitDone]:
        """Copy a unit. Raises `StorageError` where a parent cannot be read, or is damaged."""
        with ExitStack() as stack:
            held = [
                stack.enter_context(Committed(tree, digest))
                for tree, digest in zip(self.parents, self.digests, strict=True)
            ]
            copy = _Copy(self, unit, job, held)
            yield from copy.whole() or copy.parts()


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A video in a parent: its record there, and those of its windows that are kept."""

    origin: Origin
    video: VideoRecord
    rows: list[WindowRow]
    left: list[WindowRow]
    rejected: list[RejectedWindowRecord]
    libraries: str


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """The copying of one unit. held: the records of each parent."""

    maker: Copies
    unit: Unit
    job: UnitJob
    held: Sequence[Committed]
    _masks: dict[tuple[int, str], dict[str, bool]] = field(default_factory=dict)

    @property
    def origins(self) -> list[Origin]:
        return [each for each in self.unit.earlier if isinstance(each, Origin)]

    def whole(self) -> list[VideoDone | UnitDone]:
        """Copy the shard as it is, if all of the unit is a unit of a parent; else []."""
        if len(self.origins) != 1 or (origin := self.origins[0]).ids:
            return []
        record = self._record(origin)
        mine = (self.unit.id, self.unit.ordinal, self.unit.video_ids, self.maker.config_sha256)
        theirs = (record.unit, record.ordinal, [video.id for video in record.videos])
        if (*theirs, record.config_sha256) != mine or not self._all_kept(origin, record):
            return []
        path = self._shard_path(origin) if record.shard else ""
        if record.shard is not None:
            self._put(path, f"{SHARDS}/{record.shard.name}", record.shard.sha256)
        fault_point("edit: shard copied")
        events = list[VideoDone | UnitDone]()
        for ref, video in zip(self.unit.videos, record.videos, strict=True):
            self._note(origin, video, video.id)
            events.append(video_done(self.unit, ref, video, taken_over=True))
        # Kept flow is of whole videos and their original windows, and stays with the parent.
        record = record.model_copy(update={"kept": None})
        standing = commit_record(self.job.dest, record, path, self.job.ledger)
        return [*events, unit_done(standing)]

    def _put(self, path: str, name: str, sha256: str) -> None:
        """Copy a file into the dataset; it stays where it is."""
        dest = self.job.dest
        if not dest.is_local:
            dest.put(path, name, sha256)
            return
        with dest.scratch() as folder:
            copy = os.path.join(folder, "shard.tar")
            with storage_errors(f"write {copy}"):
                shutil.copyfile(path, copy)
            dest.put(copy, name, sha256)  # which moves it

    def parts(self) -> Iterator[VideoDone | UnitDone]:
        """Copy the unit video by video."""
        with (
            self.job.dest.scratch() as folder,
            ShardWriter(os.path.join(folder, "shard.tar")) as shard,
        ):
            videos, digests = list[VideoRecord](), set[str]()
            for ref in self.unit.videos:
                found = [self._found(each, ref) for each in self.origins if ref.id in each.videos]
                if not found:
                    raise ContractError(f"{ref.id} lies in no parent")
                with shard.video(ref.id) as samples:
                    video = self._copy(ref, found, samples)
                digests.update(each.libraries for each in found)
                videos.append(video)
                fault_point("edit: video copied")
                yield video_done(self.unit, ref, video, taken_over=True)
            computed = self.maker.config_sha256, join_digests(*digests)
            yield unit_done(commit_unit(self.unit, self.job, shard, videos, *computed))

    def _copy(self, ref: VideoRef, found: list[_Found], samples: VideoSamples) -> VideoRecord:
        """Append the kept windows of a video, those of several parents in their order."""
        rows = {row.window: (each, row) for each in reversed(found) for row in each.rows}
        try:
            for number in sorted(rows):
                self._append(ref, *rows[number], samples)
        except (InputError, ValueError) as error:
            raise StorageError(
                f"{self.maker.parents[found[0].origin.dataset].name} is damaged, and nothing is "
                f"copied of it: {error}; 'sofdata verify' says what is wrong, and the same command "
                "goes on once it is whole"
            ) from None
        first = found[0]
        rejected = [_renamed(each, ref.id) for each in first.rejected if each.window not in rows]
        reason = self.maker.reason
        if left := [_left(each, ref.id, reason) for each in first.left if each.window not in rows]:
            rejected = sorted([*rejected, *left], key=lambda each: each.window)
        samples.rejected += rejected
        self._note(first.origin, first.video, ref.id)
        return labelled(ref, self._recorded(ref, first.video, len(rows), rejected))

    def _append(self, ref: VideoRef, found: _Found, row: WindowRow, samples: VideoSamples) -> None:
        origin = found.origin
        stored = self.held[origin.dataset].sample(origin.path, row, found.video.id)
        members = stored.members
        if ref.id != found.video.id:
            key = sample_key(ref.id, row.window)
            record = stored.record.model_copy(update={"key": key, "source": ref.id})
            members = {**members, "json": record.to_json()}
            row = row.model_copy(update={"key": key, "source": ref.id})
        samples.copy(row, members, stored.flow)

    def _recorded(
        self, ref: VideoRef, video: VideoRecord, kept: int, rejected: list[RejectedWindowRecord]
    ) -> VideoRecord:
        """How a video ends here. video: how it ended in the parent. kept: number of windows."""
        reasons = dict(Counter(each.reason for each in rejected))
        changes = {"id": ref.id, "windows": kept, "windows_rejected": reasons}
        if video.status == "done" and not kept:
            changes |= {"status": "rejected", "reason": self.maker.reason}
            changes |= {"detail": self.maker.whys.get(video.id, self.maker.why)}
        elif video.reason in LEFT_OUT and kept:
            changes |= {"status": "done", "reason": "", "detail": ""}
        return video.model_copy(update=changes)

    def _found(self, origin: Origin, ref: VideoRef) -> _Found:
        record, held = self._record(origin), self.held[origin.dataset].held(origin.path)
        video = held.videos.get(origin.id_of(ref.id))
        if video is None:
            raise self._damaged(origin, f"it does not hold {origin.id_of(ref.id)}")
        mask = self._mask(origin, record)
        rows = held.rows.get(video.id, [])
        return _Found(
            origin,
            video,
            [row for row in rows if mask is None or mask[row.key]],
            [row for row in rows if mask is not None and not mask[row.key]],
            held.rejected.get(video.id, []),
            record.libraries,
        )

    def _mask(self, origin: Origin, record: LedgerRecord) -> dict[str, bool] | None:
        """Which windows of a record are kept, by key; None for all."""
        kept = self.maker.kept[origin.dataset]
        if kept is None or record.shard is None:
            return None
        place = (origin.dataset, origin.path)
        if place not in self._masks:
            bits = kept.of(record.shard.name, len(record.windows)).tolist()
            keys = (row.key for row in record.windows)
            self._masks[place] = dict(zip(keys, bits, strict=True))
        return self._masks[place]

    def _all_kept(self, origin: Origin, record: LedgerRecord) -> bool:
        mask = self._mask(origin, record)
        return mask is None or all(mask.values())

    def _record(self, origin: Origin) -> LedgerRecord:
        record = self.held[origin.dataset].record(origin.path)
        if record is None:
            raise self._damaged(origin, "it is missing or damaged")
        return record

    def _shard_path(self, origin: Origin) -> str:
        path = self.held[origin.dataset].shard_path(origin.path)
        if path is None:
            raise self._damaged(origin, "its shard is missing or damaged")
        return path

    def _damaged(self, origin: Origin, what: str) -> StorageError:
        parent = self.maker.parents[origin.dataset]
        return StorageError(
            f"{origin.path} of {parent.name}: {what}; 'sofdata verify' says what is wrong there, "
            "and the same command goes on once it is whole"
        )

    def _note(self, origin: Origin, video: VideoRecord, id: str) -> None:
        """Take over what a parent has noted for people of a video that is quarantined."""
        take_note(self.maker.parents[origin.dataset], self.job.dest, video, id)


def _renamed(rejected: RejectedWindowRecord, video: str) -> RejectedWindowRecord:
    return rejected.model_copy(update={"video": video})


def _left(row: WindowRow, video: str, reason: str) -> RejectedWindowRecord:
    """A window that was written in a parent and is left out."""
    return RejectedWindowRecord(
        video=video,
        window=row.window,
        start_s=row.start_s,
        end_s=row.end_s,
        reason=reason,
    )
