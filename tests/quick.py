"""Which tests are quick: `make quick` runs those alone, in a minute or two on one core.

A test is quick if it starts no process and no server, decodes no film, ingests nothing, trains
nothing, runs no script of benchmarks/, and needs nothing that takes a session to make. That is read
off what its module and the helpers below tests/ import, and off its fixtures, so that nobody keeps
a list: a new test is sorted by itself.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A module that imports one of these, or something in it, is not quick.
SLOW_IMPORTS = (
    "http.server",
    "importlib.util",
    "multiprocessing",
    "ray",
    "socket",
    "sofdata.ingest.run",
    "sofdata.ingest.unit",
    "sofdata.scenes",
    "sofdata.train.loop",
    "sofdata.train.run",
    "sofdata.video.isolate",
    "sofdata.video.reader",
    "subprocess",
    "tests.helpers.can_draw",
    "tests.helpers.ingest",
    "tests.helpers.script",
    "tests.helpers.sofdata",
    "tests.s3",
)
TRAINS = "optim"  # as in torch.optim
# Fixtures of the whole session that cost nothing.
CHEAP = ("request", "state", "tmp_path_factory")


@cache
def is_quick_module(path: Path) -> bool:
    """Whether the tests of a module may be quick, by what it imports."""
    found = imported_with_helpers(path)
    slow = any(f"{name}.".startswith(f"{each}.") for name in found for each in SLOW_IMPORTS)
    return not slow and TRAINS not in _names(path)


def is_quick(item: pytest.Item) -> bool:
    """Whether a test of such a module is quick, by its marks and fixtures."""
    if any(item.get_closest_marker(name) for name in ("shared", "slow")):
        return False
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no other name
    session = {name for name, found in fixtures.items() if found[-1].scope == "session"}
    return session <= {*CHEAP}


def imported_with_helpers(path: Path, seen: frozenset[Path] = frozenset()) -> set[str]:
    """All that a module of tests imports, and that the helpers import which it uses."""
    found: set[str] = set()
    for name in _imports(path):
        found.add(name)
        helper = ROOT / f"{name.replace('.', '/')}.py"
        # What helpers.py imports says nothing: few of its functions ingest or start a process.
        is_helper = name.startswith("tests.") and name != "tests.helpers" and helper.is_file()
        if is_helper and helper not in seen:
            found |= imported_with_helpers(helper, seen | {path, helper})
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return frozenset(found)


def _names(path: Path) -> set[str]:
    """The attributes that a module reads, such as optim in torch.optim.AdamW."""
    return {node.attr for node in ast.walk(_tree(path)) if isinstance(node, ast.Attribute)}
