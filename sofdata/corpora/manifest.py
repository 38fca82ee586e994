"""Manifests: a table of videos, or of spans of them, wherever they lie.

A CSV, TSV, JSON, JSONL or Parquet file given as the source itself, or a folder that holds one by
the name of manifest.csv (.tsv, .jsonl, .parquet). Its columns:

    uri              required: a path relative to the manifest, an absolute one, or an fsspec URL
    id               stable name of the input; default: the uri, and the span where there is one
    start_s, end_s   the span to use, in s or as 00:01:02.5; both or none
    text             what is done
    any other        becomes a label, as text

Other names that are known stand in `headings`. The section `manifest` of the configuration maps
columns of other names, finds files by a column of ids, and names a table within a folder.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard
from urllib.parse import urljoin

from sofdata.corpora.base import Listing, counted, names_in, suffix
from sofdata.corpora.config import ManifestConfig
from sofdata.corpora.content import bare_stream
from sofdata.corpora.entries import Entries
from sofdata.corpora.entry import Entry
from sofdata.corpora.manifest_values import (
    ABSENT,
    name_of,
    other_spelling,
    short_seconds,
    span_of,
    text_of,
    unless_absent,
)
from sofdata.corpora.named_files import NamedFiles
from sofdata.corpora.readers import headings, jsonfile
from sofdata.corpora.readers.headings import Roles, file_of
from sofdata.corpora.spans import Span, span_entry
from sofdata.corpora.tablefile import SUFFIXES, SourceTable
from sofdata.errors import ConfigError, StorageError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, leads_away, named
from sofdata.storage.urls import public_url
from sofdata.storage.walk import LINKED_FOLDER, Item
from sofdata.system.nearest import did_you_mean

MOST_S = 1e15  # so many seconds a number says as its text does
MOST_PLACES = 1 << 14
NAMES = tuple(f"manifest{end}" for end in (".csv", ".tsv", ".jsonl", ".parquet"))


class Manifest:
    """Each row of a table is an input."""

    name = "manifest"
    summary = "a table with a column uri (CSV, JSON, Parquet); also id, start_s, end_s, text"
    example = "sofdata ingest clips.csv DEST"

    def __init__(self, config: ManifestConfig | None = None) -> None:
        self.config = config or ManifestConfig()

    def detect(self, tree: Tree) -> str:
        if self.config.decides:
            return "a manifest, as manifest.* says"
        if tree.is_file() and suffix(tree.root) not in SUFFIXES:
            return ""
        found = _tables(tree, self.config)
        if not found:
            return ""
        if not _names_files(found[0]):
            return ""
        return f"a manifest: {found[0].rel} with the columns {', '.join(found[0].heads())}"

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a table that cannot be read, with its row.

        A row whose span is none becomes an entry with the problem "bad_span", one that several
        files fit "ambiguous_file". Of a folder, all files are gone through.
        """
        tables = _tables(tree, self.config)
        if not tables:
            raise _no_table(tree, self.config)
        return _Rows(tree, tables, self.config).listing()


