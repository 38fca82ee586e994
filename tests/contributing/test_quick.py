"""Which tests are quick is decided by what they use, and they reach every package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import sofdata
from tests.quick import SLOW_IMPORTS, imported_with_helpers, is_quick_module

TESTS = Path(__file__).resolve().parents[1]
# The public functions, edits, rendering, the command line and what watches over processes are
# tested by whole runs.
NOT_REACHED = {"api", "cli", "edits", "scenes", "system", "tools", "ui"}


@pytest.mark.parametrize(
    ("code", "quick"),
    [
        ("import numpy as np", True),
        ("from tests.helpers import hashes", True),
        ("from tests.helpers import hashes, ingest", False),
        ("import subprocess", False),
        ("def test():\n    from http.server import HTTPServer", False),
        ("from tests.ssv2s import packed", True),
        ("import torch\nstep = torch.optim.SGD", False),
    ],
)
def test_a_module_is_quick_by_what_it_imports(tmp_path: Path, code: str, quick: bool) -> None:
    module = tmp_path / "test_one.py"
    module.write_text(code)
    assert is_quick_module(module) is quick


def test_what_helpers_import_counts(tmp_path: Path) -> None:
    module = tmp_path / "test_one.py"
    module.write_text("from tests.cluster import network")
    assert not is_quick_module(module)
    assert "subprocess" in imported_with_helpers(module)


def test_what_makes_a_test_slow_is_there() -> None:
    """A module that is renamed would else make its tests quick."""
    for name in SLOW_IMPORTS:
        module, _, attribute = name.rpartition(".")
        if not module or attribute == "server":
            continue
        found = _exists(name) or hasattr(__import__(module, fromlist=[attribute]), attribute)
        assert found, name


def test_quick_tests_reach_every_package() -> None:
    modules = [path for path in TESTS.rglob("test_*.py") if is_quick_module(path)]
    names = {name for path in modules for name in imported_with_helpers(path)}
    reached = {name.split(".")[1] for name in names if name.startswith("sofdata.")}
    folders = Path(sofdata.__path__[0]).iterdir()
    packages = {path.name for path in folders if (path / "__init__.py").is_file()}
    assert packages - reached <= NOT_REACHED


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
