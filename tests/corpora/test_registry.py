"""The right corpus is found, or the user learns what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora.base import SequenceCorpus
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.registry import CORPORA, find_corpus
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree


def test_any_folder_is_a_folder_of_videos(tmp_path: Path) -> None:
    corpus, why = find_corpus(Tree(str(tmp_path)))
    assert corpus.name == "folder"
    assert why


@pytest.mark.parametrize("corpus", [each for each in CORPORA if isinstance(each, SequenceCorpus)])
def test_what_is_said_of_pictures_of_other_kinds_is_refused(
    tmp_path: Path, corpus: SequenceCorpus
) -> None:
    values: dict[str, Any] = {"fps": 5.0, "times": "t", "unit": "ms", "range": "0..1"}
    values |= {"clock": "log", "actions": "/a", "camera": "observation.images.top"}
    own = {name: values[name] for name in corpus.settings}
    find_corpus(Tree(str(tmp_path)), corpus.name, sequences=SequenceConfig(**own, turn="flip"))
    for name in values.keys() - {*corpus.settings}:
        idle = SequenceConfig(**{name: values[name]})
        with pytest.raises(ConfigError, match=rf"sequences\.{name} is set, .* means nothing"):
            find_corpus(Tree(str(tmp_path)), corpus.name, sequences=idle)


def test_a_corpus_can_be_named(tmp_path: Path) -> None:
    for corpus in CORPORA:
        assert find_corpus(Tree(str(tmp_path)), corpus.name)[0] == corpus


def test_an_unknown_corpus_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'ssv2'.*auto, ssv2, lerobot, .*folder"):
        find_corpus(Tree(str(tmp_path)), "sssv2")


def test_a_source_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing at .*gone"):
        find_corpus(Tree(str(tmp_path / "gone")))


def test_every_corpus_has_a_one_line_summary() -> None:
    assert all(corpus.summary and "\n" not in corpus.summary for corpus in CORPORA)


def test_a_url_whose_query_may_be_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="query") as error:
        find_corpus(Tree("memory://corpus/a/b.mp4?token=SECRET"))
    assert "SECRET" not in str(error.value)
