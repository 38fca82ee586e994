"""The equations of docs/models.md and the lines of code that implement them name each other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBERED = re.compile(r"^    \((\d+)\)  \S", re.MULTILINE)
CITED = re.compile(r"\bEq\. (\d+)(?: to (\d+))?")


def numbered() -> list[int]:
    return [int(number) for number in NUMBERED.findall((ROOT / "docs/models.md").read_text())]


def cited() -> dict[int, set[str]]:
    """The modules that cite each equation."""
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "sofdata").rglob("*.py")):
        for first, last in CITED.findall(path.read_text()):
            for number in range(int(first), int(last or first) + 1):
                found.setdefault(number, set()).add(path.stem)
    return found


def test_equations_are_numbered_from_one_in_their_order() -> None:
    assert numbered() == list(range(1, len(numbered()) + 1))
    assert len(numbered()) > 20


def test_every_equation_that_the_code_cites_exists() -> None:
    assert not {number: where for number, where in cited().items() if number not in numbered()}


def test_every_equation_is_cited_by_the_code_that_implements_it() -> None:
    assert not set(numbered()) - set(cited())


def test_a_module_that_cites_equations_says_where_they_are() -> None:
    for path in (ROOT / "sofdata").rglob("*.py"):
        text = path.read_text()
        assert not CITED.search(text) or "docs/models.md" in text, path
