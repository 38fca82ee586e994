"""Label files written by others, read without trust: what is wrong is a `ConfigError`."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeVar

from sofdata.errors import ConfigError
from sofdata.storage import Tree

T = TypeVar("T")

MAX_BYTES = 1 << 29  # of a file that is read as a whole
MAX_VALUE = 1 << 27  # of one value of a file that is read piece by piece
PIECE = 1 << 16
HEAD = 1 << 10
# Without these nobody can tell what of a video may be used, whatever it is taken for.
NEEDED = ("ego4d.json",)


def read_bytes(tree: Tree, rel: str) -> bytes:
    """A whole label file. Raises `ConfigError` where it is too large or cannot be read."""
    try:
        size = tree.size(rel)
        if size > MAX_BYTES:
            raise wrong(tree, rel, f"{size} bytes, more than the {MAX_BYTES} that are read")
        return tree.read(rel)
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None


def read_json(tree: Tree, rel: str, top: type[T]) -> T:
    """Parse a label file whose top level must be a `top` (list or dict). Raises `ConfigError`."""
    value: Any
    try:
        value = json.loads(read_bytes(tree, rel))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise wrong(tree, rel, f"no valid JSON at {where}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise wrong(tree, rel, f"no valid JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(value, top):
        raise wrong(tree, rel, f"expected a {_json(top)} at the top, found {_json(type(value))}")
    return value


def lines(tree: Tree, rel: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one a line, each with its line; UTF-8, with or without a mark.

    Raises `ConfigError` that names the line.
    """
    try:
        with tree.open(rel) as handle:
            number = 0
            while data := handle.readline(MAX_VALUE):
                number += 1
                if value := data.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").strip():
                    yield number, _object(tree, rel, number, value)
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None


def _object(tree: Tree, rel: str, number: int, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode())
    except UnicodeDecodeError as error:
        what = f"line {number} is not UTF-8 (byte {data[error.start]:#x}); save it as UTF-8"
        raise wrong(tree, rel, what) from None
    except (ValueError, RecursionError) as error:
        what = f"line {number} is no JSON: {str(error).splitlines()[0]}"
        raise wrong(tree, rel, what) from None
    if not isinstance(value, dict):
        raise wrong(tree, rel, f"line {number} should be an object, found {value!r:.60}")
    return value


def items(tree: Tree, rel: str, inside: str = "") -> Iterator[tuple[str, Any]]:
    """The keys and values of a file whose top level is an object, one at a time.

    For files too large to be held as a whole: memory is that of the largest value, of at most
    `MAX_VALUE` bytes. Raises `ConfigError` that tells how far into the file it is wrong.

    inside: a key at the top whose object is gone through instead, if it is there and not empty.
    """
    found = False
    for prefix in [inside, ""] if inside else [""]:
        for pair in _items(tree, rel, prefix):
            found = True
            yield pair
        if found:
            return


def _items(tree: Tree, rel: str, prefix: str) -> Iterator[tuple[str, Any]]:
    import ijson

    try:
        with tree.open(rel) as handle:
            metered = _Metered(handle)
            if metered.first() != b"{":
                raise ValueError("expected an object at the top")
            for key, value in ijson.kvitems(metered, prefix, use_float=True, buf_size=PIECE):
                metered.begin()
                yield key, value
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None
    except (ijson.JSONError, ValueError) as error:
        told = " ".join(str(error).split())[:120]
        raise wrong(tree, rel, f"no valid JSON within {metered.total} bytes: {told}") from None


class _Metered:
    """A file that counts what is read of it, and refuses to give too much for one value."""

    def __init__(self, handle: BinaryIO) -> None:
        self.total = 0
        self._since = 0
        self._handle = handle

    def first(self) -> bytes:
        """The first byte that counts: behind a byte order mark and white space."""
        head = self._handle.read(HEAD)
        skipped = 3 if head.startswith(codecs.BOM_UTF8) else 0
        self._handle.seek(skipped)
        return head[skipped:].lstrip()[:1]

    def begin(self) -> None:
        """The next value begins."""
        self._since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._handle.read(size)
        self.total += len(data)
        self._since += len(data)
        if self._since > MAX_VALUE + PIECE:
            raise ValueError(f"a value of more than {MAX_VALUE} bytes")
        return data


def field(tree: Tree, rel: str, record: dict[str, Any], at: int, key: str, kind: type[T]) -> T:
    """`record[key]`, checked, or an empty `kind` where it is absent. Raises `ConfigError`."""
    value = record.get(key, kind())
    if not isinstance(value, kind):
        found = _json(type(value))
        raise wrong(tree, rel, f"record {at}: '{key}' should be {_json(kind)}, found {found}")
    return value


def clean(text: str) -> str:
    """Text that can be stored as UTF-8: JSON may escape half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def wrong(tree: Tree, rel: str, what: str) -> ConfigError:
    """The error for a label file, which says how to go on without it, where that may be."""
    told = f"label file {rel} in {tree.name}: {what}. Mend or fetch the file again"
    if rel.rsplit("/", 1)[-1] in NEEDED:
        return ConfigError(f"{told}: what must not be seen of the videos below it stands there")
    return ConfigError(f"{told}, or give --corpus folder to take the videos without labels")


def _json(kind: type) -> str:
    names = {dict: "object", list: "list", str: "string", int: "number", float: "number"}
    return names.get(kind, "null" if kind is type(None) else kind.__name__)
