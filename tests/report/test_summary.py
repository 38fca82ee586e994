"""`sofdata.report.summary`: what a hostile name may do to a terminal, which is nothing."""

from __future__ import annotations

import io

from rich.console import Console

from sofdata.report.summary import print_verdict
from sofdata.shards.verify import Finding, Remedy, Verdict


def test_a_finding_moves_no_cursor() -> None:
    found = Finding("ledger/\x1b[2J.json", "a\rb [red]c", Remedy.NONE)
    out = io.StringIO()
    print_verdict(Console(file=out, width=200), Verdict((found,), 0, 0, 0))
    assert out.getvalue().startswith(r"ledger/\x1b[2J.json: a\rb [red]c")
