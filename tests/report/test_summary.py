"""`sofdata.report.summary`: what a hostile name may do to a terminal, and when a hint is given."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sofdata.ingest.verify import Finding, Remedy, Verdict
from sofdata.report.summary import SAME_CRASHES, print_verdict, same_crash


def test_a_finding_moves_no_cursor() -> None:
    found = Finding("ledger/\x1b[2J.json", "a\rb [red]c", Remedy.NONE)
    out = io.StringIO()
    print_verdict(Console(file=out, width=200), Verdict((found,), 0, 0, 0))
    assert out.getvalue().startswith(r"ledger/\x1b[2J.json: a\rb [red]c")


@pytest.mark.parametrize(
    ("done", "details", "hinted"),
    [
        (0, ["TypeError: x"] * SAME_CRASHES, True),
        (1, ["TypeError: x"] * SAME_CRASHES, False),
        (0, ["TypeError: x"] * (SAME_CRASHES - 1), False),
        (0, [*["TypeError: x"] * SAME_CRASHES, "SIGSEGV"], False),
        (0, [], False),
    ],
)
def test_an_installation_is_doubted_only_where_every_decoding_process_ended_alike(
    done: int, details: list[str], hinted: bool
) -> None:
    dataset: Any = SimpleNamespace(counts=SimpleNamespace(done=done))
    rejects = [{"reason": "decoder_crash", "detail": detail} for detail in details]
    other = {"reason": "empty_file", "detail": "0 bytes"}
    assert ("installation" in same_crash(dataset, [other, *rejects])) == hinted
