"""Names, labels and errors of others, as they may be shown."""

from __future__ import annotations

MOST_SHOWN = 20_000  # characters


def printable(text: str) -> str:
    """Text on one line, cut if it is endless; what could move a cursor or is no sign is escaped."""
    cut = f"... ({len(text) - MOST_SHOWN} more characters)" if len(text) > MOST_SHOWN else ""
    shown = text[:MOST_SHOWN]
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown) + cut
