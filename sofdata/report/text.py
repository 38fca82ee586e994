"""Names, labels and errors of others, as they may be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text on one line; what could move a cursor or cannot be drawn is escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
