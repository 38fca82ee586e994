"""What the documentation says of results is what the committed cells give."""

from __future__ import annotations

from pathlib import Path

from sofdata.bench.results.table import BEGIN, END, comparable, table

ROOT = Path(__file__).parents[2]


def test_the_page_of_results_has_the_table_of_the_committed_cells() -> None:
    chosen = comparable([str(ROOT / "benchmarks" / "results")])
    made = table([result for alike, _ in chosen for result in alike])
    page = (ROOT / "docs" / "results.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == made
