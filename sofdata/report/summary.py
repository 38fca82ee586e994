"""The results of commands: tables for people, plain values for `--json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sofdata.flow.estimator import EstimatorStatus
from sofdata.flow.quality import NOTES
from sofdata.ingest.libraries import NOTE
from sofdata.shards.layout import REJECTS, VIDEOS
from sofdata.shards.parquet import needed_table
from sofdata.shards.schema import Counts, DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.ui.console import labelled, note, say
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from sofdata.ingest.run import Summary
    from sofdata.ingest.verify import Verdict

SHOWN_VIDEOS = 20
SAME_CRASHES = 5  # so many decoding processes that end alike, and no video done, are no accident


def ingest_summary(dataset: DatasetRecord, summary: Summary | None, dest: str) -> dict[str, Any]:
    """What an ingest did; `summary` is None where nothing was left to do."""
    run = None
    if summary:
        run = {
            "units_run": summary.units_run,
            "units_resumed": summary.units_resumed,
            "videos_taken_over": summary.taken_over,
            "kept": list(summary.kept),
            "frames": summary.frames,
            "start_up_s": round(summary.start_up_s, 3),
            "work_s": round(summary.work_s, 3),
            "nodes": summary.nodes,
            "lost_nodes": list(summary.lost),
        }
    return {"dest": dest, "nothing_to_do": summary is None, "run": run, **inspect_summary(dataset)}


def inspect_summary(dataset: DatasetRecord) -> dict[str, Any]:
    """What a dataset holds."""
    return {
        "corpus": dataset.corpus,
        "counts": dataset.counts.model_dump(mode="json"),
        "flow": dataset.flow,
        "actions": dataset.actions.model_dump(mode="json") if dataset.actions else None,
        "config_sha256": dataset.config_sha256,
        "provenance": dataset.provenance,
        "libraries": dataset.libraries,
        "notes": dataset.notes,
        "lineage": [step.model_dump(mode="json") for step in dataset.lineage or ()],
    }


def print_ingest(
    console: Console, dataset: DatasetRecord, summary: Summary | None, dest: Tree
) -> None:
    """Print the account of all files and videos, why some are not done, and what was lost."""
    console.print(_account(dataset))
    rejects = rejected_videos(dest)
    if rejects:
        console.print(_videos_table(rejects, "not done", REJECTS))
    if dataset.counts.salvaged:
        console.print(_videos_table(salvaged_videos(dest), "salvaged", VIDEOS))
    for row in [row for row in rejects if row["status"] == "quarantined"][:1]:
        command = f"sofdata replay {shlex.quote(dest.name)} {shlex.quote(row['video'])}"
        say(console, f"to look into one: {printable(command)}")
    for text in [text for text in dataset.notes if text.startswith(NOTE)]:
        note(console, text)
    if hint := same_crash(dataset, rejects):
        say(console, hint)
    if summary:
        for kept in summary.kept:
            say(console, f"kept as it was: {printable(kept)}")
        if summary.taken_over:
            taken_over = f"{summary.taken_over} videos were taken over"
            say(console, f"{taken_over} from what was committed before")
        rate = summary.frames / summary.work_s if summary.work_s else 0.0
        work = f"{summary.frames} frames in {summary.work_s:.1f} s ({rate:.0f} frames/s)"
        say(console, f"{work}, after {summary.start_up_s:.1f} s of start-up")
    say(console, f"dataset: {dest.name}")


def print_dataset(console: Console, dataset: DatasetRecord, dest: str) -> None:
    """Print what a dataset holds."""
    console.print(_account(dataset))
    flow = dataset.flow
    say(
        console,
        f"flow as stored: mean ({_pair(flow['mean_px'])}) px, std ({_pair(flow['std_px'])}) px, "
        f"99 % of vectors below {flow['p99_px']:.2f} px a step",
    )
    if actions := dataset.actions:
        say(console, f"actions: {', '.join(actions.names)}; {actions.fps:g} a second")
    say(
        console,
        f"estimator: {dataset.provenance['estimator']}, codec: {dataset.config['codec']['name']}, "
        f"config {dataset.config_sha256[:12]}",
    )
    for text in dataset.notes:
        note(console, text)
    print_lineage(console, dataset)
    say(console, f"dataset: {dest}")


def print_lineage(console: Console, dataset: DatasetRecord) -> None:
    """Print how a dataset was made of others, the last step first; nothing for an ingest."""
    for step in reversed(dataset.lineage or ()):
        labelled(console, "made by", f" {printable(step.command)} (sofdata {step.sofdata})")
        for parent in step.parents:
            held = f"{parent.videos} videos, {parent.windows} windows, {parent.identity[:12]}"
            say(console, f"  of {printable(parent.name)}: {held}")


def print_edit(console: Console, summary: Summary, dest: Tree) -> None:
    """Print the account of a dataset that was made of others, and how."""
    console.print(_account(summary.dataset))
    for text in summary.dataset.notes:
        note(console, text)
    print_lineage(console, summary.dataset)
    if not summary.units_run:
        say(console, "nothing to do: every unit is committed")
    else:
        took = f"{summary.units_run} units in {summary.work_s:.1f} s"
        resumed = f", {summary.units_resumed} were there" if summary.units_resumed else ""
        say(console, f"{took}{resumed}")
    say(console, f"dataset: {dest.name}")


def verdict_summary(verdict: Verdict) -> dict[str, Any]:
    """What `verify` found."""
    return {
        "whole": verdict.whole,
        "videos": verdict.videos,
        "windows": verdict.windows,
        "shards": verdict.shards,
        "notes": list(verdict.notes),
        "findings": [{"where": found.where, "what": found.what} for found in verdict.findings],
    }


def print_verdict(console: Console, verdict: Verdict, fast: bool = False) -> None:
    """Print what `verify` found; `fast`: it has read no shard."""
    for finding in verdict.findings:
        labelled(console, printable(finding.where), f": {printable(finding.what)}", "red")
    for text in verdict.notes:
        note(console, text)
    sizes = f"{verdict.videos} videos, {verdict.windows} windows in {verdict.shards} shards"
    if verdict.whole:
        checked = "all sizes, records and sums" if fast else "all hashes, samples and sums"
        labelled(console, "whole", f": {sizes}; {checked} are right", "green")
    else:
        labelled(console, "not whole", f": {len(verdict.findings)} findings; {sizes}", "red")


def print_flows(console: Console, found: Sequence[EstimatorStatus]) -> None:
    """Print the estimators, those that run here first, and the names of what DIS spends."""
    table = Table("estimator", "runs here", "note", box=None)
    for status in sorted(found, key=lambda status: not status.runs_here):
        runs = "[green]yes[/]" if status.runs_here else "no"
        table.add_row(escape(status.name), runs, escape(status.note))
    console.print(table)
    names = Table("flow.quality", "what dis does under this name", box=None)
    for quality, what in NOTES.items():
        names.add_row(quality, escape(what))
    console.print(names)


def _account(dataset: DatasetRecord) -> Table:
    counts = dataset.counts
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(justify="right", style="bold")
    table.add_column()
    why = f"not done: {_by_number(counts.reasons)}" if counts.reasons else ""
    table.add_row("videos", str(counts.videos), why)
    table.add_row("  done", str(counts.done), _losses(counts))
    table.add_row("  rejected", str(counts.rejected), "")
    table.add_row("  quarantined", str(counts.quarantined), "")
    table.add_row("windows", str(counts.windows + counts.windows_rejected), "candidates")
    table.add_row("  written", str(counts.windows), f"in {counts.shards} shards, {_mib(counts)}")
    table.add_row("  rejected", str(counts.windows_rejected), _by_number(counts.window_reasons))
    if counts.label_files:
        table.add_row("label files", str(counts.label_files), "")
    for name, parts in (
        ("ignored files", counts.ignored_files),
        ("unused rows", counts.unused_rows),
    ):
        if parts:
            table.add_row(name, str(sum(parts.values())), _by_number(parts))
    return table


def _losses(counts: Counts) -> str:
    """What was lost of the videos, "" for nothing."""
    parts = {
        "salvaged": counts.salvaged,
        "frames lost": counts.frames_lost,
        "frames without a time": counts.frames_undated,
        "cut short": counts.spans_cut,
    }
    return ", ".join(f"{name} {number}" for name, number in parts.items() if number)


def salvaged_videos(dest: Tree) -> list[dict[str, Any]]:
    """The rows of videos that are done and of which something was lost.

    Of a dataset made before losses were counted, they are 0.
    """
    import pyarrow.compute as pc

    uncounted = {"frames_lost": 0, "frames_undated": 0, "missing_s": 0.0}
    table = needed_table(dest, VIDEOS)
    chosen = pc.and_(pc.equal(table["status"], "done"), pc.not_equal(table["salvaged"], ""))
    return [uncounted | row for row in table.filter(chosen).to_pylist()]


def rejected_videos(dest: Tree) -> list[dict[str, Any]]:
    """The rows of videos that are not done."""
    import pyarrow.compute as pc

    table = needed_table(dest, REJECTS)
    return list(table.filter(pc.equal(table["kind"], "video")).to_pylist())


def same_crash(dataset: DatasetRecord, rejects: list[dict[str, Any]]) -> str:
    """A hint where no video was done and every decoding process that died ended alike."""
    details = [row["detail"] for row in rejects if row["reason"] == "decoder_crash"]
    if dataset.counts.done or len(details) < SAME_CRASHES or len(set(details)) > 1:
        return ""
    return (
        f"all {len(details)} decoding processes ended in the same way, and no video was done: this "
        "looks like a fault of this installation rather than of the videos. Fix it, then rerun the "
        "command with --retry-quarantined"
    )


def _videos_table(videos: list[dict[str, Any]], title: str, file: str) -> Table:
    """Some videos that are not done, or of which something was lost; `file` lists all."""
    table = Table(title, "video", "reason", "detail", box=None, pad_edge=False)
    for row in videos[:SHOWN_VIDEOS]:
        name = row.get("video") or row["id"]
        detail = row["detail"] or row.get("salvaged", "")
        why = row["reason"] or _losses_of(row)
        table.add_row(*(escape(printable(cell)) for cell in (row["status"], name, why, detail)))
    if len(videos) > SHOWN_VIDEOS:
        table.add_row("...", f"{len(videos) - SHOWN_VIDEOS} more in {file}", "", "")
    return table


def _losses_of(row: Mapping[str, Any]) -> str:
    lost = row["frames_lost"] + row["frames_undated"]
    parts = [f"{lost} frames"] if lost else []
    return ", ".join(parts + ([f"{row['missing_s']:.2f} s"] if row["missing_s"] else []))


def _by_number(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return escape(", ".join(f"{reason} {number}" for reason, number in ordered))


def _pair(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _mib(counts: Any) -> str:
    return f"{counts.bytes / (1 << 20):.1f} MiB"
