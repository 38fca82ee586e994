"""`verify`: proves that a dataset is whole, from its bytes up to its sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.finish import Account
from sofdata.ingest.generation import (
    Generation,
    has_next,
    next_shards,
    read_generation,
    read_ledger,
)
from sofdata.ingest.libraries import recorded, sets_note
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.ingest.tables import TABLES, Table
from sofdata.ingest.units import Unit, unit_id
from sofdata.shards.commit import committed_units, read_record
from sofdata.shards.layout import (
    DATASET,
    LEDGER,
    NEXT_DATASET,
    NEXT_LEDGER,
    PLAN,
    SHARDS,
    WIDS,
    ledger_name,
)
from sofdata.shards.parquet import StoredTable
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.schema import (
    LATER_COLUMNS,
    DatasetActions,
    DatasetRecord,
    LedgerRecord,
    ShardRecord,
)
from sofdata.shards.tar import hash_file, read_samples
from sofdata.storage.lock import held
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.threads import in_order

if TYPE_CHECKING:
    import pyarrow as pa

READERS = 3  # each holds a copy of a shard
TOLERATED_S = 1e-6


class Remedy(StrEnum):
    """What `repair` does about a finding."""

    PLAN = "plan again"
    RERUN = "run the unit again"
    REMOVE = "remove the file"
    ABORT = "abort the upload"
    TABLES = "rewrite the tables"
    NONE = "nothing: make the dataset again, or restore the file"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: where, what, what repairs it, and the unit that it touches."""

    where: str
    what: str
    remedy: Remedy
    unit: str = ""


