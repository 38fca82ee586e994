"""How values with arrays are printed: shapes and types in three lines at most, never numbers."""

from __future__ import annotations

import reprlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

WIDTH, LINES = 110, 3
FEW = 1  # items of a sequence, or of a mapping, that are shown


class Brief:
    """Base of dataclasses that print so; they need `repr=False`.

    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass(repr=False)
    ... class Picture(Brief):
    ...     name: str
    ...     pixels: np.ndarray
    >>> Picture("kitchen", np.zeros((480, 640, 3), np.uint8))
    Picture(name='kitchen', pixels=uint8 [480,640,3])
    """

    __slots__ = ()

    def __repr__(self) -> str:
        parts = [
            f"{each.name}={_shown(getattr(self, each.name))}"
            for each in fields(self)  # type: ignore[arg-type]
        ]
        text = f"{type(self).__name__}({', '.join(parts)})"
        lines = textwrap.wrap(
            text,
            WIDTH,
            subsequent_indent="  ",
            max_lines=LINES,
            placeholder=" ...)",
            break_on_hyphens=False,
        )
        return "\n".join(lines)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):  # of numpy or torch
        device = str(getattr(value, "device", "cpu"))
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind} {list(value.shape)}".replace(", ", ",") + (
            f" on {device}" if device != "cpu" else ""
        )
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        shown = [f"{key}: {_shown(value[key])}" for key in list(value)[:FEW]]
        return "{" + ", ".join([*shown, *_more(value)]) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "(" + ", ".join([*map(_shown, value[:FEW]), *_more(value)]) + ")"
    return _SHORT.repr(value)


def _more(items: Mapping[Any, Any] | Sequence[Any]) -> list[str]:
    return [f"... {len(items)} in all"] if len(items) > FEW else []


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
