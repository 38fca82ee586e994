"""Keys that came later, and the value that says what was done before there was such a key.

A model, a stage or a frozen choice of before has none of these keys. So what identifies one leaves
a key out where it has its earlier value, and what was saved without the key gets that value,
whatever the default has become since:

    eyes: Annotated[Literal["grid", "points"], Earlier("grid")] = Field("points", ...)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sofdata.config.section import Section, section_of


@dataclass(frozen=True, slots=True)
class Earlier:
    """Marks a field: what was done before there was this key, as JSON holds it."""

    value: Any


def identity(section: Section, **options: Any) -> dict[str, Any]:
    """A section's values as JSON holds them, without those that are as before there was their key.

    options: of pydantic's `model_dump`, such as `exclude`.
    """
    return without_earlier(type(section), section.model_dump(mode="json", **options))


def without_earlier(kind: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a section without those that are as before there was their key."""
    before = dict(_earlier(kind))
    left = {key: value for key, value in values.items() if (key, value) not in before.items()}
    return {key: _inside(without_earlier, kind, key, value) for key, value in left.items()}


def completed(kind: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    """What was saved of a section, with what was done before there was a key for each it lacks."""
    filled = dict(_earlier(kind)) | values
    return {key: _inside(completed, kind, key, value) for key, value in filled.items()}


def _earlier(kind: type[Section]) -> Iterator[tuple[str, Any]]:
    for key, field in kind.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Earlier):
                yield key, mark.value


def _inside(change: Any, kind: type[Section], key: str, value: Any) -> Any:
    field = kind.model_fields.get(key)
    inner = section_of(field) if field is not None else None
    return change(inner, value) if inner is not None and isinstance(value, dict) else value
