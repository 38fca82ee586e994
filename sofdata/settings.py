"""`Section`, the base of every part of the configuration: typed, frozen, closed to unknown keys."""

from __future__ import annotations

import difflib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sofdata.errors import ConfigError


class Section(BaseModel):
    """A part of the configuration. Each component defines its own, beside its code."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

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


def _explain(section: type[Section], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        key = ".".join(path)
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known_keys(section), n=1, cutoff=0.4)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            lines.append(f"unknown key '{key}'{hint}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"'{key}': {message} (got {problem['input']!r})")
    return "; ".join(lines)


def known_keys(section: type[Section], prefix: str = "") -> list[str]:
    """All keys of a section and of the sections in it, dotted: `flow.step_s`."""
    keys = []
    for name, info in section.model_fields.items():
        keys.append(prefix + name)
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            keys.extend(known_keys(inner, f"{prefix}{name}."))
    return keys
