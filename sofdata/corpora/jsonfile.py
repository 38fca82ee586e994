"""Label files written by others, read without trust: what is wrong is a `ConfigError`."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from sofdata.errors import ConfigError
from sofdata.storage import Tree

T = TypeVar("T")

MAX_BYTES = 1 << 29  # the largest label file of a public corpus is about a tenth of this


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
