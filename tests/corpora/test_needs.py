"""What a corpus needs is said with whether it is here, and what installs it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sofdata.corpora.agibot.corpus import AgiBotWorld
from sofdata.corpora.folder import FolderCorpus
from sofdata.corpora.needs import Needs, needs_of
from sofdata.corpora.registry import CORPORA
from sofdata.video.sequences.formats import FORMATS, SequenceFormat


@dataclass(frozen=True)
class Odd(FolderCorpus):
    """A corpus of two formats."""

    formats: tuple[str, ...] = ("here", "odd")


@pytest.fixture(autouse=True)
def formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "here", SequenceFormat("nowhere", ("numpy",), "numbers"))
    monkeypatch.setitem(FORMATS, "odd", SequenceFormat("nowhere", ("oddly_named",), "oddity"))


def test_a_folder_of_videos_needs_nothing() -> None:
    assert needs_of(FolderCorpus()) == Needs()
    assert Needs().text == ""


def test_what_is_missing_is_named_with_what_installs_it() -> None:
    found = needs_of(Odd())
    assert found == Needs(
        ("numpy", "oddly_named"), ("oddly_named",), "pip install 'sofdata[oddity]'"
    )
    assert found.text == (
        "needs numpy, oddly_named; not installed: oddly_named: pip install 'sofdata[oddity]'"
    )


def test_what_is_here_is_said_to_be() -> None:
    assert needs_of(Odd(formats=("here",))).text == "needs numpy: installed"


def test_what_actions_alone_need_is_said_so() -> None:
    found = needs_of(AgiBotWorld())
    assert (found.packages, found.only_with_actions) == (("h5py",), True)
    assert found.text.startswith("needs h5py with --with-actions")


def test_every_format_is_read_by_a_corpus_that_says_what_it_needs() -> None:
    said = {package for corpus in CORPORA for package in needs_of(corpus).packages}
    own = {name for name in FORMATS if name not in ("here", "odd")}
    assert said == {package for name in own for package in FORMATS[name].needs}