Checked = tuple[LedgerRecord | None, list[Finding]]  # a unit: its record if it can be read


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What `verify` found. The dataset is whole if there are no findings.

    fast: no shard was read. lock: the token of the lock under which it was taken, "" for none.
    notes: what is no fault, and should be known.
    """

    findings: tuple[Finding, ...]
    videos: int
    windows: int
    shards: int
    fast: bool = False
    lock: str = ""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.findings

    def __repr__(self) -> str:
        state = "whole" if self.whole else f"not whole, {len(self.findings)} findings"
        return (
            f"Verdict({state}: {self.videos} videos, {self.windows} windows in "
            f"{self.shards} shards)"
        )


def verify(
    dest: Tree,
    fast: bool = False,
    on_unit: Callable[[int, int], None] = lambda done, total: None,
) -> Verdict:
    """Check a dataset: every hash, every sample, every sum.

    fast: do not read the shards; check their sizes, and all records and tables.
    on_unit: called with (units checked, units in all).

    Raises `ConfigError` if there is no dataset at `dest` at all.
    """
    lock, dataset = held(dest), read_dataset(dest)
    if dataset is None:
        lost = next(read_ledger(dest), None) is not None
        what = "the same ingest writes it again" if lost else "it is no dataset of sofdata"
        raise ConfigError(f"{dest.name} holds no {DATASET}: {what}")
    try:
        plan, damage = load_plan(dest), "it is missing"
    except InputError as error:
        plan, damage = None, str(error)
    if plan is None:  # without which nothing else can be judged
        finding = Finding(PLAN, damage, Remedy.PLAN)
        return Verdict((finding,), videos=0, windows=0, shards=0, fast=fast, lock=lock)
    account, findings = Account(plan), list[Finding]()
    if json_digest(dataset.config) != dataset.config_sha256:
        findings.append(Finding(DATASET, "its config does not have its config_sha256", Remedy.NONE))
    units = _counted(_check_units(dest, plan, dataset, fast), len(plan.units), on_unit)
    findings += _check_ledger(dest, plan, dataset, account, units)
    if not dataset.complete:
        what = "the ingest is not complete; run it again to resume"
        findings.append(Finding(DATASET, what, Remedy.TABLES))
    under_way = ""
    if has_next(dest):
        try:
            under_way = _under_way(read_generation(dest))
        except InputError as error:
            findings.append(Finding(NEXT_DATASET, str(error), Remedy.REMOVE))
        findings.extend(_check_next(dest, fast))
    notes = (sets_note(recorded(dataset, account.digests)), under_way)
    return Verdict(
        findings=tuple(findings),
        videos=plan.videos,
        windows=account.windows,
        shards=len(account.shards),
        fast=fast,
        lock=lock,
        notes=tuple(filter(None, notes)),
    )


def _counted(
    units: Iterator[Checked], total: int, on_unit: Callable[[int, int], None]
) -> Iterator[Checked]:
    """The units, each reported as it comes."""
    for number, unit in enumerate(units):
        on_unit(number, total)
        yield unit


def _check_ledger(
    dest: Tree,
    plan: IngestPlan,
    dataset: DatasetRecord,
    account: Account,
    units: Iterator[Checked],
) -> Iterator[Finding]:
    """Check all units, one pass over their records, and what follows from them. Fills `account`."""
    records = 0
    with ExitStack() as stack:
        tables = [_TableCheck(dest, table, plan, stack) for table in TABLES]
        for record, found in units:
            yield from found
            if record is not None:
                records += 1
                account.add(record)
                for table in tables:
                    table.expect(table.rows.record_rows(record))
        if dataset.complete:  # else the same ingest clears what nothing owns when it ends
            yield from _check_strays(dest, plan, account.shards)
        yield from _check_uploads(dest)
        if records == len(plan.units):  # else tables and totals cannot be right
            for table in tables:
                yield from table.findings()
            yield from _check_totals(dest, dataset, account)


def _check_next(dest: Tree, fast: bool) -> Iterator[Finding]:
    """Check the units that were run so far for an update, a retry or a repair."""
    for unit in sorted(committed_units(dest, NEXT_LEDGER)):
        where = f"{NEXT_LEDGER}/{ledger_name(unit)}"
        try:
            shard = read_record(dest, unit, NEXT_LEDGER).shard
        except InputError as error:
            yield Finding(where, str(error), Remedy.REMOVE, unit)
            continue
        if shard is None:
            continue
        name = f"{SHARDS}/{shard.name}"
        whole = dest.exists(name) if fast else dest.holds(name, shard.sha256)
        if not whole:
            yield Finding(where, f"{name} is missing or damaged", Remedy.REMOVE, unit)


def _under_way(generation: Generation | None) -> str:
    """What is under way beside the dataset, in words."""
    if generation is None or not generation.staged:
        return ""
    done, units = len(generation.plan.units) - len(generation.waiting), len(generation.plan.units)
    return (
        f"an update, a retry or a repair is under way: {done} of {units} units are there; the same "
        "ingest resumes it"
    )


def _check_units(
    dest: Tree, plan: IngestPlan, dataset: DatasetRecord, fast: bool
) -> Iterator[Checked]:
    """Check all units in order; of a remote dataset a few at a time are fetched."""

    def check(unit: Unit) -> Checked:
        return _check_unit(dest, unit, dataset, fast)

    return map(check, plan.units) if dest.is_local else in_order(check, plan.units, READERS)


def _check_unit(dest: Tree, unit: Unit, dataset: DatasetRecord, fast: bool) -> Checked:
    """Check one unit; its record is None if it cannot be read."""
    name = f"{LEDGER}/{unit.id}.json"
    findings = []
    if unit_id(unit.videos, dataset.config_sha256) != unit.id:
        what = f"unit {unit.id} does not have the id of its videos"
        findings.append(Finding(PLAN, what, Remedy.PLAN))
    try:
        record = read_record(dest, unit.id)
    except InputError as error:
        return None, [*findings, Finding(name, str(error), Remedy.RERUN, unit.id)]
    problems = [(name, what) for what in _record_problems(unit, record, dataset)]
    if record.shard:
        where = f"{SHARDS}/{record.shard.name}"
        sizes = [(where, what) for what in _size_problems(dest, where, record.shard)]
        problems += sizes
        if not fast and not sizes:
            found = _shard_problems(dest, where, record, dataset.actions)
            problems += [(where, what) for what in found]
    findings += [Finding(place, what, Remedy.RERUN, unit.id) for place, what in problems]
    return record, findings


def _size_problems(dest: Tree, where: str, shard: ShardRecord) -> Iterator[str]:
    try:
        size = dest.size(where)
    except FileNotFoundError:
        yield "it is missing"
        return
    except (OSError, ValueError) as error:  # no file can have its name
        yield f"its size cannot be read: {error}"
        return
    if dest.is_local and not dest.is_file(where):
        yield "it is not a file"
    elif size != shard.size_bytes:
        yield f"it has {size} bytes instead of {shard.size_bytes}"


def _record_problems(unit: Unit, record: LedgerRecord, dataset: DatasetRecord) -> Iterator[str]:
    """Check that a record accounts for its unit's videos and windows."""
    if record.unit != unit.id or record.ordinal != unit.ordinal:
        yield f"it is the record of unit {record.unit}, number {record.ordinal}"
    if record.config_sha256 != dataset.config_sha256:
        yield "it was made with another configuration"
    if [video.id for video in record.videos] != [video.id for video in unit.videos]:
        yield "its videos are not those of the plan"
    written: dict[str, int] = {}
    rejected: dict[str, int] = {}
    for row in record.windows:
        written[row.source] = written.get(row.source, 0) + 1
    for window in record.rejected_windows:
        rejected[window.video] = rejected.get(window.video, 0) + 1
    for video in record.videos:
        if video.windows != written.pop(video.id, 0):
            yield f"{video.id}: counts of written windows differ"
        if sum(video.windows_rejected.values()) != rejected.pop(video.id, 0):
            yield f"{video.id}: counts of rejected windows differ"
        if (video.status == "done") != (video.windows > 0 and not video.reason):
            yield f"{video.id}: is {video.status} with {video.windows} windows"
    yield from _redaction_problems(unit, record)
    if written or rejected:
        yield "it lists windows of videos that are not its own"
    samples = record.shard.samples if record.shard else 0
    if len(record.windows) != samples:
        yield f"it lists {len(record.windows)} windows, and its shard has {samples} samples"


