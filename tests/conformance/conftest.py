"""Prints the table of combinations after the tests."""

from __future__ import annotations

import pytest

from tests.conformance.table import Table

_TABLE = Table()


@pytest.fixture(scope="session")
def conformance() -> Table:
    """Where each test notes what became of its combination."""
    return _TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every combination that was run, those that could not be made with the reason."""
    lines = list(_TABLE.lines())
    if lines:
        terminalreporter.section("conformance of frames")
        for line in lines:
            terminalreporter.write_line(line)
