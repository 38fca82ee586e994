"""`verify --repair`: brings a damaged dataset to where the same ingest completes it."""

from __future__ import annotations

from sofdata.errors import ConfigError
from sofdata.ingest.destination import mark_incomplete, read_dataset
from sofdata.ingest.finish import finish
from sofdata.ingest.lock import Choice, only_driver
from sofdata.ingest.plan import load_plan
from sofdata.shards.commit import committed_units, remove_unit
from sofdata.shards.layout import PLAN
from sofdata.shards.verify import Remedy, Verdict, verify
from sofdata.storage import Tree


def repair(dest: Tree, verdict: Verdict, choice: Choice = "auto") -> list[str]:
    """Do away with what `verify` found, and return what was done, a sentence each.

    Files that no unit owns are removed. Units whose record or shard is damaged lose both, so that
    the same `sofdata ingest` makes them again, to the same bytes. Tables are written anew from the
    ledger if every unit still has a record. No source is read.

    verdict: taken anew, unless it was taken under the lock that is held here: what it names may be
    another's finished work by now. choice: as of `only_driver`.

    Raises `ConfigError` if another command is at work on the dataset.
    """
    with only_driver(dest, "repair", choice) as lock:
        if verdict.lock != lock.token:
            verdict = verify(dest, verdict.fast)
        if verdict.whole:
            return ["nothing to mend: the dataset is whole, as it is now"]
        return _repair(dest, verdict)


def _repair(dest: Tree, verdict: Verdict) -> list[str]:
    done = []
    mark_incomplete(dest)
    if any(finding.remedy is Remedy.PLAN for finding in verdict.findings):
        dest.remove(PLAN)
        return [f"{PLAN}: removed; the same ingest plans anew and keeps the units that it finds"]
    for finding in verdict.findings:
        if finding.remedy is Remedy.REMOVE:
            dest.remove(finding.where)
            done.append(f"{finding.where}: removed")
        elif finding.remedy is Remedy.ABORT:  # with all else that was left, below
            done.append(f"{finding.where}: upload aborted")
    plan = load_plan(dest)
    dataset = read_dataset(dest)
    if plan is None or dataset is None:
        raise ConfigError(f"{dest.name} has changed while it was repaired; verify it again")
    again = {finding.unit for finding in verdict.findings if finding.remedy is Remedy.RERUN}
    for unit in plan.units:
        if unit.id in again:
            remove_unit(dest, unit.ordinal, unit.id)
            done.append(f"unit {unit.id}: to be run again ({len(unit.videos)} videos)")
    dest.clear_scratch()
    if committed_units(dest) >= {unit.id for unit in plan.units}:
        finish(dest, plan, dataset)
        done.append("tables and counts: written anew from the ledger")
    else:
        done.append("run the same `sofdata ingest` again to complete the dataset")
    return done
