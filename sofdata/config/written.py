"""Settings as people write them: recipes in YAML, and `--set key=value`.

YAML 1.1 makes 8 of 010, 90 of 1:30, a text of 1e3 and a boolean of `off`. Here a scalar that is
not quoted is a `Plain` text, and what it means is decided by the setting that it is given to
(`sofdata.config.section`). A key that stands twice is refused, as is all that no settings are made
of: tags of Python's, lists as keys, tens of thousands of values out of a few anchors. A dotted key
means what it means on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sofdata.errors import ConfigError

if TYPE_CHECKING:
    import yaml

LARGEST_BYTES = 1 << 20  # of a recipe
_MOST_VALUES, _DEEPEST = 10_000, 32
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))
_WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_DECIMAL = re.compile(r"[-+]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Plain(str):
    """A scalar without quotes: a number or a boolean where one is meant, else a text."""

    __slots__ = ()


def typed(value: Any) -> Any:
    """What plain scalars mean where no setting says it: 12 and 010 are whole, 0.5 and 1e3 are not.

    Only `true` and `false` are booleans.
    """
    if isinstance(value, Mapping):
        return {str(key): typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [typed(inner) for inner in value]
    if not isinstance(value, Plain):
        return value
    if value in ("true", "false"):
        return value == "true"
    return number(value) if _DECIMAL.fullmatch(value) else str(value)


def number(text: str) -> int | float:
    """The number of a text that is one: whole where it is written so. Raises `ValueError`."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no number")
    return int(text) if _WHOLE.fullmatch(text) else float(text)


def read_recipe(data: bytes, name: str) -> dict[str, Any]:
    """The keys and values of a recipe; `name` is for errors.

    Raises `ConfigError` that names the line.
    """
    if len(data) > LARGEST_BYTES:
        raise ConfigError(f"recipe '{name}' is larger than {LARGEST_BYTES >> 20} MiB: is it one?")
    value = _parse(data, f"recipe '{name}'")
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else f"'{str(value)[:40]}'"
        raise ConfigError(f"recipe '{name}' must hold keys and values, as in 'flow:', not {kind}")
    return value


def read_value(text: str, what: str) -> Any:
    """The value of a `--set`, in YAML; `what` is for errors."""
    return _parse(text.encode("utf-8", "surrogateescape"), what)


def nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and 1 as {"a": {"b": 1}}; a key with a dot at an end is no path."""
    parts = key.split(".")
    for part in reversed(parts if all(parts) else [key]):
        value = {part: value}
    return dict(value)


def _parse(data: bytes, what: str) -> Any:
    import yaml

    try:
        root = yaml.compose(data, Loader=yaml.BaseLoader)
        return None if root is None else _Reader(what).value(root, 0)
    except RecursionError:
        raise ConfigError(f"{what} is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{what} is not YAML: {_place(error, data)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # no text at all
        raise ConfigError(f"{what} is not YAML: {str(error).splitlines()[0]}") from None


def _place(error: yaml.MarkedYAMLError, data: bytes) -> str:
    """Where and what, in one line."""
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    place = f"line {line + 1}, " if b"\n" in data.strip() else ""
    if error.problem and r"'\t'" in error.problem:
        return f"{place}a tab: indent with spaces"
    parts = (error.context, error.problem, error.note)
    return place + ", ".join(" ".join(part.split()) for part in parts if part)


class _Reader:
    """Makes plain values of the nodes of a document."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, _MOST_VALUES

    def value(self, node: yaml.Node, depth: int) -> Any:
        import yaml

        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise self._wrong(node, "there are too many values, or they are nested too deeply")
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [self.value(inner, depth + 1) for inner in node.value]
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._wrong(node, f"the tag {tag[:60]} is refused: settings are plain values")
        if node.style is not None:  # quoted
            return str(node.value)
        return None if node.value in _NULLS else Plain(node.value)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        import yaml

        values: dict[str, Any] = {}
        seen = set[str]()
        beneath: dict[str, Any] = {}  # what is merged in with "<<", which own keys overrule
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TAGS:
                raise self._wrong(key_node, "a key must be a word")
            key, value = str(key_node.value), self.value(value_node, depth + 1)
            if key == "<<" and key_node.style is None:
                for part in reversed(value if isinstance(value, list) else [value]):
                    if not isinstance(part, dict):
                        raise self._wrong(value_node, "'<<' takes keys and values")
                    beneath |= part
                continue
            twice = key if key in seen else join(values, nested(key, value))
            seen.add(key)
            if twice:
                raise self._wrong(key_node, f"the key '{twice}' stands there a second time")
        return beneath | values

    def _wrong(self, node: yaml.Node, text: str) -> ConfigError:
        return ConfigError(f"{self._what}, line {node.start_mark.line + 1}: {text}")


def join(values: dict[str, Any], more: Mapping[str, Any], prefix: str = "") -> str:
    """Put `more` into `values`, keys into keys. Returns the first key that has a value, else ""."""
    for key, value in more.items():
        old = values.get(key)
        if key not in values:
            values[key] = value
        elif not isinstance(old, dict) or not isinstance(value, Mapping):
            return prefix + key
        elif twice := join(old, value, f"{prefix}{key}."):
            return twice
    return ""
