"""Settings on the command line: `--set key=value`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from sofdata.config.section import Section, field_of, is_text, section_of
from sofdata.config.written import read_value
from sofdata.errors import ConfigError


def once(overrides: Iterable[str]) -> list[str]:
    """The overrides of a command line. Raises `ConfigError` for a key with two values: which?"""
    given: dict[str, str] = {}
    overrides = list(overrides)
    for override in overrides:
        key, _, text = (part.strip() for part in override.partition("="))
        if given.setdefault(key, text) != text:
            raise ConfigError(f"'{key}' is given twice, as '{given[key]}' and as '{text}'")
    return overrides


def apply(values: dict[str, Any], override: str, section: type[Section]) -> None:
    """Put an override into the values that a recipe of this kind of section has given.

    Raises `ConfigError` for one without "=", and for a value that is not YAML where it has to be.
    """
    key, separator, text = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not separator or not all(path):
        raise ConfigError(f"'--set {override}' needs the form key=value, such as flow.step_s=0.1")
    value = _value(text.strip(), field_of(section, path), f"'--set {override}'")
    for each, leaf in _leaves(section, path, value):
        _put(values, each, leaf, override)


def _value(text: str, field: FieldInfo | None, what: str) -> Any:
    """What stands after "=": of a text every character, of all else YAML."""
    if field is not None and is_text(field):
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        if not quoted:
            return None if text in ("null", "~") and field.default is None else text
        try:
            found = read_value(text, what)
        except ConfigError:  # quotes within, as in 'a' == 'b'
            return text
        return found if isinstance(found, str) else text
    if not text:
        raise ConfigError(f"{what} has no value; null is the word for none")
    return read_value(text, what)


def _leaves(section: type[Section], path: list[str], value: Any) -> Iterator[tuple[list[str], Any]]:
    """The settings of a value: one, or those of a section that is given as {key: value}."""
    field = field_of(section, path)
    if isinstance(value, dict) and value and field is not None and section_of(field):
        for key, inner in value.items():
            yield from _leaves(section, [*path, key], inner)
    else:
        yield path, value


def _put(values: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    *outer, last = path
    for part in outer:
        inner = values.get(part)
        if inner is None:
            inner = values[part] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"'--set {override}': '{part}' holds a value, not keys")
        values = inner
    values[last] = value
