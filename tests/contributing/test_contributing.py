"""The examples of CONTRIBUTING.md work: each is added as the page says, and its own tests pass.

The first line of a block says where it belongs: a new module, "in" a module that is there, or a
module of tests.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
_BLOCK = re.compile(r"^```python\n# (in )?(\S+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of the page. edits: whether its module is there already."""

    edits: bool
    module: str
    code: str


class Example(NamedTuple):
    """One addition to the package, and the tests that the page gives for it."""

    added: tuple[Block, ...]
    tests: Block


def examples() -> Iterator[Example]:
    """All examples of the page: blocks up to and with one of tests."""
    added: list[Block] = []
    for edits, path, code in _BLOCK.findall(PAGE.read_text()):
        block = Block(bool(edits), path.replace("/", "."), code)
        if block.module.startswith("tests."):
            yield Example(tuple(added), block)
            added = []
        else:
            added.append(block)
    assert not added, f"no tests follow {added}"


def run(block: Block, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Execute a block where it belongs, until the end of the test."""
    if block.edits:
        module = importlib.import_module(block.module)
        for name, value in list(vars(module).items()):
            if name.isupper():  # the tables that examples add to
                monkeypatch.setattr(module, name, copy.copy(value))
        before = set(vars(module))
    else:
        module = ModuleType(block.module)
        before = set(vars(module))
        monkeypatch.setitem(sys.modules, block.module, module)
    exec(compile(block.code, f"{PAGE.name}: {block.module}", "exec"), vars(module))
    for name in vars(module).keys() - before:  # so that they go with the test
        monkeypatch.setattr(module, name, vars(module).pop(name), raising=False)
    return module


def cases(module: ModuleType) -> Iterator[tuple[Callable[..., None], dict[str, Any]]]:
    """The tests of a module, and the values of their parameters."""
    for name, test in list(vars(module).items()):
        if name.startswith("test_"):
            marks = [each.args for each in getattr(test, "pytestmark", ())]
            values = ([{names: value} for value in given] for names, given in marks)
            for chosen in itertools.product(*values):
                yield test, {name: value for each in chosen for name, value in each.items()}


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.tests.module)
def test_an_example_works_as_it_stands(
    example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for block in example.added:
        run(block, monkeypatch)
    found = list(cases(run(example.tests, monkeypatch)))
    for number, (test, values) in enumerate(found):
        if "tmp_path" in inspect.signature(test).parameters:
            values["tmp_path"] = tmp_path / str(number)
            values["tmp_path"].mkdir()
        test(**values)
    assert found


def test_there_is_an_example_of_each_addition() -> None:
    edited = {block.module for example in examples() for block in example.added if block.edits}
    assert edited == {
        "sofdata.corpora.registry",
        "sofdata.flow.estimator",
        "sofdata.flow.codec",
        "sofdata.bench.study.arms",
    }


def test_the_package_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What examples add is gone when they end: other tests list corpora and estimators."""
    from sofdata.corpora import registry
    from sofdata.flow import codec

    for example in examples():
        with monkeypatch.context() as patch:
            for block in example.added:
                run(block, patch)
    assert "steps" not in {corpus.name for corpus in registry.CORPORA}
    assert "int16" not in codec.CODECS
    assert not hasattr(codec, "zlib")
