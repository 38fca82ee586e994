"""Label files written by others, read without trust: what is wrong is a `ConfigError`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from io import BufferedReader
from typing import Any, TypeVar

from sofdata.corpora.readers.textfile import open_utf8
from sofdata.errors import ConfigError
from sofdata.storage.folder import Folder

T = TypeVar("T")

MAX_BYTES = 1 << 29  # of a file that is read as a whole
MAX_VALUE = 1 << 27  # of one value of a file that is read piece by piece
PIECE = 1 << 16
HEAD = 1 << 10
# Without these it is not known what of a video may be used, whichever corpus it is read as.
NEEDED = ("ego4d.json",)


def read_bytes(tree: Folder, rel: str) -> bytes:
    """A whole label file. Raises `ConfigError` where it is too large or cannot be read."""
    try:
        size = tree.size(rel)
        if size > MAX_BYTES:
            raise wrong(tree, rel, f"{size} bytes, more than the {MAX_BYTES} that are read")
        return tree.read(rel)
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None


def read_json(tree: Folder, rel: str, top: type[T]) -> T:
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


def lines(tree: Folder, rel: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one a line, each with its line; in any Unicode, see `textfile`.

    Raises `ConfigError` that names the line.
    """
    number = 0
    try:
        with open_utf8(tree, rel) as handle:
            while data := handle.readline(MAX_VALUE):
                number += 1
                if value := data.strip():
                    yield number, _object(tree, rel, number, value)
    except UnicodeDecodeError as error:
        what = f"line {number + 1} or after is no {error.encoding.upper()}; save it as UTF-8"
        raise wrong(tree, rel, what) from None
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None


def records(tree: Folder, rel: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file that is a list of them, or holds one a line; each with its place.

    Memory is that of the largest object. Raises `ConfigError` that names the place.
    """
    if _first(tree, rel) == b"[":
        yield from _listed(tree, rel)
    else:
        yield from ((f"line {number}", row) for number, row in lines(tree, rel))


def _listed(tree: Folder, rel: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import ijson

    number = 0
    with _metered(tree, rel) as file:
        # Not as floats: a long id would overflow.
        for value in ijson.items(file, "item", buf_size=PIECE, map_type=_Once):
            file.begin()
            number += 1
            if not isinstance(value, _Once):
                raise ValueError(f"object {number} should be an object, found {value!r:.60}")
            value.check()
            yield f"object {number}", {key: _plain(each) for key, each in value.items()}


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


class _Once(dict[str, Any]):
    """An object that knows whether a key came twice; ijson cannot take an error from it."""

    twice = ""

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = key
        super().__setitem__(key, value)

    def check(self) -> None:
        """Raise `ValueError` for a key that came twice."""
        if self.twice:
            raise ValueError(f"two values are called {self.twice!r:.60}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = _Once()
    for key, value in pairs:
        found[key] = value
    found.check()
    return found


def _object(tree: Folder, rel: str, number: int, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        what = f"line {number} is not UTF-8 (byte {data[error.start]:#x}); save it as UTF-8"
        raise wrong(tree, rel, what) from None
    except (ValueError, RecursionError) as error:
        what = f"line {number} is no JSON: {str(error).splitlines()[0]}"
        raise wrong(tree, rel, what) from None
    if not isinstance(value, dict):
        raise wrong(tree, rel, f"line {number} should be an object, found {value!r:.60}")
    return value


def items(tree: Folder, rel: str, inside: str = "") -> Iterator[tuple[str, Any]]:
    """The keys and values of a file whose top level is an object, one at a time.

    For files too large to be held as a whole: memory is that of the largest value, of at most
    `MAX_VALUE` bytes. Raises `ConfigError` with the number of bytes read up to the error.

    inside: a key at the top whose object is gone through instead, if it is there and not empty.
    """
    found = False
    for prefix in [inside, ""] if inside else [""]:
        for pair in _items(tree, rel, prefix):
            found = True
            yield pair
        if found:
            return


def _items(tree: Folder, rel: str, prefix: str) -> Iterator[tuple[str, Any]]:
    import ijson

    with _metered(tree, rel) as file:
        if file.first() != b"{":
            raise ValueError("expected an object at the top")
        for key, value in ijson.kvitems(file, prefix, use_float=True, buf_size=PIECE):
            file.begin()
            yield key, value


def _first(tree: Folder, rel: str) -> bytes:
    with _metered(tree, rel) as file:
        return file.first()


@contextmanager
def _metered(tree: Folder, rel: str) -> Iterator[_Metered]:
    """A file to read piece by piece; errors name the number of bytes read up to there."""
    import ijson

    file = None
    try:
        with open_utf8(tree, rel) as handle:
            file = _Metered(handle)
            yield file
    except OSError as error:
        raise wrong(tree, rel, error.strerror or type(error).__name__) from None
    except (ijson.JSONError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        read = file.total if file else 0
        raise wrong(tree, rel, f"no valid JSON within {read} bytes: {reason}") from None


class _Metered:
    """A file that counts what is read of it, and refuses to give too much for one value."""

    def __init__(self, handle: BufferedReader) -> None:
        self.total = 0
        self._since = 0
        self._handle = handle

    def first(self) -> bytes:
        """The first byte that is no white space, which stays to be read."""
        return self._handle.peek(HEAD).lstrip()[:1]

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


def check_names(tree: Folder, rel: str, names: Sequence[str]) -> None:
    """Raise `ConfigError` where two columns have one name: which is meant is not known."""
    name, times = next(iter(Counter(names).most_common(1)), ("", 0))
    if times > 1:
        what = f"{times} columns are called {name!r:.60}; rename all but one"
        raise wrong(tree, rel, what)


def field(
    tree: Folder, rel: str, record: dict[str, Any], key: str, kind: type[T], *, at: int = 0
) -> T:
    """`record[key]`, checked, or an empty `kind` where it is absent. Raises `ConfigError`.

    at: the number of the record in its file, for the message.
    """
    value = record.get(key, kind())
    if not isinstance(value, kind):
        found = _json(type(value))
        raise wrong(tree, rel, f"record {at}: '{key}' should be {_json(kind)}, found {found}")
    return value


def clean(text: str) -> str:
    """Text that can be stored as UTF-8: JSON may escape half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def wrong(tree: Folder, rel: str, what: str) -> ConfigError:
    """The error for a label file, which says how to go on without it, where that may be."""
    # Some adapters keep this message as the detail of a video, so it is stored: its words stay.
    message = f"label file {rel} in {tree.name}: {what}. Mend or fetch the file again"
    if rel.rsplit("/", 1)[-1] in NEEDED:
        return ConfigError(f"{message}: what must not be seen of the videos below it stands there")
    return ConfigError(f"{message}, or give --corpus folder to take the videos without labels")


def _json(kind: type) -> str:
    names = {dict: "object", list: "list", str: "string", int: "number", float: "number"}
    return names.get(kind, "null" if kind is type(None) else kind.__name__)
