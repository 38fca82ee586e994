"""One SQLite file of a ROS 2 bag (.db3), as rosbag2's plugin sqlite3 writes it.

    topics     id, name, type, serialization_format [, offered_qos_profiles, type_description_hash]
    messages   id, topic_id, timestamp in ns, data

A database can hold views, triggers and computed columns, which are code of whoever wrote it. None
runs: the file is opened for reading only, as one that never changes, what a statement may touch are
the columns above of true tables, and no function at all.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import numpy as np

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.bags.store import (
    MOST_MESSAGE_BYTES,
    Index,
    IndexParts,
    Topic,
    joined,
    short_type,
)
from sofdata.video.sequences.base import damaged

MOST_TOPICS = 10_000
MOST_TEXT_BYTES = 1 << 20
_BEAT_STEPS = 10_000  # of SQLite's machine, between reports of progress
_ROWS = 10_000
_READ = {
    "sqlite_master": {"type", "name", "sql", "tbl_name"},
    "topics": {"id", "name", "type", "serialization_format", "type_description_hash"},
    "messages": {"id", "topic_id", "timestamp", "ROWID", ""},
    "message_definitions": {"topic_type", "encoded_message_definition"},
}
UNFINISHED = {
    "-wal": "holds messages that are not yet in the database",
    "-journal": "is that of a writing that was interrupted",
}


class Db3:
    """One database, on this machine. name: for messages."""

    def __init__(self, path: str, name: str = "") -> None:
        self.words: list[str] = []
        name = name or path
        _refuse_unfinished(path, name)
        try:
            self._db = _opened(path)
            try:
                _refuse_code(self._db, name)
                self._db.set_authorizer(_may)
                self.topics = _topics(self._db)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            what = f"is no database of a bag that can be read: {error}"
            raise damaged(f"{name}: {what}") from None

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def index(self, topics: Iterable[str]) -> dict[str, Index]:
        """As of `Bag`."""
        return {name: self._index(name) for name in topics}

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """As of `Bag`."""
        for number in numbers:
            PROGRESS.packets += 1
            yield self._message(int(index.places[number, 0]), head_bytes)

    def _index(self, name: str) -> Index:
        parts = IndexParts()
        try:
            found = self._db.execute("SELECT id FROM topics WHERE name = ?", (name,))
            for (topic,) in found.fetchmany(MOST_TOPICS):
                self._add(topic, parts)
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            parts.words.append(f"the database cannot be read to its end: {error}")
        return parts.finish()

    def _add(self, topic: int, parts: IndexParts) -> None:
        # Not in the order of time: for that SQLite would look up every row by its own index.
        rows_of = "SELECT rowid, timestamp FROM messages NOT INDEXED WHERE topic_id = ?"
        cursor = self._db.execute(rows_of, (topic,))
        while rows := cursor.fetchmany(_ROWS):
            table = np.array(rows, np.int64)
            parts.add(table[:, 1], table[:, 0])

    def _message(self, row: int, head_bytes: int | None) -> bytes | None:
        try:
            with self._db.blobopen("messages", "data", row, readonly=True) as blob:
                size = len(blob)
                if size > MOST_MESSAGE_BYTES:
                    return None
                return blob.read(size if head_bytes is None else min(size, head_bytes))
        except (sqlite3.Error, ValueError):
            return None


def _refuse_unfinished(path: str, name: str) -> None:
    """What lies beside a database that was not closed is part of it, and is read by SQLite alone.

    Raises `Unusable` that says how to finish it.
    """
    for end in UNFINISHED:
        if os.path.exists(f"{path}{end}") and os.path.getsize(f"{path}{end}"):
            raise Unusable("unfinished", f"{name}: {unfinished(name, end)}")


def unfinished(path: str, end: str) -> str:
    """What to do about a file beside a database, whose name ends with one of `UNFINISHED`."""
    name = os.path.basename(path)
    return (
        f"{name}{end} beside it {UNFINISHED[end]}: open the database once with a program that may "
        f"write, as `sqlite3 {name} 'PRAGMA journal_mode=DELETE'`, or reindex the bag"
    )


def _opened(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MOST_MESSAGE_BYTES)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
        db.execute(f"PRAGMA {pragma}")
    db.set_progress_handler(_beat, _BEAT_STEPS)
    return db


def _beat() -> int:
    PROGRESS.packets += 1
    return 0


def _may(action: int, what: str | None, column: str | None, _: Any, by: str | None) -> int:
    """Whether a statement may do what it wants to; `by` names a view or trigger that wants it."""
    if action == sqlite3.SQLITE_SELECT and by is None:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and by is None and column in _READ.get(what or "", ()):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _refuse_code(db: sqlite3.Connection, name: str) -> None:
    """Raises `damaged` where what should be a plain table is a view, virtual or computed."""
    found = db.execute("SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')")
    kinds = {table: (kind, str(sql)) for table, kind, sql in found}
    for table in ("topics", "messages"):
        if (kind := _kind(db, table, *kinds.get(table, ("", "")))) != "a table":
            raise damaged(f"{name}: is no database of a bag: '{table}' is {kind}")


def _kind(db: sqlite3.Connection, table: str, kind: str, sql: str) -> str:
    if not kind:
        return "missing"
    if kind == "table" and sql.upper().split()[:2] == ["CREATE", "VIRTUAL"]:
        return "a virtual table"
    columns = db.execute(f"PRAGMA table_xinfo({table})").fetchall()
    hidden = any(column[6] for column in columns)  # or computed: https://sqlite.org/pragma.html
    return "a table of computed columns" if hidden else f"a {kind}"


def _topics(db: sqlite3.Connection) -> dict[str, Topic]:
    rows: list[tuple[Any, ...]]
    try:
        found = db.execute(
            "SELECT id, name, type, serialization_format, type_description_hash FROM topics"
        )
        rows = found.fetchmany(MOST_TOPICS)
    except sqlite3.OperationalError:  # before ROS 2 Iron
        found = db.execute("SELECT id, name, type, serialization_format FROM topics")
        rows = [(*row, "") for row in found.fetchmany(MOST_TOPICS)]
    definitions = _definitions(db)
    topics: dict[str, Topic] = {}
    for _, name, type, encoding, digest in rows:
        one = Topic(
            str(name),
            short_type(str(type)),
            str(encoding),
            frozenset({str(digest)} if digest else ()),
            frozenset(definitions.get(str(type), ())),
        )
        topics[one.name] = joined(topics[one.name], one) if one.name in topics else one
    return topics


def _definitions(db: sqlite3.Connection) -> dict[str, list[str]]:
    """Texts of the layouts of types; bags before ROS 2 Iron have none."""
    found: dict[str, list[str]] = {}
    try:
        rows = db.execute("SELECT topic_type, encoded_message_definition FROM message_definitions")
        for type, text in rows.fetchmany(MOST_TOPICS):
            if isinstance(text, str) and len(text) <= MOST_TEXT_BYTES:
                found.setdefault(str(type), []).append(text)
    except sqlite3.Error:
        return {}
    return found
