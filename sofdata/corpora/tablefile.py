"""Tables of videos in the formats that they come in: their headings and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.base import suffix
from sofdata.corpora.parquets import video_columns
from sofdata.corpora.readers import csvfile, jsonfile
from sofdata.corpora.readers.columns import (
    Value,
    column_types,
    is_bytes,
    is_plain,
    mean_bytes,
    plain_rows,
)
from sofdata.storage.tree import Tree

PARQUET = (".parquet", ".pq")
JSON = (".json", ".jsonl", ".ndjson")
TABS = (".tab", ".tsv")
MAX_NAME = 1024  # bytes; shorter values of a binary column may be names of files
SUFFIXES = (".csv", *TABS, *JSON, *PARQUET)


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of rows; anything that is called neither JSON nor Parquet is read as CSV.

    wanted: names by which its heading is known, which tells the delimiter.
    """

    tree: Tree
    rel: str
    wanted: Sequence[str] = ()

    def heads(self) -> list[str]:
        """The names of its columns, of JSON those of the first object. Raises `ConfigError`."""
        end = suffix(self.rel)
        if end in PARQUET:
            return list(column_types(self.tree, self.rel))
        if end in JSON:
            return list(next((row for _, row in self._records()), {}))
        return [head for head in self.form().heads if head]

    def form(self) -> csvfile.Form:
        """How a CSV file is written."""
        delimiter = "\t" if suffix(self.rel) in TABS else None
        return csvfile.form(self.tree, self.rel, delimiter, self.wanted)

    def rows(self, texts: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, Value]]]:
        """Each row, and where it stands.

        texts: columns that are text even where they are stored as bytes. Raises `ConfigError`.
        """
        end = suffix(self.rel)
        if end in PARQUET:
            rows = plain_rows(self.tree, self.rel, texts)
            yield from ((f"row {number}", row) for number, row in enumerate(rows))
        elif end in JSON:
            yield from self._records()
        else:
            delimiter = self.form().delimiter
            for line, cells in csvfile.read_rows(self.tree, self.rel, (), delimiter):
                yield f"line {line}", dict(cells)

    def decimal(self) -> str:
        """The mark before decimals: a comma where the cells of a CSV file are apart by ';'."""
        plain = suffix(self.rel) in PARQUET + JSON or self.form().delimiter != ";"
        return "." if plain else ","

    def unread(self) -> list[str]:
        """Columns of Parquet that hold neither plain values nor bytes."""
        if suffix(self.rel) not in PARQUET:
            return []
        types = column_types(self.tree, self.rel)
        return [name for name, kind in types.items() if not (is_plain(kind) or is_bytes(kind))]

    def holds_videos(self) -> bool:
        """Whether a column of Parquet holds videos themselves rather than their names."""
        if suffix(self.rel) not in PARQUET:
            return False
        found = video_columns(self.tree, self.rel)
        return any(mean_bytes(self.tree, self.rel, name) > MAX_NAME for name in found)

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for at, row in jsonfile.records(self.tree, self.rel):
            nested = [key for key, value in row.items() if isinstance(value, list | dict)]
            if nested:
                what = f"{at}: {nested[0]!r} should be a plain value, no list or object"
                raise jsonfile.wrong(self.tree, self.rel, what)
            yield at, row
