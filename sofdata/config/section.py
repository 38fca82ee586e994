"""`Section`, the base of every part of the configuration: typed, frozen, closed to unknown keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from sofdata.config.written import Plain, number, typed
from sofdata.errors import ConfigError
from sofdata.system.nearest import did_you_mean

# Beyond these no setting means anything, and columns of tables, arrays and clocks hold no more.
LARGEST_WHOLE, LARGEST = 2**31 - 1, 1e12
LARGEST_SEED = 2**63 - 1
_SHOWN = 60  # characters of a wrong value
_NO_LIMIT = ("none", "None", "NONE")
_BOUNDS = ("le", "lt")

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class Section(BaseModel):
    """A part of the configuration. Each component defines its own, beside its code.

    Numbers are finite and can be stored: whole ones have at most 32 bits where their field states
    no other bound. Of a section that is a default with values of its own, those that are not given
    keep these, so that one key changes one setting.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        return _meant(value, cls.model_fields[str(info.field_name)])

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_stored(cls, value: Any, info: ValidationInfo) -> Any:
        stated = cls.model_fields[str(info.field_name)].metadata
        if not any(hasattr(bound, name) for bound in stated for name in _BOUNDS):
            for each in value if isinstance(value, tuple) else (value,):
                _check_size(each)
        return value

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Check `values` and fill in defaults.

        Raises `ConfigError` that names each wrong key, what it may be, and the nearest known key
        for one that does not exist.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error)) from None


def known_keys(section: type[Section], prefix: str = "") -> list[str]:
    """All keys of a section and of the sections in it, dotted: `flow.step_s`."""
    keys = []
    for name, info in section.model_fields.items():
        keys.append(prefix + name)
        if inner := section_of(info):
            keys.extend(known_keys(inner, f"{prefix}{name}."))
    return keys


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, if it holds one."""
    inner = field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def field_of(section: type[Section], path: list[str]) -> FieldInfo | None:
    """The field of a dotted key, None where there is no such key."""
    *outer, last = path
    for part in outer:
        field = section.model_fields.get(part)
        inner = section_of(field) if field else None
        if inner is None:
            return None
        section = inner
    return section.model_fields.get(last)


def is_text(field: FieldInfo | None) -> bool:
    """Whether a setting is a text, all of whose characters count, or nothing."""
    return field is not None and field.annotation in (str, str | None)


def differing_keys(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Name each key in which two resolved configurations differ, with both values."""
    for key in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(key), theirs.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from differing_keys(left, right, f"{prefix}{key}.")
        elif left != right:
            yield f"{prefix}{key} is {left!r}, there {right!r}"


def _kinds(annotation: Any) -> set[Any]:
    """What the values of a field, or of its lists, may be: int, float, bool, str, NoneType, ..."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin is Literal:
        return {f"literal {value}" for value in get_args(annotation)}
    if origin in (Union, UnionType, tuple, list):
        return set().union(*map(_kinds, get_args(annotation))) - {Ellipsis}
    return {dict, Any} if origin is dict else {annotation}


def _meant(value: Any, field: FieldInfo) -> Any:
    """What a person means by a value for this field."""
    inner = section_of(field)
    if inner is not None:
        return _over_default({} if value is None else value, field.default)
    kinds = _kinds(field.annotation)
    return typed(value) if Any in kinds else _scalar(value, kinds)


def _over_default(value: Any, default: Any) -> Any:
    """The keys of a section with those of its default that are not among them."""
    if not isinstance(value, Mapping):
        return value
    if not isinstance(default, Section):
        return dict(value)
    stated = {name: getattr(default, name) for name in type(default).model_fields}
    merged = {**stated, **value}
    for name, old in stated.items():
        if isinstance(old, Section) and (given := value.get(name)) is not None:
            merged[name] = _over_default(given, old)
    return merged


def _scalar(value: Any, kinds: set[Any]) -> Any:
    if isinstance(value, list | tuple):
        return [_scalar(each, kinds) for each in value]
    if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
        raise ValueError("a number is expected, not true or false")
    if not isinstance(value, str):
        return value
    if isinstance(value, Plain) and value in _NO_LIMIT and NoneType in kinds:
        return str(value) if str in kinds or f"literal {value}" in kinds else None
    if kinds & {int, float}:
        return _counted(value.strip(), whole=float not in kinds)
    return str(value)


def _counted(text: str, whole: bool) -> int | float | str:
    """The number that a text is; what is none stays as it is, for the check to refuse it."""
    try:
        found = number(text)
    except ValueError:
        return text.replace(".", "") if text.lower().lstrip("+-") in (".inf", ".nan") else text
    return int(found) if whole and isinstance(found, float) and found.is_integer() else found


def _check_size(value: Any) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise ValueError(f"at most {LARGEST_WHOLE} can be stored")
    if isinstance(value, float) and abs(value) > LARGEST:
        raise ValueError(f"at most {LARGEST:g} is allowed")


def _explain(section: type[Section], error: ValidationError) -> str:
    """All that is wrong, in one line; one wrong value may break several rules of a union."""
    lines: dict[tuple[str, ...], str] = {}
    for problem in error.errors():
        path = _keys(section, problem["loc"])
        key = ".".join(path)
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(key, known_keys(section))
            lines.setdefault(path, f"unknown key '{key}'{hint}")
            continue
        text = _wrong(section, path, problem)
        named = f"'{key}': " if key else ""
        lines[path] = f"{lines[path]}, or: {text}" if path in lines else f"{named}{text}"
    return "; ".join(lines.values())


def _wrong(section: type[Section], path: tuple[str, ...], problem: Any) -> str:
    value, kind = problem["input"], problem["type"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    field = field_of(section, list(path)) if path else None
    if kind in ("model_type", "model_attributes_type") and field is not None:
        keys = known_keys(section_of(field) or section)
        message = f"this is a section: its keys are {', '.join(keys[:3])}, ..."
    elif isinstance(value, Mapping) and kind == "value_error":  # of several settings, named there
        return message
    if kind in ("tuple_type", "list_type"):
        example = "[1, 2]" if int in _kinds_of(field) else "[a, b]"
        message = f"a list is expected, as in {example}"
    elif kind == "finite_number" and NoneType in _kinds_of(field):
        message = f"{message}, or null"
    elif kind.endswith("_parsing_size"):
        message = f"at most {LARGEST_WHOLE} can be stored"
    return "a value is missing" if value is None else f"{message} (got {_short(value)})"


def _kinds_of(field: FieldInfo | None) -> set[Any]:
    return _kinds(field.annotation) if field else set()


def _keys(section: type[Section], place: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys of a place; a union adds the name of the type that did not fit."""
    path: list[str] = []
    inside: type[Section] | None = section
    for part in place:
        if isinstance(part, int):
            path.append(str(part))
        elif inside is not None:
            path.append(part)
            field = inside.model_fields.get(part)
            inside = section_of(field) if field else None
            if field is None:
                break
    return tuple(path)


def _short(value: Any) -> str:
    text = repr(str(value) if isinstance(value, str) else value)
    return re.sub(r"\s+", " ", text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
