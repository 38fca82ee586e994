"""Windows as a page shows them side by side, and the pages of a long list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.ui.text import printable
from sofdata.view.answers import address
from sofdata.view.opened import CARD, MOTION, Opened

PAGE = 24
SHOWN_TEXT = 240  # characters on a card


@dataclass(frozen=True, slots=True)
class Card:
    """One window in a list. row: its number in the index. address: of its own page."""

    row: int
    address: str
    video: str
    window: int
    span: str
    text: str
    motion_px: float


@dataclass(frozen=True, slots=True)
class Pager:
    """Where in a list a page stands, and the addresses of those beside it, "" for none."""

    first: int
    last: int
    total: int
    before: str
    after: str


def cards(opened: Opened, rows: NDArray[np.int64] | Sequence[int]) -> list[Card]:
    """These rows of the index as cards."""
    numbers = [int(row) for row in rows]
    found = opened.rows(numbers, (*CARD, *MOTION))
    return [_card(number, entry) for number, entry in zip(numbers, found, strict=True)]


def paged(
    total: int, given: Mapping[str, str], to: Callable[[int], str], size: int = PAGE
) -> tuple[slice, Pager]:
    """Which part of a list a page shows. to: the address of a page by its number, from 1.

    Raises `ConfigError` for a page that is no number.
    """
    number = whole_number(given, "page", 1)
    pages = max(1, -(-total // size))
    number = min(max(number, 1), pages)
    start = (number - 1) * size
    stop = min(start + size, total)
    before = to(number - 1) if number > 1 else ""
    after = to(number + 1) if number < pages else ""
    return slice(start, stop), Pager(min(start + 1, total), stop, total, before, after)


def whole_number(given: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    """A number of an address. Raises `ConfigError` for what is none."""
    text = given.get(name, "")
    if not text and otherwise is not None:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise ConfigError(f"{name} is a whole number, got {text!r:.40}")
    return int(text)


def shortened(text: str, most: int = SHOWN_TEXT) -> str:
    """A text on one line, cut where it is long."""
    shown = printable(text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}…"


def _card(row: int, entry: dict[str, Any]) -> Card:
    return Card(
        row=row,
        address=address("window", row=row),
        video=shortened(entry["source"], 80),
        window=entry["window"],
        span=f"{entry['start_s']:.2f} – {entry['end_s']:.2f} s",
        text=shortened(entry["text"]),
        motion_px=entry["mean_px"],
    )
