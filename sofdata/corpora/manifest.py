"""Manifests: a table of videos, or of spans of them, wherever they lie.

A CSV, TSV, JSONL or Parquet file given as the source itself, or a folder that holds one by the
name of manifest.csv (.tsv, .jsonl, .parquet). Its columns:

    uri              required: a path relative to the manifest, an absolute one, or an fsspec URL
    id               stable name of the input; default: the uri, and the span where there is one
    start_s, end_s   the span to use, in s or as 00:01:02.5; both or none
    text             what is done
    any other        becomes a label, as text
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sofdata.corpora import csvfile, jsonfile
from sofdata.corpora.base import Entry, Listing, suffix
from sofdata.corpora.columns import column_types, read_columns
from sofdata.corpora.spans import Span, span_entry
from sofdata.storage import Tree
from sofdata.uris import public_url
from sofdata.walk import Item

URI = "uri"
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_OWN = (URI, "id", "start_s", "end_s", "text")
Value = str | int | float | bool | None


class Manifest:
    """Each row of a table is an input."""

    name = "manifest"
    summary = "a CSV, TSV, JSONL or Parquet table with a column uri; also id, start_s, end_s, text"
    example = "sofdata ingest clips.csv DEST"

    def detect(self, tree: Tree) -> str:
        found = _find(tree)
        if found is None:
            return ""
        folder, rel = found
        heads = _columns(folder, rel)
        return f"a manifest: {rel} with the columns {', '.join(heads)}" if URI in heads else ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a table that cannot be read, with its row.

        A row whose span is none becomes an entry with the problem "bad_span".
        """
        found = _find(tree)
        if found is None:
            names = ", ".join(f"manifest{end}" for end in SUFFIXES)
            raise jsonfile.wrong(tree, names, "none is there, and the source is no such file")
        folder, rel = found
        return Listing.of((_entry(folder, rel, at, row) for at, row in _rows(folder, rel)), {})


def _find(tree: Tree) -> tuple[Tree, str] | None:
    """The folder that a manifest's uris are relative to, and its name there."""
    if tree.is_file():
        name = tree.root.rsplit("/", 1)[-1]
        return (tree.parent(), name) if suffix(name) in SUFFIXES else None
    names = (f"manifest{end}" for end in SUFFIXES)
    return next(((tree, name) for name in names if tree.exists(name)), None)


def _columns(tree: Tree, rel: str) -> list[str]:
    end = suffix(rel)
    if end == ".parquet":
        return list(column_types(tree, rel))
    if end == ".jsonl":
        return list(next((row for _, row in _json_rows(tree, rel)), {}))
    return csvfile.columns(tree, rel, _delimiter(rel))


def _rows(tree: Tree, rel: str) -> Iterator[tuple[str, dict[str, Value]]]:
    """Each row, and where it stands."""
    end = suffix(rel)
    if end == ".parquet":
        rows = read_columns(tree, rel, _parquet_columns(tree, rel)).to_pylist()
        yield from ((f"row {number}", row) for number, row in enumerate(rows))
    elif end == ".jsonl":
        yield from ((f"line {line}", row) for line, row in _json_rows(tree, rel))
    else:
        for line, cells in csvfile.read_rows(tree, rel, [URI], _delimiter(rel)):
            yield f"line {line}", dict(cells)


def _delimiter(rel: str) -> str:
    return "\t" if suffix(rel) == ".tsv" else ","


def _parquet_columns(tree: Tree, rel: str) -> list[str]:
    """Columns that hold plain values; others, such as lists and bytes, are not read."""
    import pyarrow as pa

    types = column_types(tree, rel)
    if URI not in types:
        raise jsonfile.wrong(tree, rel, f"it lacks the column {URI}; found {', '.join(types)}")
    kinds = ("string", "large_string", "integer", "floating", "boolean")
    plain = [getattr(pa.types, f"is_{kind}") for kind in kinds]
    return [name for name, kind in types.items() if any(fits(kind) for fits in plain)]


def _json_rows(tree: Tree, rel: str) -> Iterator[tuple[int, dict[str, Value]]]:
    for number, row in jsonfile.lines(tree, rel):
        nested = [key for key, value in row.items() if isinstance(value, list | dict)]
        if nested:
            what = f"line {number}: {nested[0]!r} should be a plain value, no list or object"
            raise jsonfile.wrong(tree, rel, what)
        yield number, row


def _entry(tree: Tree, rel: str, at: str, row: dict[str, Value]) -> Entry:
    from fsspec import available_protocols

    uri, id, text = (_text(row.get(name)) for name in (URI, "id", "text"))
    if not uri or "\0" in uri:
        raise jsonfile.wrong(tree, rel, f"{at} needs a {URI}, found {uri!r:.40}")
    if "://" in uri and uri != public_url(uri):
        what = f"{at}: its {URI} holds a user, a query or a fragment, which may be secret and would"
        raise jsonfile.wrong(tree, rel, f"{what} be stored; set credentials as fsspec reads them")
    protocol, remote, _ = uri.partition("://")
    if remote and protocol not in available_protocols():
        what = f"{at}: nothing here reads {protocol[:40]!r}:// URLs; fsspec knows no such"
        raise jsonfile.wrong(tree, rel, what)
    span = _span(tree, rel, at, row)
    if not id:
        id = uri if span is None else f"{uri}#{span[0]:g}-{span[1]:g}"
    labels = {key: _text(value) for key, value in row.items() if key not in _OWN}
    return span_entry(id, Item(uri, 0), span, f"{rel}, {at}", text, labels)


def _span(tree: Tree, rel: str, at: str, row: dict[str, Value]) -> Span | None:
    start, end = (_text(row.get(name)) for name in ("start_s", "end_s"))
    if not start and not end:
        return None
    try:
        return csvfile.seconds(start), csvfile.seconds(end)
    except ValueError as error:
        raise jsonfile.wrong(tree, rel, f"{at}: start_s and end_s: {error}") from None


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # NaN, as pandas has it
        return ""
    return jsonfile.clean(str(value)).strip()
