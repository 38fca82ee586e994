"""Where videos lie once a dataset has several sources: their uris name all of the way."""

from __future__ import annotations

from collections.abc import Iterable

from sofdata.errors import ConfigError, InputError
from sofdata.ingest.replay import last_source
from sofdata.storage.tree import Tree
from sofdata.storage.uris import from_root


def source_of(dest: Tree) -> Tree | None:
    """Where the videos of a dataset lay when it was made; None where no log of a run says so."""
    try:
        return Tree(last_source(dest), dest.options)
    except (ConfigError, InputError, OSError, ValueError, KeyError):
        return None


def absolute(uris: Iterable[str], source: Tree, as_urls: bool = False) -> list[str]:
    """Uris of a plan, of videos of this source, as they are for whatever source.

    as_urls: paths of this machine as file://, as an object store would not take them otherwise.
    """
    root = source.root if source.is_local else source.name.rstrip("/")
    root = f"file://{root}" if as_urls and source.is_local else root
    return [from_root(uri, root) for uri in uris]
