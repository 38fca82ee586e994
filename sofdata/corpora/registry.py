"""The corpora that sofdata reads. To add one, write its module and put it here."""

from __future__ import annotations

import difflib

from sofdata.corpora.base import Corpus, DemonstrationCorpus, Listing
from sofdata.corpora.ego4d import Ego4D
from sofdata.corpora.epic import EpicKitchens
from sofdata.corpora.folder import Folder
from sofdata.corpora.howto import HowTo100M
from sofdata.corpora.kinetics import Kinetics
from sofdata.corpora.lerobot import LeRobot
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.panda import Panda70M
from sofdata.corpora.redaction import kept_out
from sofdata.corpora.ssv2 import SomethingSomethingV2
from sofdata.corpora.video2dataset import Video2Dataset
from sofdata.errors import ConfigError
from sofdata.storage import Tree

AUTO = "auto"

# "auto" takes the first that recognises the source; the folder takes all, so it comes last.
CORPORA: tuple[Corpus, ...] = (
    SomethingSomethingV2(),
    LeRobot(),
    Ego4D(),
    EpicKitchens(),
    Manifest(),
    Panda70M(),
    HowTo100M(),
    Kinetics(),
    Video2Dataset(),
    Folder(),
)


def find_corpus(tree: Tree, name: str = AUTO) -> tuple[Corpus, str]:
    """The corpus adapter to use, and why.

    name: one of `CORPORA`, or "auto" to look at the source.
    Raises `ConfigError` for a source that does not exist and for an unknown name.
    """
    if not tree.is_local and "?" in tree.url:
        raise ConfigError(
            f"{tree.name} is given with a query, which may be secret and would have to be stored; "
            "download the file, or set credentials as fsspec reads them"
        )
    if not tree.exists():
        raise ConfigError(
            f"there is nothing at {tree.name}, or you may not look there; expected a folder of"
            " videos or one video file"
        )
    if name != AUTO:
        return _named(name), f"--corpus {name}"
    for corpus in CORPORA:
        why = corpus.detect(tree)
        if why:
            return corpus, why
    raise AssertionError("the last corpus takes every source")


def list_source(corpus: Corpus, tree: Tree, with_actions: bool) -> Listing:
    """What a source holds; with its actions only if they are asked for.

    Whatever the corpus, what Ego4D redacts is kept out of it: see `sofdata.corpora.redaction`.

    Raises `ConfigError` as the corpus does, and where actions are asked for that it cannot have.
    """
    if isinstance(corpus, Ego4D) and not with_actions:
        return corpus.listing(tree)  # which keeps it out itself, by the same means
    if not with_actions:
        return kept_out(tree, corpus.listing(tree))
    return kept_out(tree, demonstration_corpus(corpus.name).demonstrations(tree))


def demonstration_corpus(name: str) -> DemonstrationCorpus:
    """The adapter of a corpus with actions. Raises `ConfigError` for one that has none."""
    corpus = _named(name)
    if isinstance(corpus, DemonstrationCorpus):
        return corpus
    known = ", ".join(each.name for each in CORPORA if isinstance(each, DemonstrationCorpus))
    raise ConfigError(
        f"the corpus '{name}' holds no actions: leave out --with-actions, or give a source that "
        f"has them ({known})"
    )


def _named(name: str) -> Corpus:
    known = {corpus.name: corpus for corpus in CORPORA}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, [AUTO, *known], n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ConfigError(f"unknown corpus '{name}'{hint}; known: {', '.join([AUTO, *known])}")
