"""`verify --repair`: brings a damaged dataset to where the same ingest completes it."""

from __future__ import annotations

from sofdata.errors import ConfigError
from sofdata.ingest.finish import finish
from sofdata.ingest.generation import Why, has_next, read_generation, save_generation
from sofdata.ingest.verify import Finding, Remedy, Verdict, verify
from sofdata.shards.layout import LEDGER, NEXT_LEDGER, PLAN
from sofdata.shards.record import mark_incomplete
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree


def repair(dest: Tree, verdict: Verdict, choice: Choice = "auto") -> list[str]:
    """Repair what `verify` found, and return what was done, a sentence each.

    Files that no unit owns are removed. Units whose record or shard is damaged are noted, so that
    the same `sofdata ingest` makes them again, to the same bytes; until these are committed, what
    is left of the old ones stays. Tables are rewritten from the ledger if every unit has a
    record. No source is read.

    verdict: taken anew, unless it was taken under the lock that is held here: what it names may be
    another's finished work by now. choice: as of `only_driver`.

    Raises `ConfigError` if another command is at work on the dataset.
    """
    with only_driver(dest, "repair", choice) as lock:
        if verdict.lock != lock.token:
            verdict = verify(dest, verdict.fast)
        if verdict.whole:
            return ["nothing to repair: the dataset is whole"]
        lock.check()  # a verdict may have taken hours
        return _repair(dest, verdict)


def _repair(dest: Tree, verdict: Verdict) -> list[str]:
    done = []
    if any(finding.remedy is Remedy.PLAN for finding in verdict.findings):
        mark_incomplete(dest)
        dest.remove(PLAN)
        return [
            f"{PLAN}: removed; the same ingest plans again and keeps the units that it finds; "
            "verify it again after that, since nothing else was looked at"
        ]
    for finding in verdict.findings:
        if finding.remedy is Remedy.REMOVE:
            dest.remove(finding.where)
            done.append(f"{finding.where}: removed")
        elif finding.remedy is Remedy.ABORT:  # with all else that was left, below
            done.append(f"{finding.where}: upload aborted")
    dest.clear_scratch()
    generation = read_generation(dest)
    if generation is None:
        raise ConfigError(f"{dest.name} has changed while it was repaired; verify it again")
    again = {
        finding.unit: _why(finding)
        for finding in sorted(verdict.findings, key=lambda finding: finding.where, reverse=True)
        if finding.remedy is Remedy.RERUN
    }
    # While a generation takes its place, its records lie in the ledger as well.
    again |= {
        finding.unit: "record"
        for finding in verdict.findings
        if finding.unit and finding.where.startswith(f"{NEXT_LEDGER}/")
    }
    for unit in generation.plan.units:
        if unit.id in again:
            done.append(f"unit {unit.id}: to be run again ({len(unit.videos)} videos)")
    lost = {unit: why for unit, why in again.items() if unit in generation.plan.units.ids}
    if lost:
        save_generation(dest, generation.run_again(lost))
    if not lost and not again and not generation.waiting:
        lost_plan = has_next(dest) and not generation.staged
        finish(dest, generation, keep_next=lost_plan)
        done.append("tables and counts: rewritten from the ledger")
        if lost_plan:
            done.append("next/: its units are kept; `sofdata ingest --update` takes them over")
    else:
        done.append(f"rerun the same `{generation.record.made_by}` to complete the dataset")
    return done


def _why(finding: Finding) -> Why:
    """What of a unit is damaged. A damaged record says nothing of what was reached before."""
    return "record" if finding.where.startswith(f"{LEDGER}/") else "shard"
