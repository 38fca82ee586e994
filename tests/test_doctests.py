"""All examples run: those in docstrings, in a folder with small videos, a dataset and a policy, and
those in examples/, each as a program."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sofdata
from tests.worlds import make_world

PACKAGE = Path(sofdata.__file__).parent
PROGRAMS = sorted((PACKAGE.parent / "examples").glob("*.py"))
# What each of them prints near its end.
PRINTED = {
    "ingest_and_load": "dataset: ",
    "own_environment": "| sof | 1 | 4 |",
    "policy_in_a_loop": "Actions(",
}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _modules() -> Iterator[str]:
    """Those with examples, without importing the others."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__")


def _examples() -> Iterator[doctest.DocTest]:
    """The finder also gives docstrings in which nothing is run."""
    for name in _modules():
        found = doctest.DocTestFinder().find(importlib.import_module(name), name)
        yield from (docstring for docstring in found if docstring.examples)


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
    functions = ("estimate", "ingest", "load", "load_policy", "train", "verify")
    assert {f"sofdata.api.functions.{name}" for name in functions} <= found
    edits = ("append", "merge", "select", "split")
    assert {f"sofdata.api.edits.{name}" for name in edits} <= found


def _run(program: Path, folder: Path, *arguments: str) -> str:
    """What a program prints, that runs in a folder of its own."""
    inherited = {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder), "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=folder,
        env=os.environ | inherited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_in_examples_runs_as_it_is(program: Path, tmp_path: Path) -> None:
    assert PRINTED[program.stem] in _run(program, tmp_path)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_in_examples_explains_itself(program: Path, tmp_path: Path) -> None:
    assert _run(program, tmp_path, "--help").startswith(f"usage: {program.name}")
