"""Texts that are shown: names, labels and errors of others made safe, and spans of time."""

from __future__ import annotations

MOST_SHOWN = 20_000  # characters


def printable(text: str) -> str:
    """Text on one line, cut if it is endless; what could move a cursor or is no sign is escaped."""
    cut = f"... ({len(text) - MOST_SHOWN} more characters)" if len(text) > MOST_SHOWN else ""
    shown = text[:MOST_SHOWN]
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown) + cut


def clock(seconds: float) -> str:
    """'1:02:03' or '2:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
