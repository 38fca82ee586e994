"""A source that is one file and no video: refused before any work, with what to try."""

from __future__ import annotations

from sofdata.corpora.base import suffix
from sofdata.corpora.content import HEAD_BYTES, OTHER_SUFFIXES, container
from sofdata.corpora.readers import headings
from sofdata.corpora.readers.textfile import is_text
from sofdata.corpora.sequences.found import is_packed
from sofdata.corpora.tablefile import SUFFIXES, SourceTable
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree

# What other files begin with that may hold tables.
_MAGIC = {b"PAR1": "Parquet", b"PK\x03\x04": "a zip file, as Excel's are", b"\x1f\x8b": "gzip"}


def refuse_other_files(tree: Tree) -> None:
    """Raise `ConfigError` where the source is a single file that is plainly no video.

    That is a file of text, or one whose name or first bytes are those of another kind of file. What
    is merely broken, or bears the name of a video and no text, is an input like any other.
    """
    if not tree.is_file():
        return
    name = tree.root.rsplit("/", 1)[-1]
    try:
        with tree.parent().open(name) as handle:
            head = handle.read(HEAD_BYTES)
    except OSError:
        return  # an input that cannot be read
    if container(head):
        return
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    kind = kind or ("text" if is_text(head) else "")
    if kind or suffix(name) in OTHER_SUFFIXES:
        raise ConfigError(_message(tree, name, head, kind))


def _message(tree: Tree, name: str, head: bytes, kind: str) -> str:
    what = f"{tree.name} is no video" + (f" but {kind}" if kind else "")
    if kind and is_packed(name):
        return f"{what}: to read what it holds, unpack it: tar xf {name}"
    heads: list[str] = []
    if kind == "text" or suffix(name) in SUFFIXES:
        try:
            heads = SourceTable(tree.parent(), name, headings.NAMES["uri"]).heads()
        except ConfigError as error:
            return f"{what}: {error}"
    if headings.uri_columns(heads):
        found = ", ".join(heads)[:300]
        return f"{what}: a table with the columns {found}; read it with --corpus manifest"
    if suffix(name) in SUFFIXES or len(heads) > 1:
        message = f"{what}: as a table of videos, {headings.no_uri(heads)}"
        return f"{message}. If it is a table of a corpus, give the folder that also has its videos"
    begins = f", which begins with {head[:40]!r}" if kind == "text" else ""
    return (
        f"{what}{begins}. Expected a video, a folder of videos, or a table with a column uri "
        f"({', '.join(SUFFIXES)}; docs/corpora.md, Manifests); save a sheet of Excel as CSV"
    )
