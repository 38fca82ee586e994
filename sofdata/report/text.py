"""Names, labels and errors of others, as they may be shown."""

from __future__ import annotations

MOST_SHOWN = 20_000  # characters


def printable(text: str) -> str:
    """Text on one line; what could move a cursor or cannot be drawn is escaped, megabytes are cut."""
    cut = f"... ({len(text) - MOST_SHOWN} more characters)" if len(text) > MOST_SHOWN else ""
    shown = text[:MOST_SHOWN]
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown) + cut
