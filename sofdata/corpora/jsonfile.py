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
PIECE = 1 << 20


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


def items(tree: Tree, rel: str, inside: str = "") -> Iterator[tuple[str, Any]]:
    """The keys and values of a file whose top level is an object, one at a time.

    inside: a key whose value is gone through in the same way, if it is an object.

    For files too large to be held as a whole: memory is that of the largest value, of at most
    `MAX_VALUE` characters. Raises `ConfigError` that tells how far into the file it is wrong.
    """
    try:
        with tree.open(rel) as handle:
            yield from _Items(tree, rel, handle).pairs(inside)
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None


class _Items:
    """Goes through a file of one object; holds the text from the value under way on."""

    def __init__(self, tree: Tree, rel: str, handle: BinaryIO) -> None:
        self._place = (tree, rel)
        self._handle = handle
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._ended = "", 0, False

    def pairs(self, inside: str) -> Iterator[tuple[str, Any]]:
        self._expect("{")
        if self._peek() == "}":
            self._expect("}")
            return
        while True:
            key = self._value()
            if not isinstance(key, str):
                raise self._wrong(f"expected a key, found {key!r:.40}")
            self._expect(":")
            if key == inside and self._peek() == "{":
                yield from self.pairs("")
            else:
                yield key, self._value()
            if self._peek() == "}":
                self._expect("}")
                return
            self._expect(",")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # else a number may go on
                    self._at = end
                    return value
                error = "it is cut off"
            except (ValueError, RecursionError) as failure:
                error = str(failure).split(":")[0]
            if self._ended or not self._more():
                raise self._wrong(error)

    def _expect(self, sign: str) -> None:
        found = self._peek()
        if found != sign:
            raise self._wrong(f"expected '{sign}', found {found!r}")
        self._at += 1

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _more(self) -> bool:
        """Read on, twice as much as is left, and forget what was used; False at the end."""
        left = self._text[self._at :]
        if len(left) > MAX_VALUE:
            raise self._wrong(f"a value of more than {MAX_VALUE} characters")
        data = self._handle.read(max(PIECE, len(left)))
        try:
            new = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise self._wrong("text that is not UTF-8") from None
        self._text, self._at, self._ended = left + new, 0, not data
        return bool(data)

    def _wrong(self, what: str) -> ConfigError:
        tree, rel = self._place
        return wrong(tree, rel, f"no valid JSON within {self._handle.tell()} bytes: {what}")


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
    """The error for a label file, which says how to go on without it."""
    return ConfigError(
        f"label file {rel} in {tree.name}: {what}. Mend or fetch the file again, or give"
        " --corpus folder to take the videos without labels"
    )


def _json(kind: type) -> str:
    names = {dict: "object", list: "list", str: "string", int: "number", float: "number"}
    return names.get(kind, "null" if kind is type(None) else kind.__name__)
