"""All examples in docstrings run, in a folder with small videos, a dataset and a policy."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sofdata
from tests.worlds import make_world

PACKAGE = Path(sofdata.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _modules() -> Iterator[str]:
    """Those with examples, without importing the others."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__")


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in _modules():
        yield from finder.find(importlib.import_module(name), name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.mark.parametrize("example", list(_examples()), ids=lambda example: example.name)
def test_an_example_prints_what_it_says(
    example: doctest.DocTest, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(example, out=lines.append)
    assert not runner.summarize(verbose=False).failed, "".join(lines)


def test_every_public_function_has_an_example_that_runs() -> None:
    found = {example.name for example in _examples()}
    functions = ("ingest", "load", "load_policy", "train", "verify")
    assert {f"sofdata.api.functions.{name}" for name in functions} <= found
