"""What `sofdata audit` prints: a table for people, plain values for `--json`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sofdata.audit.compare import AuditFinding
from sofdata.audit.run import Audit, VideoAudit
from sofdata.ui.console import labelled, say
from sofdata.ui.text import printable

SHOWN_FINDINGS = 5  # of a video; --json has all


def audit_summary(audit: Audit) -> dict[str, Any]:
    """All of it, for a program."""
    return {
        "dest": audit.dest,
        "source": audit.source,
        "videos_with_windows": audit.videos_with_windows,
        "findings": audit.findings,
        "videos": [asdict(video) for video in audit.videos],
    }


def print_audit(console: Console, audit: Audit) -> None:
    """A row a video, the findings below, and what could not be compared."""
    console.print(_table(audit))
    for video in audit.videos:
        for finding in video.findings[:SHOWN_FINDINGS]:
            _print_finding(console, video, finding)
        if len(video.findings) > SHOWN_FINDINGS:
            rest = Counter(finding.kind for finding in video.findings[SHOWN_FINDINGS:])
            more = ", ".join(f"{count} {kind}" for kind, count in sorted(rest.items()))
            say(console, f"    and {more}; --json lists all")
    for line in _limits(audit):
        say(console, line)
    say(console, _verdict(audit))


def _table(audit: Audit) -> Table:
    table = Table("video", "windows", "compared", "findings", box=None, pad_edge=False)
    for name in ("windows", "compared", "findings"):
        column = next(each for each in table.columns if each.header == name)
        column.justify = "right"
    for video in audit.videos:
        findings = str(len(video.findings))
        table.add_row(
            escape(printable(video.id)),
            str(video.windows),
            "-" if video.not_compared else str(video.compared),
            f"[red]{findings}[/]" if video.findings else findings,
        )
    return table


def _print_finding(console: Console, video: VideoAudit, finding: AuditFinding) -> None:
    where = printable(video.id)
    if finding.window is not None:
        where += f" window {finding.window} ({finding.key})"
    labelled(console, where, f": {printable(finding.text)}", "red")


def _limits(audit: Audit) -> list[str]:
    """What was not, or could not be, compared."""
    lines = [
        f"{printable(video.id)}: not compared: {printable(video.not_compared)}"
        for video in audit.videos
        if video.not_compared
    ]
    lines += [
        f"{printable(video.id)}: {printable(note)}"
        for video in audit.videos
        for note in video.notes
    ]
    blind = sum(video.blind for video in audit.videos)
    if blind:
        total = sum(video.compared for video in audit.videos)
        lines.append(
            f"{blind} of {total} windows look the same a frame earlier and later: there, a shift "
            "by a frame would not be seen"
        )
    return lines


def _verdict(audit: Audit) -> str:
    seen = [video for video in audit.videos if not video.not_compared]
    windows = sum(video.windows for video in seen)
    what = f"{windows} windows of {len(seen)} videos (of {audit.videos_with_windows})"
    if not seen and not audit.findings:
        return f"nothing was compared of {len(audit.videos)} videos, and nothing else is wrong"
    if not audit.findings:
        return f"{what} agree with a plain decode of {printable(audit.source)}"
    wrong = sum(bool(video.findings) for video in audit.videos)
    return f"{audit.findings} findings in {wrong} videos; {what} were compared"