@dataclass(slots=True)
class _Rows:
    """The rows of all tables, on their way to a listing."""

    tree: Tree
    tables: Sequence[SourceTable]
    config: ManifestConfig
    files: NamedFiles | None = None
    unused: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    absent: Counter[str] = field(default_factory=Counter)
    respelled: list[str] = field(default_factory=list)
    first_away: str = ""
    places: dict[str, Item] = field(default_factory=dict)
    checked: str = ""

    def listing(self) -> Listing:
        self.files = self._look()
        entries = Entries.of(entry for table in self.tables for entry in self._entries(table))
        if not entries and self.first_away:
            raise self._none_found()
        if not entries:
            names = ", ".join(table.rel for table in self.tables)
            raise headings.misread(self.tables[0].tree, names, "no row of it names a file")
        if self.absent:
            counts = ", ".join(f"{each!r} {number}" for each, number in self.absent.most_common())
            self.notes.append(f"{self.absent.total()} x text or time is taken for none: {counts}")
        if self.respelled:
            what = "file is not there as its row spells it, and is read without \\ or %"
            self.notes.append(counted(self.respelled, what))
        tables = [table.rel for table in self.tables]
        if self.files and self.config.table is None and not self.tree.is_file():
            others = [name for name in NAMES if name not in tables and self.tree.exists(name)]
            self.notes += [f"{name} is not read, since {tables[0]} is there" for name in others]
        ignored = self.files.count(tables) if self.files else {}
        return Listing.of(entries, ignored, self.notes, tables=tables, unused=self.unused)

    def _look(self) -> NamedFiles | None:
        """The files that are there: all of a folder, and those that rows are searched among."""
        home, root = self.tables[0].tree, _prefix(self.config)
        if not self.config.searches and self.tree.is_file():
            return None
        try:
            items: list[Item] = []
            if not self.tree.is_file() or not root:
                items += home.walk()
            elif not leads_away(root):
                items += (_below(root, item) for item in home.walk(root[:-1]))
            if leads_away(root) and self.config.searches:
                there = Tree(home.path(named(root[:-1] or "/")), home.options)
                items += (_away(item, root) for item in there.walk())
        except (OSError, StorageError) as error:
            self._cannot_list(str(error))
            return None
        if not items:
            self._cannot_list("it shows no files")
            return None
        return NamedFiles(home, items, root, self.config.searches)

    def _cannot_list(self, why: str) -> None:
        """Go on without looking, where a server does not list its files and rows say enough."""
        if self.config.find == "anywhere":
            raise ConfigError(
                f"the files of {self.tables[0].tree.name} cannot be listed ({why}), so that none "
                "can be found by its name: give manifest.find=path and a whole path as manifest.uri"
            )
        self.notes.append("the files beside the table could not be listed, so none are counted")

    def _entries(self, table: SourceTable) -> Iterator[Entry]:
        """Columns are known from the heading; a JSON object may have some that come later."""
        heads = dict.fromkeys(table.heads())
        roles = headings.roles(table.tree, table.rel, list(heads), self.config)
        unread = sorted({*table.unread()} & {*roles.columns})
        if unread:
            raise jsonfile.wrong(table.tree, table.rel, f"{unread[0]!r} holds no plain values")
        decimal = table.decimal()
        for at, row in table.rows(roles.columns):
            if not row.keys() <= heads.keys():  # a JSON object with a key that none before had
                heads.update(dict.fromkeys(row))
                roles = headings.roles(table.tree, table.rel, list(heads), self.config)
            found = _Row(table, at, roles, row, decimal)
            if (entry := self._entry(found)) is None:
                continue
            if absent := found.absent():
                self.absent[absent] += 1
            yield entry
        if note := headings.doubtful(roles):
            self.notes.append(f"{table.rel}: {note}")

    def _entry(self, row: _Row) -> Entry | None:
        """A row as an entry; None for one whose file is looked for and not there."""
        name = row.uri()
        if not name and self.config.searches:
            self.unused[f"row of {row.table.rel} that names no file"] += 1
            return None
        if name != self.checked:  # spans of a file often follow each other
            row.check(name)
            self.checked = name
        if self.files is None or not self.config.searches or _is_absolute(name):
            self._check_reach(row, name)
            root = "" if _is_absolute(name) else _prefix(self.config)
            return row.entry(name, [self._at(row, root + name)])
        anywhere = self.config.find == "anywhere"
        found = self.files.find(posixpath.normpath(name), anywhere)
        if not found and (other := other_spelling(name)):
            found = self.files.find(posixpath.normpath(other), anywhere)
            self.respelled += [name] * bool(found)
        if not found:
            self.first_away = self.first_away or f"{row.at}: {name}"
            self.unused[f"row of {row.table.rel} without a file here"] += 1
            return None
        return row.entry(name, found)

    def _at(self, row: _Row, uri: str) -> Item:
        """The file at a path or a URL, which may be elsewhere: what is known of it."""
        home = row.table.tree
        spelled = self._spelled(home, uri)
        if spelled not in self.places:  # many rows name the same file, as spans of it
            if len(self.places) >= MOST_PLACES:
                self.places.clear()
            self.places[spelled] = self._look_at(home, _resolved(home, spelled))
        return self.places[spelled]

    def _look_at(self, home: Tree, uri: str) -> Item:
        here = home.root if home.is_local else home.url.rstrip("/")
        path = uri.removeprefix("file://").removeprefix("local://") if home.is_local else uri
        if home.is_local and path.startswith("/") and not path.startswith(f"{here}/"):
            path = path.removeprefix(f"{os.path.realpath(here)}/")
        inside = path.removeprefix(f"{here}/")
        item = None
        if self.files:
            item = self.files.at(inside) or self.files.at(posixpath.normpath(inside))
        if item is None:
            return Item(uri, 0, where=named(uri))
        return replace(item, rel=uri, where=named(uri), fingerprint="", target="")

    def _check_reach(self, row: _Row, name: str) -> None:
        """Raise `ConfigError` for a table on a web server that names files of this machine.

        They would stand in a dataset that whoever wrote the table may get to see.
        """
        on_web = row.table.tree.url.startswith(("http://", "https://", "hf://"))
        if on_web and name.lower().startswith(("file:", "local:")):
            raise jsonfile.wrong(
                row.table.tree,
                row.table.rel,
                f"{row.at} names a file of this machine, {name:.80}, which a table of "
                "others may not do; copy the table here if that is meant",
            )

    def _spelled(self, home: Tree, uri: str) -> str:
        """A uri as it stands, or in its other spelling where a file is there only by that."""
        other = other_spelling(uri)
        if not other or _is_there(home, uri) or not _is_there(home, other):
            return uri
        self.respelled.append(uri)
        return other

    def _none_found(self) -> ConfigError:
        table = self.tables[0]
        rows = sum(self.unused.values())
        place = _prefix(self.config) or table.tree.name
        return headings.misread(
            table.tree,
            table.rel,
            f"none of the files that its {rows} rows name is below {place}: the first is "
            f"{self.first_away!r:.120}. Check manifest.uri, manifest.find and manifest.root",
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table. at: where it stands; decimal: the mark before decimals."""

    table: SourceTable
    at: str
    roles: Roles
    cells: Mapping[str, Any]
    decimal: str

    def uri(self) -> str:
        names = {name: name_of(self.cells.get(name)) for name in self.roles.uri[1::2]}
        return file_of(self.roles, names)

    def check(self, uri: str) -> None:
        """Raise `ConfigError` for a uri that cannot be one, or that may hold a secret."""
        from fsspec import available_protocols

        head = self.roles.uri[1]
        if not uri or "\0" in uri:
            raise self._wrong(f"{self.at} needs a {head}, found {uri!r:.40}")
        on_web = self.table.tree.url.startswith(("http://", "https://"))
        if uri != public_url(uri) or (on_web and "?" in uri):
            what = f"{self.at}: its {head} holds a user, a query or a fragment, which may be secret"
            raise self._wrong(f"{what} and would be stored; set credentials as fsspec reads them")
        protocol, remote, _ = uri.partition("://")
        if remote and protocol not in available_protocols():
            what = f"{self.at}: nothing here reads {protocol[:40]!r}:// URLs; fsspec knows no such"
            raise self._wrong(what)

    def entry(self, name: str, found: Sequence[Item]) -> Entry:
        """found: the files that the row may mean: one, or several, which is a reject."""
        item, roles, place = found[0], self.roles, f"{self.table.rel}, {self.at}"
        if len(found) > 1:
            several = ", ".join(each.rel for each in found[:3])
            item = replace(item, problem="ambiguous_file", detail=f"{name} may be {several}")
        elif not item.problem and (bare := bare_stream(self.table.tree, item.place)):
            item = replace(item, problem="bare_stream", detail=bare)
        span = self._span()
        id = unless_absent(name_of(self.cells.get(roles.id))) if roles.id else ""
        if not id:
            id = name if span is None else f"{name}#{'-'.join(map(short_seconds, span))}"
        text = unless_absent(text_of(self.cells.get(roles.text))) if roles.text else ""
        labels = {key: text_of(self.cells.get(key)) for key in roles.labels}
        return span_entry(id, item, span, place=place, text=text, labels=labels)

    def absent(self) -> str:
        """What stands for no text or no time, such as NaN, "" if nothing does."""
        names = (self.roles.text, self.roles.start, self.roles.end)
        cells = (self.cells.get(name) for name in names if name)
        found = (text_of(cell) for cell in cells if isinstance(cell, str))
        return next((each for each in found if each in ABSENT), "")

    def _span(self) -> Span | None:
        names = (self.roles.start, self.roles.end)
        first, last = (self.cells.get(name) for name in names)
        if _is_second(first) and _is_second(last):
            return first, last
        start, end = (text_of(self.cells.get(name)) if name else "" for name in names)
        try:
            return span_of(start, end, self.decimal)
        except ValueError as error:
            raise self._wrong(f"{self.at}: {' and '.join(names)}: {error}") from None

    def _wrong(self, what: str) -> ConfigError:
        return jsonfile.wrong(self.table.tree, self.table.rel, what)


def _tables(tree: Tree, config: ManifestConfig) -> list[SourceTable]:
    """The tables of a source: itself, or those of a folder by the names that they should have."""
    wanted = headings.wanted(config)
    if tree.is_file():
        return [SourceTable(tree.parent(), tree.root.rsplit("/", 1)[-1], wanted)]
    if config.table is None:
        there = [SourceTable(tree, name, wanted) for name in NAMES if tree.exists(name)]
        first = next((each for each in there if _names_files(each)), None)
        return [first] if first else there[:1]
    table = posixpath.normpath(config.table)
    if tree.exists(table):
        return [SourceTable(tree, table, wanted)]
    found = [item.rel for item in tree.walk() if not item.problem and _is_called(item.rel, table)]
    return [SourceTable(tree, rel, wanted) for rel in found]


def _is_second(value: Any) -> TypeGuard[float]:
    """Whether a cell is a number that says what its text would."""
    return type(value) is float and 0 <= value < MOST_S


def _names_files(table: SourceTable) -> bool:
    return bool(headings.uri_columns(table.heads())) and not table.holds_videos()


def _is_called(rel: str, name: str) -> bool:
    """Whether a path has a name, or is a path, in which * and ? stand for other characters."""
    pairs = [(rel.rsplit("/", 1)[-1], name)]
    if "/" in name:
        pairs = list(zip(rel.split("/"), name.split("/"), strict=False))
        if rel.count("/") != name.count("/"):
            return False
    return all(fnmatch.fnmatchcase(part, pattern) for part, pattern in pairs)


def _no_table(tree: Tree, config: ManifestConfig) -> ConfigError:
    if config.table is None:
        return jsonfile.wrong(tree, ", ".join(NAMES), "none is there, and the source is no such")
    there = [name for name in names_in(tree) if suffix(name) in SUFFIXES]
    what = f"no file has this name; at the top there are {', '.join(there)[:200] or 'no tables'}"
    return headings.misread(tree, config.table, what + did_you_mean(config.table, there))


def _below(root: str, item: Item) -> Item:
    """An item of a walk that began at `root`, as seen from above."""
    target = root + item.target if item.problem == LINKED_FOLDER else ""
    return replace(item, rel=root + item.rel, target=target.rstrip("/"))


def _prefix(config: ManifestConfig) -> str:
    """What the path of every file begins with, "" where they lie at the source."""
    root = (config.root or "").rstrip("/") or ("/" if config.root else "")
    root = root if _is_absolute(root) else posixpath.normpath(root or ".")
    return "" if root == "." else f"{root.rstrip('/')}/"


def _away(item: Item, root: str) -> Item:
    """A file that was found below a root that lies elsewhere."""
    return replace(_below(root, item), where=Location(root + item.rel, elsewhere=True))


def _is_there(home: Tree, uri: str) -> bool:
    return os.path.exists(uri[7:]) if uri.startswith("file://") else home.exists(named(uri))


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or "://" in path


def _resolved(home: Tree, uri: str) -> str:
    """A uri as it counts beside a remote manifest: stores know no "..", and HTTP has a root."""
    if home.is_local or "://" in uri:
        return uri
    url, parts = public_url(home.url), uri.split("/")
    if uri.startswith("/"):
        return urljoin(url, uri) if url.startswith(("http://", "https://")) else uri
    if not {".", ".."} & set(parts):
        return uri
    scheme, _, path = url.partition("://")
    whole = posixpath.normpath(f"{path}/{uri}")
    return whole.removeprefix(f"{path}/") if whole.startswith(f"{path}/") else f"{scheme}://{whole}"
