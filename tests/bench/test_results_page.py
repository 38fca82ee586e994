"""What the documentation says of results is what the committed cells give."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.bench.results.table import BEGIN, END, comparable, table
from tests.helpers import script

ROOT = Path(__file__).parents[2]
LOG = ROOT / "benchmarks" / "study" / "LOG.md"


def between(text: str, mark: str) -> str:
    """What stands between <!-- mark --> and <!-- /mark -->."""
    return text.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0].strip()


def test_the_page_of_results_has_the_table_of_the_committed_cells() -> None:
    chosen = comparable([str(ROOT / "benchmarks" / "results")])
    made = table([result for alike, _ in chosen for result in alike])
    page = (ROOT / "docs" / "results.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == made


@pytest.mark.parametrize(("suite", "mark"), [("metaworld", "goals"), ("scene", "goals scene")])
def test_the_log_has_what_the_first_studys_goals_print(
    suite: str, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script("study/first_goals").main(str(ROOT / f"benchmarks/results/first/{suite}.json"))
    assert between(LOG.read_text(), mark) == capsys.readouterr().out.strip()


def test_the_log_has_what_the_goals_print_once_there_are_results_of_them() -> None:
    noted = between(LOG.read_text(), "goals now")
    if noted:
        rows = script("study/goals").markdown(str(ROOT / "benchmarks/results"))
        assert noted == rows
