"""Paths and URLs on the command line."""

from __future__ import annotations

import typer


def place(value: str | None) -> str | None:
    """A place as it was given. Refuses an empty one, which a variable that is not set leaves."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it is empty; a path or a URL is expected ('.' is this folder)")
    return value


def places(values: list[str] | None) -> list[str] | None:
    """As `place`, each of several."""
    for value in values or []:
        place(value)
    return values
