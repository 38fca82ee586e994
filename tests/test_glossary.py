"""The glossary names what there is: its classes, settings, files and columns exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sofdata.bench.study.config import BenchConfig
from sofdata.config.section import known_keys
from sofdata.ingest.config import IngestConfig
from sofdata.shards import layout
from sofdata.shards.schema import Counts
from sofdata.train.config import TrainConfig

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
SOURCES = [path.read_text() for path in (ROOT / "sofdata").rglob("*.py")]
FILES = {value for name, value in vars(layout).items() if name.isupper()}
OTHERS = {".lock", "split.json", "cells", "strips", "pipelines", "docs"}  # top-level names
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GLOSSARY.read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| term", "|---"))
]


def exists(name: str) -> bool:
    """Whether there is a class, a setting, a count, a file or a command of that name."""
    if name.startswith("sofdata "):
        return True  # tests/cli/test_cli_help.py proves commands
    if name.startswith("counts."):
        return name.removeprefix("counts.") in Counts.model_fields
    if re.fullmatch(r"[A-Z]\w+", name):
        return any(re.search(rf"^(class )?{name}\b( =|\(|:)", text, re.M) for text in SOURCES)
    if name in FILES or name.split("/")[0] in FILES | OTHERS:
        return True
    sections = (IngestConfig, TrainConfig, BenchConfig)
    if any(name in known_keys(section) for section in sections):
        return True
    return any(f"    {name}: " in text for text in SOURCES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_refers_to_exists(row: list[str]) -> None:
    assert len(row) == 3
    names = re.findall(r"`([^`]+)`", row[2])
    assert names
    assert [name for name in names if not exists(name)] == []


def test_no_term_is_defined_twice() -> None:
    terms = [row[0] for row in ROWS]
    assert len(set(terms)) == len(terms)


def test_links_lead_to_headings() -> None:
    text = GLOSSARY.read_text()
    for file, heading in re.findall(r"\]\(([\w.]+)#([\w-]+)\)", text):
        headings = re.findall(r"^#+ (.+)$", (GLOSSARY.parent / file).read_text(), re.M)
        assert heading in {each.lower().replace(" ", "-") for each in headings}


def test_the_checks_would_notice() -> None:
    assert not exists("NoSuchClass")
    assert not exists("flow.nothing")
    assert not exists("counts.nothing")