def _redaction_problems(unit: Unit, record: LedgerRecord) -> Iterator[str]:
    """Check that no window shows what its corpus says must not be seen."""
    hidden = {video.id: video.annotations.hidden_s for video in unit.videos}
    for row in record.windows:
        for start_s, end_s in hidden.get(row.source, ()):
            if row.start_s <= end_s and start_s <= row.end_s:
                yield f"{row.source}: window {row.window} reaches into {start_s} s to {end_s} s"


def _shard_problems(
    dest: Tree, where: str, record: LedgerRecord, actions: DatasetActions | None
) -> Iterator[str]:
    """Check a shard's hash and, if it is the right one, decode each of its samples.

    What has another hash is not what was written here, and nothing of it is decoded.
    """
    shard = record.shard
    assert shard is not None
    try:
        with dest.local_copy(where, shard.size_bytes) as path:
            sha256, md5 = hash_file(path)
            if sha256 != shard.sha256:
                yield "its sha256 is not that of the ledger; nothing of it was decoded"
                return
            if md5 != shard.md5:
                yield "its md5 is not that of the ledger"
            with open(path, "rb") as stream:
                yield from _content_problems(stream, where, record, actions)
    except (FileNotFoundError, InputError) as error:
        yield "it is missing" if isinstance(error, FileNotFoundError) else str(error)


def _content_problems(
    stream: BinaryIO, where: str, record: LedgerRecord, actions: DatasetActions | None
) -> Iterator[str]:
    """Decode each sample of a shard and compare it with the ledger. Raises `InputError`."""
    rows = iter(record.windows)
    samples = 0
    for key, offset, members in read_samples(stream, where):
        samples += 1
        sample = decode_sample(key, members)
        row = next(rows, None)
        if row is None or (row.key, row.offset, row.source, row.window, row.steps) != (
            key,
            offset,
            sample.record.source,
            sample.record.window,
            len(sample.flow),
        ):
            yield f"sample {key} is not the one that the ledger lists there"
        yield from _sample_problems(sample)
        yield from _action_problems(sample, actions)
    if record.shard and samples != record.shard.samples:
        yield f"it holds {samples} samples instead of {record.shard.samples}"


def _sample_problems(sample: DecodedSample) -> Iterator[str]:
    """Check that a sample's own figures agree with each other."""
    record = sample.record
    if record.start_s != record.pts_s[0] or record.end_s != record.pts_s[-1]:
        yield f"sample {record.key}: start and end are not its first and last time"
    if sample.last.shape != sample.first.shape:
        yield f"sample {record.key}: first and last frame differ in size"


def _action_problems(sample: DecodedSample, dataset: DatasetActions | None) -> Iterator[str]:
    """Check that a sample's actions are those of the dataset, and were taken in its window."""
    record, actions = sample.record, sample.record.actions
    if (actions is None) != (dataset is None):
        which = "lacks the actions of the dataset" if dataset else "has actions, the dataset none"
        yield f"sample {record.key}: {which}"
    if actions is None or dataset is None:
        return
    if (actions.names, actions.dimension) != (dataset.names, dataset.dimension):
        yield f"sample {record.key}: its actions are not those of the dataset"
    start_s, end_s = record.start_s - 0.5 / dataset.fps, record.end_s - 0.5 / dataset.fps
    first_s, last_s = actions.times_s[0], actions.times_s[-1]
    if not start_s - TOLERATED_S <= first_s <= last_s < end_s + TOLERATED_S:
        yield f"sample {record.key}: its actions were not taken in its window"


