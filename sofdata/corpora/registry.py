"""The corpora that sofdata reads. To add one, write its module and put it here."""

from __future__ import annotations

import os

from sofdata.corpora.agibot.corpus import AgiBotWorld
from sofdata.corpora.alone import refuse_other_files
from sofdata.corpora.base import Corpus, DemonstrationCorpus, Listing, SequenceCorpus
from sofdata.corpora.config import ManifestConfig, SequenceConfig
from sofdata.corpora.droid.corpus import Droid
from sofdata.corpora.ego4d.corpus import Ego4D
from sofdata.corpora.ego4d.redaction import apply_redaction
from sofdata.corpora.egoexo4d.corpus import EgoExo4D
from sofdata.corpora.epic import EpicKitchens
from sofdata.corpora.folder import FolderCorpus
from sofdata.corpora.howto import HowTo100M
from sofdata.corpora.kinetics import Kinetics
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.panda import Panda70M
from sofdata.corpora.sequences.frames import FrameFolders
from sofdata.corpora.sequences.hdf5 import Hdf5Files
from sofdata.corpora.sequences.mcap import McapRecordings
from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.corpora.sequences.rosbag import RosBags
from sofdata.corpora.sequences.shown import shown_as
from sofdata.corpora.sequences.zarr import ZarrStores
from sofdata.corpora.ssv2 import SomethingSomethingV2
from sofdata.corpora.video2dataset import Video2Dataset
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.urls import has_query
from sofdata.system.nearest import did_you_mean

AUTO = "auto"

# "auto" takes the first that recognises the source; the folder takes all, so it comes last.
CORPORA: tuple[Corpus, ...] = (
    SomethingSomethingV2(),
    LeRobot(),
    Ego4D(),
    EgoExo4D(),
    Droid(),
    AgiBotWorld(),
    EpicKitchens(),
    Manifest(),
    Panda70M(),
    HowTo100M(),
    Kinetics(),
    Video2Dataset(),
    RosBags(),
    McapRecordings(),
    Hdf5Files(),
    Rlds(),
    ZarrStores(),
    FrameFolders(),
    FolderCorpus(),
)


def find_corpus(
    tree: Tree,
    name: str = AUTO,
    manifest: ManifestConfig | None = None,
    sequences: SequenceConfig | None = None,
) -> tuple[Corpus, str]:
    """The corpus adapter to use, and why.

    name: one of `CORPORA`, or "auto" to look at the source. manifest: how a table's columns are
    read, if it is one. sequences: what the user says of pictures that are in no video file.

    Raises `ConfigError` for a source that does not exist, for an unknown name, for a single file
    that is plainly no video, and where `manifest` or `sequences` says what nothing heeds.
    """
    if not tree.is_local and has_query(tree.url):
        raise ConfigError(
            f"{tree.name} is given with a query, which may be secret and would have to be stored; "
            "download the file, or set credentials as fsspec reads them"
        )
    if not tree.exists():
        raise ConfigError(
            f"there is nothing at {tree.name}, or you may not look there; expected a folder of"
            " videos or one video file"
        )
    if tree.is_local and not os.path.isdir(tree.root) and not tree.is_file():
        raise ConfigError(f"{tree.name} is neither a folder nor a file, but a device or the like")
    if tree.is_local and os.path.isdir(tree.root) and not os.access(tree.root, os.R_OK | os.X_OK):
        raise ConfigError(
            f"you may not look into {tree.name}: ask for the right to read and enter it"
        )
    corpus, why = _find(tree, name, manifest or ManifestConfig())
    if isinstance(corpus, SequenceCorpus):
        _check_heeded(tree, corpus, why, sequences or SequenceConfig())
        return corpus.configured(sequences or SequenceConfig()), why
    if sequences not in (None, SequenceConfig()):
        raise ConfigError(
            f"sequences.* is set, but {tree.name} is read as {corpus.name} ({why}), whose videos "
            "have times of their own; leave it out, or name the corpus of its pictures: --corpus"
        )
    if isinstance(corpus, FolderCorpus):
        refuse_other_files(tree)
    return corpus, why


def _find(tree: Tree, name: str, config: ManifestConfig) -> tuple[Corpus, str]:
    if name == Manifest.name or (name == AUTO and config.decides):
        why = f"--corpus {name}" if name != AUTO else "the settings manifest.* say so"
        return _configured(_named(Manifest.name), config), why
    found = (_named(name), f"--corpus {name}") if name != AUTO else _detected(tree, config)
    if found[0].name != Manifest.name and config != ManifestConfig():
        raise ConfigError(
            f"manifest.* is set, but {tree.name} is read as {found[0].name} ({found[1]}); leave it "
            "out, or name the table and its column: manifest.table, manifest.uri"
        )
    return found


def _configured(corpus: Corpus, config: ManifestConfig) -> Corpus:
    own = isinstance(corpus, Manifest) and config != ManifestConfig()
    return Manifest(config) if own else corpus


def _detected(tree: Tree, config: ManifestConfig) -> tuple[Corpus, str]:
    for each in CORPORA:
        corpus = _configured(each, config)
        why = corpus.detect(tree)
        if why:
            return corpus, why
    raise AssertionError("the last corpus takes every source")


def _check_heeded(tree: Tree, corpus: SequenceCorpus, why: str, config: SequenceConfig) -> None:
    """Raise `ConfigError` for what is said of pictures of other kinds."""
    said = {name for name, value in config if value != getattr(SequenceConfig(), name)}
    heeded = (*corpus.settings, *config.shown)
    if idle := sorted(said.difference(heeded)):
        names = ", ".join(f"sequences.{name}" for name in idle)
        own = ", ".join(f"sequences.{name}" for name in heeded)
        raise ConfigError(
            f"{names} is set, but {tree.name} is read as {corpus.name} ({why}), for which that "
            f"means nothing; leave it out. What counts here: {own}"
        )


def list_source(
    corpus: Corpus,
    tree: Tree,
    with_actions: bool,
    with_state: bool = False,
    sequences: SequenceConfig | None = None,
) -> Listing:
    """What a source holds; with its actions, and the robot's state, only if they are asked for.

    Whatever the corpus, what Ego4D redacts is kept out of it: see
    `sofdata.corpora.ego4d.redaction`.

    sequences: says how pictures are to be turned, and which colour comes first.

    Raises `ConfigError` as the corpus does, and where actions are asked for that it cannot have, or
    pictures are to be turned of which there are none.
    """
    if isinstance(corpus, Ego4D) and not with_actions:
        return corpus.listing(tree)  # which keeps it out itself, by the same means
    if not with_actions:
        listing = corpus.listing(tree)
    else:
        if not isinstance(corpus, DemonstrationCorpus):
            corpus = demonstration_corpus(corpus.name)  # raises, and names those that have some
        listing = corpus.demonstrations(tree, with_state)
    return apply_redaction(tree, shown_as(listing, sequences or SequenceConfig()))


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
    names = [AUTO, *known]
    raise ConfigError(
        f"unknown corpus '{name}'{did_you_mean(name, names) or '.'} Known: {', '.join(names)}"
    )
