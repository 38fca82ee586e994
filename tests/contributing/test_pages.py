"""What CONTRIBUTING.md and docs/architecture.md name is there: files, functions, classes, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`((?:sofdata|tests|benchmarks|docs)/[\w./]*)`")
# `sofdata/x.py`: `name`, or `name` in `sofdata/x.py`
_NAME_IN = re.compile(
    r"`(sofdata/[\w/]+\.py)`:\s`([A-Za-z_.]+)`|`([A-Za-z_.]+)`\sin\s`(sofdata/[\w/]+\.py)`"
)
_LINK = re.compile(r"\]\(([^)#:]*)(?:#([\w-]+))?\)")


def prose(page: Path) -> str:
    """A page without its blocks of code, whose files are examples."""
    return _BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub makes anchors of them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def defined(path: Path) -> Iterator[str]:
    """The functions, classes, methods and constants of a module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                yield target.id
        if isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = set(_PATH.findall(prose(page)))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_are_where_the_page_says(page: Path) -> None:
    pairs = {
        (path or other_path, name or other)
        for path, name, other, other_path in _NAME_IN.findall(prose(page))
    }
    assert pairs
    assert [
        f"{path}: {name}"
        for path, name in sorted(pairs)
        if not (ROOT / path).exists() or name not in set(defined(ROOT / path))
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(prose(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {path}#{anchor}"
