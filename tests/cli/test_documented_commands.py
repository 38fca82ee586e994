"""Commands in README and the documents are commands that can be given: options, presets, settings,
and the names of a study's variants."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sofdata.bench.collect.config import CollectConfig
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.datasets import Choice, check_fit
from sofdata.cli.app import app
from sofdata.config.recipes import load_section
from sofdata.ingest.config import load_config
from sofdata.train.config import load_train_config
from tests.cli.test_cli_help import parse
from tests.helpers import script

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "benchmarks" / "study"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), STUDY / "README.md"]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_REMARK = re.compile(r"\s{2,}.*|\s#\s.*")  # what stands beside a command
_SHORTENED = re.compile(r"\.\.\.(?!')|\[-|\w\|\w| \| |COMMAND|WHAT")  # a sketch of a command
_ONE_EACH = ("--set", "--suite")  # options of a study's scripts with one value
_SUITES = ("metaworld", "scene", "scene-2")


def blocks(page: Path) -> Iterator[str]:
    """Commands in a page's blocks, without what is remarked of them."""
    for block in _BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("sofdata ", "python ")) and not _SHORTENED.search(line):
                yield _REMARK.sub("", line)


def inline(page: Path) -> Iterator[str]:
    """Commands in a page's sentences and tables."""
    for text in _INLINE.findall(_BLOCK.sub("", page.read_text())):
        yield " ".join(text.split())


def documented(start: str, *pages: Path) -> list[tuple[str, str]]:
    """Commands that begin so, each with the name of its page."""
    found = [
        (page.name, line) for page in pages or PAGES for line in (*blocks(page), *inline(page))
    ]
    return [(name, line) for name, line in found if line.startswith(start)]


def variants(line: str) -> Iterator[str]:
    """What a command of a study's script names after two folders and a suite."""
    words, folders = iter(shlex.split(line)[2:]), 2
    for word in words:
        if word in _ONE_EACH:
            next(words)
        elif word.startswith("--"):
            return  # --arms, --seeds: values to the end
        elif folders:
            folders -= 1
        elif word not in (*_SUITES, "NAME", "NAMES", "..."):
            yield word


def settings(line: str) -> list[str]:
    """What a command gives with --set."""
    words = shlex.split(line)
    return [given for word, given in itertools.pairwise(words) if word == "--set"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_blocks_have_the_options_and_arguments_that_they_show(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in blocks(page):
        if not re.match(r"sofdata \w", line):  # `sofdata --version` answers where it is parsed
            continue
        try:
            parse(line)
        except Exception as error:  # noqa: BLE001 - whatever the command line says of it
            pytest.fail(f"{page.name}: {line}: {error}")


def test_there_are_such_commands() -> None:
    assert len(documented("sofdata ")) > 100
    assert len(documented("sofdata bench run --data")) > 10


@pytest.mark.parametrize(("page", "line"), documented("sofdata bench run --data"))
def test_runs_of_the_benchmark_lack_nothing_but_a_collection(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    said = str(done.exception or done.output)
    assert re.search(r"(collect|play)\.json does not exist", said), (page, line, said)


@pytest.mark.parametrize(
    ("page", "line"), documented("sofdata ingest ") + documented("sofdata rewindow ")
)
def test_settings_of_ingest_are_settings(page: str, line: str) -> None:
    load_config(None, settings(line))


@pytest.mark.parametrize(("page", "line"), documented("sofdata train "))
def test_settings_of_training_are_settings(page: str, line: str) -> None:
    load_train_config(None, settings(line))


@pytest.mark.parametrize(("page", "line"), documented("sofdata bench collect "))
def test_settings_of_collecting_are_settings(page: str, line: str) -> None:
    load_section(CollectConfig, None, settings(line))


def test_datasets_that_are_shown_to_be_compared_fit_the_run_that_compares_them() -> None:
    page = (ROOT / "docs" / "benchmark.md").read_text()
    (run,) = re.findall(r"^sofdata bench run .*--videos plain.*$", page, re.MULTILINE)
    (ingest,) = re.findall(r"^sofdata ingest clips plain .*$", page, re.MULTILINE)
    ours = load_bench_config("standard", settings(run))
    theirs = load_config(None, [*settings(ingest), "windows.static_px=0.3"])
    check_fit(Choice("sieved", "sieved"), theirs, ours, 30)


@pytest.mark.parametrize("name", ["ceiling", "motion", "planning", "transfer", "data", "sweep"])
def test_variants_that_are_named_are_there(name: str) -> None:
    study = script(f"study/{name}")
    known = set(getattr(study, "VARIANTS", ())) | set(getattr(study, "AROUND", ()))
    known |= set(getattr(study, "CHOICES", ()))
    found = documented(f"python benchmarks/study/{name}.py ", *PAGES, STUDY / "LOG.md")
    assert [each for _, line in found for each in variants(line) if each not in known] == []
    assert [name for _, line in found for name in variants(line)]
