"""Help: every command shows examples, each of which is a command that can be given."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sofdata.cli.app import app
from tests.helpers import sofdata

ROOT: Any = get_command(app)


def commands(command: Any = ROOT, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group of commands."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


def found(words: tuple[str, ...]) -> Any:
    command = ROOT
    for word in words:
        command = command.commands[word]
    return command


def shown(*words: str) -> list[str]:
    """The example lines of a command's help, in a terminal of 80 columns."""
    environment = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    done = sofdata(*words, "--help", env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    return [line for line in lines if line.startswith("sofdata ")]


def parse(line: str) -> None:
    """Parse a whole command as the command line does, without running it.

    Raises what typer raises for an option that there is not, or an argument that is missing.
    """
    command, context, words = ROOT, None, shlex.split(line)
    while True:
        name, *rest = words
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "commands"):
            return
        protected = "_protected_args" if hasattr(context, "_protected_args") else "protected_args"
        words = [*getattr(context, protected), *context.args]
        _, command, rest = command.resolve_command(context, words)
        words = [words[0], *rest]


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words) or "sofdata")
def test_every_help_has_up_to_three_examples_that_parse(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, *examples = found(words).epilog.split("\n\n")
    assert 1 <= len(examples) <= 3
    for line in examples:
        assert line.startswith(" ".join(("sofdata", *words)))
        parse(line)


@pytest.mark.parametrize("words", [(), ("ingest",), ("bench",), ("bench", "freeze")])
def test_examples_are_shown_whole(words: tuple[str, ...]) -> None:
    """A line that were broken, or taken for markup, could not be copied."""
    _, *examples = found(words).epilog.split("\n\n")
    assert shown(*words) == examples


def test_no_example_is_too_long_or_markup() -> None:
    for words in commands():
        for line in found(words).epilog.split("\n\n"):
            assert len(line) <= 78
            assert "[" not in line


@pytest.mark.parametrize(
    "line", ["sofdata verify", "sofdata ingest a b --recipes x", "sofdata bench table"]
)
def test_what_is_no_command_does_not_parse(line: str) -> None:
    with pytest.raises(Exception, match=r"Missing|No such option") as error:
        parse(line)
    assert type(error.value).__name__ in ("MissingParameter", "NoSuchOption")


def test_version_names_the_packages_that_results_depend_on() -> None:
    done = sofdata("--version")
    assert done.returncode == 0
    versions = dict(line.split() for line in done.stdout.splitlines())
    assert list(versions)[:2] == ["sofdata", "Python"]
    assert {"numpy", "pyarrow"} <= versions.keys()


def test_version_imports_none_of_them() -> None:
    code = (
        "import sys; from sofdata.cli.ending import versions; versions()\n"
        "print(sorted({'numpy', 'pyarrow', 'av', 'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
