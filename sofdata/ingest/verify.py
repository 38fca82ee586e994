"""`verify`: proves that a dataset is whole, from its bytes up to its sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.account import Account
from sofdata.ingest.check_kept import kept_problems
from sofdata.ingest.check_tables import TableCheck
from sofdata.ingest.check_units import SizeProblem, record_problems, shard_problems, size_problems
from sofdata.ingest.generation import (
    RECORD_READERS,
    Generation,
    has_next,
    next_shards,
    read_generation,
    read_ledger,
    several,
)
from sofdata.ingest.libraries import recorded, sets_note
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.ingest.tables import tables_of
from sofdata.ingest.units import Unit, unit_id
from sofdata.loading.stored import read_split
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.commit import committed_units, read_columns, shards_of
from sofdata.shards.layout import (
    DATASET,
    FLOW,
    LEDGER,
    NEXT_DATASET,
    NEXT_LEDGER,
    PLAN,
    SHARDS,
    SPLIT,
    WIDS,
    ledger_name,
)
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.lock import held
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest

READERS = 3  # each holds a copy of a shard


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


Checked = tuple[LedgerColumns | None, list[Finding]]  # a unit: its record if it can be read


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
    findings += _check_split(dest, dataset)
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
        made = tables_of(dataset.config)
        tables = [TableCheck(dest, table, plan, stack) for table in made]
        for record, found in units:
            yield from found
            if record is not None:
                records += 1
                account.add(record)
                for table in tables:
                    table.expect(table.rows.record_rows(record))
        if dataset.complete:  # else the same ingest clears what nothing owns when it ends
            yield from _check_strays(dest, plan, account.shards, account.kept_shards)
        yield from _check_uploads(dest)
        if records == len(plan.units):  # else tables and totals cannot be right
            for table in tables:
                if what := table.problem():
                    yield Finding(table.rows.name, what, Remedy.TABLES)
            yield from _check_totals(dest, dataset, account)


def _check_next(dest: Tree, fast: bool) -> Iterator[Finding]:
    """Check the units that were run so far for an update, a retry or a repair."""
    there = {folder: {*dest.names(folder)} for folder in (SHARDS, FLOW)}

    def check(unit: str) -> Finding | None:
        where = f"{NEXT_LEDGER}/{ledger_name(unit)}"
        try:
            record = read_columns(dest, unit, NEXT_LEDGER)
        except InputError as error:
            return Finding(where, str(error), Remedy.REMOVE, unit)
        for folder, shard in shards_of(record):
            name = f"{folder}/{shard.name}"
            if shard.name not in there[folder] or not (fast or dest.holds(name, shard.sha256)):
                return Finding(where, f"{name} is missing or damaged", Remedy.REMOVE, unit)
        return None

    units = sorted(committed_units(dest, NEXT_LEDGER))
    return filter(None, several(dest, check, units, READERS))


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
    size_problem = size_problems(dest)

    def check(planned: tuple[Unit, str]) -> Checked:
        unit, content_id = planned
        plan_findings = _check_id(unit, content_id, dataset.config_sha256)
        record, findings = _check_unit(dest, unit, dataset, size_problem, fast)
        return record, plan_findings + findings

    ids = plan.units.content_ids(dataset.config_sha256)
    planned = zip(plan.units, ids, strict=True)
    return several(dest, check, planned, RECORD_READERS if fast else READERS)


def _check_id(unit: Unit, content_id: str, config_sha256: str) -> list[Finding]:
    """Check that a unit has the id of its videos. content_id: what their cells in the plan give."""
    # The cells of another writer may say the same in other words.
    if unit.id == content_id or unit.id == unit_id(unit.videos, config_sha256):
        return []
    what = f"unit {unit.id} does not have the id of its videos"
    return [Finding(PLAN, what, Remedy.PLAN)]


def _check_unit(
    dest: Tree, unit: Unit, dataset: DatasetRecord, size_problem: SizeProblem, fast: bool
) -> Checked:
    """Check one unit; its record is None if it cannot be read."""
    name = f"{LEDGER}/{ledger_name(unit.id)}"
    try:
        record = read_columns(dest, unit.id)
    except InputError as error:
        return None, [Finding(name, str(error), Remedy.RERUN, unit.id)]
    problems = [(name, what) for what in record_problems(unit, record, dataset)]
    for folder, shard in shards_of(record):
        where = f"{folder}/{shard.name}"
        if what := size_problem(folder, shard):
            problems.append((where, what))
        elif not fast and folder == FLOW:
            problems += [(where, what) for what in kept_problems(dest, record, dataset)]
        elif not fast:
            found = shard_problems(dest, record, dataset.actions)
            problems += [(where, what) for what in found]
    return record, [Finding(place, what, Remedy.RERUN, unit.id) for place, what in problems]


def _check_strays(
    dest: Tree, plan: IngestPlan, shards: list[str], kept_shards: list[str]
) -> Iterator[Finding]:
    """Find files that no unit owns."""
    for unit in sorted(committed_units(dest) - plan.units.ids):
        what = "no unit of the plan has this id"
        yield Finding(f"{LEDGER}/{unit}.json", what, Remedy.REMOVE)
    known_files = {*shards, *next_shards(dest), WIDS.rsplit("/", 1)[-1]}
    for name in sorted(set(dest.names(SHARDS)) - known_files):
        yield Finding(f"{SHARDS}/{name}", "no ledger record names this file", Remedy.REMOVE)
    for name in sorted({*dest.names(FLOW)} - {*kept_shards, *next_shards(dest)}):
        yield Finding(f"{FLOW}/{name}", "no ledger record names this file", Remedy.REMOVE)


def _check_uploads(dest: Tree) -> Iterator[Finding]:
    for name in dest.unfinished():
        what = "its upload is not finished: the process that started it was killed or still runs"
        yield Finding(name, what, Remedy.ABORT)


def _check_split(dest: Tree, dataset: DatasetRecord) -> Iterator[Finding]:
    """Check the stored split, where there is one: what it says, and that it says it once."""
    try:
        sides = read_split(dest, dataset)
    except (ConfigError, InputError) as error:
        yield Finding(SPLIT, str(error), Remedy.NONE)
        return
    if sides and (both := sorted({*sides.train} & {*sides.held_out})):
        what = f"{len(both)} files are on both sides, such as {both[0]}; 'sofdata split --again'"
        yield Finding(SPLIT, what, Remedy.NONE)


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
    if dataset.kept != account.kept(dataset.config):
        what = "its figures of kept flow do not follow from the ledger"
        yield Finding(DATASET, what, Remedy.TABLES)
    if dataset.flow != account.flow():
        what = "its flow statistics do not follow from the ledger"
        yield Finding(DATASET, what, Remedy.TABLES)