def _check_strays(dest: Tree, plan: IngestPlan, shards: list[str]) -> Iterator[Finding]:
    """Find files that no unit owns."""
    known = {unit.id for unit in plan.units}
    for unit in sorted(committed_units(dest) - known):
        what = "no unit of the plan has this id"
        yield Finding(f"{LEDGER}/{unit}.json", what, Remedy.REMOVE)
    known_files = {*shards, *next_shards(dest), WIDS.rsplit("/", 1)[-1]}
    for name in sorted(set(dest.names(SHARDS)) - known_files):
        yield Finding(f"{SHARDS}/{name}", "no ledger record names this file", Remedy.REMOVE)


def _check_uploads(dest: Tree) -> Iterator[Finding]:
    for name in dest.unfinished():
        what = "its upload is not finished: the process that started it was killed or still runs"
        yield Finding(name, what, Remedy.ABORT)


class _TableCheck:
    """Compares a stored table with the rows that plan and ledger give, unit by unit."""

    def __init__(self, dest: Tree, rows: Table, plan: IngestPlan, stack: ExitStack) -> None:
        self.rows = rows
        self._schema = rows.schema()
        self._problem = ""
        self._seen = 0
        try:
            self._stored = stack.enter_context(StoredTable.open(dest, rows.name))
        except FileNotFoundError:
            self._problem = "it is missing"
        except InputError as error:
            self._problem = str(error)
        else:
            self._schema = _as_stored(self._schema, self._stored.schema)
            if not self._stored.schema.equals(self._schema):
                self._problem = "its columns are not those of schema version 1"
        self.expect(rows.refused_rows(plan))

    def expect(self, rows: Iterable[dict[str, Any]]) -> None:
        """Compare the next rows."""
        import pyarrow as pa

        if self._problem:
            return
        wanted = pa.Table.from_pylist(list(rows), self._schema)
        try:
            found = self._stored.take(wanted.num_rows)
        except InputError as error:
            self._problem = str(error)
            return
        if not found.equals(wanted):
            self._problem = f"rows from {self._seen} on do not follow from plan and ledger"
        self._seen += wanted.num_rows

    def findings(self) -> list[Finding]:
        """What is wrong with the table, once all rows were compared."""
        if not self._problem and self._stored.num_rows != self._seen:
            self._problem = f"it has {self._stored.num_rows} rows instead of {self._seen}"
        if not self._problem:
            return []
        return [Finding(self.rows.name, self._problem, Remedy.TABLES)]


def _as_stored(schema: pa.Schema, stored: pa.Schema) -> pa.Schema:
    """The schema without those of the columns that came later which a table was made without."""
    import pyarrow as pa

    lacks = LATER_COLUMNS - {*stored.names}
    return pa.schema([field for field in schema if field.name not in lacks])


def _check_totals(dest: Tree, dataset: DatasetRecord, account: Account) -> Iterator[Finding]:
    """Check that the wids index and the totals follow from the ledger."""
    try:
        wanted = account.wids_index()
        if read_small(dest, WIDS, len(wanted)) != wanted:
            yield Finding(WIDS, "it does not list the shards of the ledger", Remedy.TABLES)
    except FileNotFoundError:
        yield Finding(WIDS, "it is missing", Remedy.TABLES)
    except InputError as error:
        yield Finding(WIDS, str(error), Remedy.TABLES)
    if not dataset.complete:
        return
    if dataset.libraries and dataset.libraries.keys() != account.digests:
        what = "its libraries are not those that the ledger names"
        yield Finding(DATASET, what, Remedy.TABLES)
    counts = account.counts(dataset.counts)
    known = dataset.counts.model_fields_set  # an older dataset lacks some
    if counts.model_dump(include=known) != dataset.counts.model_dump(include=known):
        yield Finding(DATASET, "its counts do not follow from the ledger", Remedy.TABLES)
    if counts.videos != counts.done + counts.rejected + counts.quarantined:
        what = "done, rejected and quarantined do not add up to the videos"
        yield Finding(DATASET, what, Remedy.TABLES)
    if dataset.flow != account.flow():
        what = "its flow statistics do not follow from the ledger"
        yield Finding(DATASET, what, Remedy.TABLES)
