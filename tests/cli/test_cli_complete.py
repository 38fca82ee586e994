"""Completion, by what bash and zsh send to the command and get from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sofdata.cli.complete import join_words

PROGRAM = (
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'sofdata'; from sofdata.__main__ import main; main()",
)


def completed(words: str, shell: str = "bash") -> list[str]:
    """What is offered for the last of these words, as the shell splits them."""
    parts = words.split(" ")
    sent = {
        "bash": {"COMP_WORDS": "\n".join(parts), "COMP_CWORD": str(len(parts) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
    }
    environment = {**os.environ, "_SOFDATA_COMPLETE": f"complete_{shell}", **sent[shell]}
    done = subprocess.run(PROGRAM, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sofdata ver", ["verify"]),
        ("sofdata bench co", ["collect"]),
        ("sofdata ingest --dry", ["--dry-run"]),
        ("sofdata ingest a b --recipe ego", ["ego4d", "egocentric"]),
        ("sofdata ingest a b --recipe = ego", ["ego4d", "egocentric"]),
        ("sofdata train all --recipe s", ["small"]),
        ("sofdata train pl", ["planner"]),
        ("sofdata ingest --corpus k", ["kinetics"]),
        ("sofdata ingest --engine i", ["inline"]),
        ("sofdata bench run --preset st", ["standard"]),
        ("sofdata bench collect --suite p", ["pushing"]),
        ("sofdata bench run --held-out fau", ["faucet-open", "faucet-close"]),
        ("sofdata bench run --held-out door-close,pi", ["door-close,pick-place"]),
        ("sofdata bench run --suite pushing --held-out c", ["carry"]),
        ("sofdata bench run --folds a", ["auto"]),
        ("sofdata recipes sm", ["small", "smoke"]),
        ("sofdata ingest --set flow.est", ["flow.estimator="]),
        ("sofdata ingest --set flow.estimator = d", ["dis"]),
        ("sofdata ingest --set flow.estimator =", ["auto", "dis", "farneback"]),
        ("sofdata ingest --set flow.size = 64 --set run.isolate = t", ["true"]),
        ("sofdata ingest --set nothing = ", []),
        ("sofdata ingest --recipe nothing", []),
    ],
)
def test_bash_is_offered_what_can_stand_there(words: str, offered: list[str]) -> None:
    found = completed(words)
    assert [each for each in found if each != "ptlflow:"] == offered


def test_zsh_is_offered_the_whole_setting() -> None:
    assert '"flow.estimator=farneback"' in "".join(
        completed("sofdata ingest --set flow.estimator=f", "zsh")
    )


def test_no_completion_prints_an_error(tmp_path: Path) -> None:
    """A recipe folder that cannot be read must not spoil the user's line."""
    code = (
        "import sofdata.config.recipes as module\n"
        "def fail(*_): raise OSError('no')\n"
        "module.recipes = fail\n"
        "import sys; sys.argv[0] = 'sofdata'; from sofdata.__main__ import main; main()"
    )
    sent = {"COMP_WORDS": "sofdata\ningest\n--recipe\ne", "COMP_CWORD": "3"}
    environment = {**os.environ, "_SOFDATA_COMPLETE": "complete_bash", **sent}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("typed", "joined"),
    [
        ("sofdata ingest a", "sofdata ingest a"),
        ("sofdata ingest --recipe = e", "sofdata ingest --recipe e"),
        ("sofdata ingest --recipe =", "sofdata ingest --recipe "),
        ("sofdata ingest --set a.b = 1 --set c = d", "sofdata ingest --set a.b=1 --set d"),
        ("sofdata ingest --set c", "sofdata ingest --set c"),
        ("sofdata ingest ", "sofdata ingest "),
    ],
)
def test_words_that_bash_has_split_are_joined(typed: str, joined: str) -> None:
    words = typed.split(" ")
    environment = {
        "_SOFDATA_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    join_words(environment)
    assert environment["COMP_WORDS"] == joined.replace(" ", "\n")
    assert environment["COMP_CWORD"] == str(joined.count(" "))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with `sofdata` in bin/."""
    program = tmp_path / "bin" / "sofdata"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom sofdata.__main__ import main\nmain()\n")
    program.chmod(0o755)
    return tmp_path


def in_bash(home: Path, script: str) -> str:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(home), "PATH": path, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout


def test_bash_completes_a_line_with_the_script_that_is_shown(home: Path) -> None:
    script = in_bash(home, "sofdata --show-completion; true")
    assert "complete -o default -F _sofdata_completion sofdata" in script
    (home / "completion.sh").write_text(script)
    line = "COMP_WORDS=(sofdata ingest a b --set flow.estimator = f) COMP_CWORD=7"
    call = '_sofdata_completion sofdata; echo "${COMPREPLY[@]}"'
    assert in_bash(home, f"source {home}/completion.sh; {line}; {call}") == "farneback\n"


def test_the_script_that_python_shows_is_that_of_the_command() -> None:
    words = [sys.executable, "-m", "sofdata", "--show-completion", "bash"]
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert "-F _sofdata_completion sofdata\n" in done.stdout


def test_completion_can_be_installed(home: Path) -> None:
    assert "bash completion installed" in in_bash(home, "sofdata --install-completion; true")
    script = home / ".bash_completions" / "sofdata.sh"
    assert "_sofdata_completion" in script.read_text()
    assert f"source '{script}'" in (home / ".bashrc").read_text()
