"""Generations: what replaces finished work is written beside it, and takes its place at the end.

A dataset that is complete stays as it is while an update, a retry or a repair works on the next one
in its folder `next/`:

    next/plan.parquet   the plan to be
    next/dataset.json   what dataset.json is to say; written last, so that all of it stands
    next/again.json     units whose committed result is to be replaced, and why
    next/ledger/        records of the units that were run for it
    next/earlier/       records of it whose units are run once more

Shards of both lie in `shards/`, since their names hold their content's hash. When all units of the
next generation are committed, `sofdata.ingest.finish` puts it in place and retires what it
replaces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import brief
from sofdata.errors import InputError
from sofdata.ingest.plan import IngestPlan, load_plan, save_plan
from sofdata.ingest.units import Earlier, Unit, unit_id, video_inputs
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.commit import (
    as_columns,
    committed_units,
    read_record,
    record_bytes,
    shards_of,
)
from sofdata.shards.layout import (
    DATASET,
    LEDGER,
    NEXT,
    NEXT_AGAIN,
    NEXT_DATASET,
    NEXT_EARLIER,
    NEXT_LEDGER,
    NEXT_PLAN,
    PLAN,
    ledger_name,
)
from sofdata.shards.schema import DatasetRecord, LedgerRecord, VideoRecord
from sofdata.shards.tar import hash_file
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.system.threads import in_order
from sofdata.types import VideoRef

Why = Literal["quarantined", "shard", "record"]
RECORD_READERS = 16
S = TypeVar("S")
T = TypeVar("T")
_AGAIN = TypeAdapter(dict[str, Why])


@dataclass(frozen=True, slots=True)
class Generation:
    """What a dataset is to become, and how much of it is committed.

    record: what `dataset.json` is to say, not complete.
    done: ids of the units of the plan that are committed.
    again: ids of committed units that are run once more, and why: a video of them is "quarantined",
        their "shard" is damaged, or their "record".
    staged: whether it is written to `next/`, beside one that stands.
    saved: whether it is stored as it is here.
    """

    plan: IngestPlan
    record: DatasetRecord
    done: frozenset[str] = frozenset()
    again: Mapping[str, Why] = field(default_factory=dict)
    staged: bool = False
    saved: bool = True

    @property
    def ledger(self) -> str:
        """The folder to which its units are committed."""
        return NEXT_LEDGER if self.staged else LEDGER

    @property
    def waiting(self) -> tuple[Unit, ...]:
        """The units that are to be run, the largest first, so that none of them is last."""
        if self.done >= self.plan.units.ids:
            return ()
        waiting = [unit for unit in self.plan.units if unit.id not in self.done]
        return tuple(sorted(waiting, key=lambda unit: -unit.size_bytes))

    def run_again(self, units: Mapping[str, Why]) -> Generation:
        """The same, but for units that are to be run once more, beside what stands."""
        if not units:
            return self
        again = {**self.again, **units}
        return replace(self, again=again, done=self.done - units.keys(), staged=True)


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """A plan that is in memory and stored, so that it need not be read while its file is the same.

    mark: of the file's content: its ETag in an object store, else its sha256.
    """

    plan: IngestPlan
    name: str
    mark: str

    @classmethod
    def of(cls, dest: Tree, generation: Generation) -> HeldPlan:
        """The plan of a generation that is stored."""
        name = NEXT_PLAN if generation.staged and generation.saved else PLAN
        return cls(generation.plan, name, _mark(dest, name))

    def load(self, dest: Tree, name: str) -> IngestPlan | None:
        """The stored plan, as `load_plan` gives it."""
        same = name == self.name and self.mark and _mark(dest, name) == self.mark
        return self.plan if same else load_plan(dest, name)


def _mark(dest: Tree, name: str) -> str:
    """What differs between contents of a file, "" where it is not there."""
    try:
        if not dest.is_local and (etag := dest.stat(name).stamp.etag):
            return etag
        with dest.local_copy(name) as copy:
            return hash_file(copy)[0]
    except FileNotFoundError:
        return ""


def read_generation(dest: Tree, held: HeldPlan | None = None) -> Generation | None:
    """The generation that is under way, else the one that stands; None if there is neither.

    held: a plan that is not read again while its file has not changed.

    Units that were to be run again still are, though the generation that listed them was given up
    for another that is not ready yet: else a damaged unit would count as done.

    Raises `InputError` if its files are damaged.
    """
    if staged := _read_dataset(dest, NEXT_DATASET):
        plan = held.load(dest, NEXT_PLAN) if held else load_plan(dest, NEXT_PLAN)
        if plan is None:
            raise InputError(f"{NEXT_PLAN} in {dest.name} is missing")
        again = _read_again(dest)
        done = committed_units(dest, NEXT_LEDGER) | (committed_units(dest) - again.keys())
        return Generation(plan, staged, frozenset(done), again, staged=True)
    record = _read_dataset(dest, DATASET)
    plan = held.load(dest, PLAN) if held else load_plan(dest)
    if record is None or plan is None:
        return None
    committed = committed_units(dest)
    with suppress(InputError):
        if again := {unit: why for unit, why in _read_again(dest).items() if unit in committed}:
            done = committed - again.keys() | committed_units(dest, NEXT_LEDGER) & again.keys()
            return Generation(plan, record, frozenset(done), again, staged=True, saved=False)
    return Generation(plan, record, frozenset(committed))


def save_generation(dest: Tree, generation: Generation) -> None:
    """Write a generation: to `next/` beside the one that stands, or in place where none does."""
    incomplete = generation.record.model_copy(update={"complete": False}).to_json()
    if not generation.staged:
        dest.write(DATASET, incomplete)
        fault_point("begin: dataset begun")
        save_plan(dest, generation.plan)
        fault_point("begin: plan saved")
        return
    dest.remove(NEXT_DATASET)  # from here on what is in next/ belongs to no generation
    fault_point("stage: begun")
    for unit in committed_units(dest, NEXT_LEDGER) & generation.again.keys() - generation.done:
        name = ledger_name(unit)
        dest.write(f"{NEXT_EARLIER}/{name}", dest.read(f"{NEXT_LEDGER}/{name}"))
        dest.remove(f"{NEXT_LEDGER}/{name}")
    dest.write(NEXT_AGAIN, json.dumps(dict(sorted(generation.again.items()))).encode())
    save_plan(dest, generation.plan, NEXT_PLAN)
    fault_point("stage: plan saved")
    dest.write(NEXT_DATASET, incomplete)
    fault_point("stage: ready")


def clear_records(dest: Tree) -> None:
    """Remove the records of `next/`, which are in place: before any shard that they name.

    What is to be run again goes first, so that what stands is taken as done should this end midway.
    """
    if NEXT_AGAIN.rsplit("/", 1)[-1] in dest.names(NEXT):
        dest.remove(NEXT_AGAIN)
        fault_point("next: nothing to run again")
    for folder in (NEXT_LEDGER, NEXT_EARLIER):
        for _ in several(dest, dest.remove, (f"{folder}/{name}" for name in dest.names(folder))):
            fault_point("next: record removed")


def has_next(dest: Tree) -> bool:
    """Whether there is anything in `next/`, of any generation."""
    return any(dest.names(folder) for folder in (NEXT, NEXT_LEDGER, NEXT_EARLIER))


def clear_next(dest: Tree) -> None:
    """Remove `next/`: what it held is in place, or belongs to no generation."""
    clear_records(dest)
    there = {f"{NEXT}/{name}" for name in dest.names(NEXT)}
    for name in (NEXT_DATASET, NEXT_PLAN):
        if name in there:
            dest.remove(name)
            fault_point("next: file removed")
    for folder in (NEXT_LEDGER, NEXT_EARLIER, NEXT):
        dest.remove_folder(folder)


def quarantined_units(dest: Tree, generation: Generation) -> dict[str, Why]:
    """The committed units of a generation in which a video was quarantined."""
    return {
        record.unit: "quarantined"
        for record in read_records(dest, generation)
        if "quarantined" in record.videos["status"].to_pylist()
    }


def read_records(dest: Tree, generation: Generation) -> Iterator[LedgerColumns]:
    """The records of a generation's committed units in the order of its plan, as columns.

    Remote ones are fetched several at a time. Raises as `read_columns`.
    """
    staged = committed_units(dest, NEXT_LEDGER) if generation.staged else set()

    def fetch(unit: str) -> tuple[bytes, str, str]:
        ledger = NEXT_LEDGER if unit in staged else LEDGER
        return record_bytes(dest, unit, ledger), unit, ledger

    units = (unit for unit in generation.plan.units.cut.ids if unit in generation.done)
    return (as_columns(*each) for each in several(dest, fetch, units))


def several(
    dest: Tree, work: Callable[[S], T], items: Iterable[S], threads: int = RECORD_READERS
) -> Iterator[T]:
    """`map` for work on files of a dataset: several at a time where each waits for a store."""
    return map(work, items) if dest.is_local else in_order(work, items, threads)


def read_ledger(dest: Tree, folder: str = LEDGER) -> Iterator[LedgerRecord]:
    """All records of a folder that can be read, planned or not."""

    def read(unit: str) -> LedgerRecord | None:
        with suppress(InputError):
            return read_record(dest, unit, folder)
        return None

    return filter(None, several(dest, read, sorted(committed_units(dest, folder))))


def next_shards(dest: Tree) -> set[str]:
    """Names of the shards of a generation that is under way, those of kept flow among them."""
    folders = (NEXT_LEDGER, NEXT_EARLIER)
    records = (record for folder in folders for record in read_ledger(dest, folder))
    return {shard.name for record in records for _, shard in shards_of(record)}


def with_earlier(dest: Tree, generation: Generation) -> tuple[Unit, ...]:
    """The waiting units, each with the earlier results of its videos.

    They lie in the records of units that the generation no more holds, or runs again.
    """
    waiting = generation.waiting
    if not waiting:
        return waiting
    digest = generation.record.config_sha256

    @cache
    def standing() -> dict[str, VideoRef]:
        """The planned videos by id, for records that lack `inputs`; reads the whole plan."""
        plan = load_plan(dest)
        return {video.id: video for video in plan.all_videos()} if plan else {}

    elsewhere: dict[str, str] = {}  # from what decides a video's samples to a record with them
    for path, record in _retired(dest, generation):
        if record.config_sha256 == digest:
            older = not all(video.inputs for video in record.videos)
            known = known_inputs(record, standing() if older else {})
            for video in _final_videos(record):
                if inputs := known.get(video.id):
                    elsewhere.setdefault(inputs, path)
    moved = committed_units(dest, NEXT_EARLIER)
    return tuple(
        replace(
            unit,
            earlier=(
                *_own(dest, unit, generation.again.get(unit.id), unit.id in moved),
                *_others(unit, elsewhere),
            ),
        )
        for unit in waiting
    )


def _own(dest: Tree, unit: Unit, why: Why | None, moved: bool) -> Iterator[Earlier]:
    """The earlier result of a unit that is run again. moved: whether to `next/earlier/`."""
    if why in ("quarantined", "shard"):
        folder = NEXT_EARLIER if moved else LEDGER
        try:
            record = read_record(dest, unit.id, folder)
        except InputError:
            return
        videos = frozenset(video.id for video in _final_videos(record))
        yield Earlier(f"{folder}/{ledger_name(unit.id)}", videos, usable=why == "quarantined")


def _others(unit: Unit, elsewhere: Mapping[str, str]) -> Iterator[Earlier]:
    by_path: dict[str, set[str]] = {}
    for video in unit.videos if elsewhere else ():
        if path := elsewhere.get(video_inputs(video)):
            by_path.setdefault(path, set()).add(video.id)
    for path, videos in by_path.items():
        yield Earlier(path, frozenset(videos))


def _retired(dest: Tree, generation: Generation) -> Iterator[tuple[str, LedgerRecord]]:
    """Path and record of each unit that was committed and that the generation does not hold."""
    planned = generation.plan.units.ids
    for folder in (LEDGER, NEXT_LEDGER, NEXT_EARLIER):
        for unit in sorted(committed_units(dest, folder) - planned):
            try:
                record = read_record(dest, unit, folder)
            except InputError:
                continue  # its videos are run again
            yield f"{folder}/{ledger_name(unit)}", record


def _final_videos(record: LedgerRecord) -> Iterator[VideoRecord]:
    """The videos whose status is final: done or rejected, not quarantined."""
    return (video for video in record.videos if video.status != "quarantined")


def known_inputs(record: LedgerRecord, there: Mapping[str, VideoRef]) -> dict[str, str]:
    """From the id of each video of a record to the `video_inputs` that it was made of.

    An older record lacks them, but the id of its unit is a hash of them. there: videos by id; if
    they give that hash, the record was made of them. Else {}.
    """
    if all(video.inputs for video in record.videos):
        return {video.id: video.inputs for video in record.videos}
    videos = [there[video.id] for video in record.videos if video.id in there]
    if unit_id(videos, record.config_sha256) != record.unit:
        return {}
    return {video.id: video_inputs(video) for video in videos}


def _read_dataset(dest: Tree, name: str) -> DatasetRecord | None:
    try:
        return DatasetRecord.parse(read_small(dest, name, DatasetRecord.MOST_BYTES))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{name} in {dest.name} does not fit the schema: {brief(error)}") from None


def _read_again(dest: Tree) -> dict[str, Why]:
    try:
        return _AGAIN.validate_json(read_small(dest, NEXT_AGAIN, DatasetRecord.MOST_BYTES))
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise InputError(f"{NEXT_AGAIN} in {dest.name} is damaged: {brief(error)}") from None
