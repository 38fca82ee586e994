"""Paths and URLs on the command line."""

from __future__ import annotations

import typer


def source(value: str | None) -> str | None:
    """A place to read from. Refuses an empty one, which a variable that is not set leaves."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it is empty; a path or a URL is expected ('.' is this folder)")
    return value


def place(value: str | None) -> str | None:
    """A place that tables are written to or read from, which takes names in Unicode only."""
    if source(value) is not None and any("\ud800" <= sign <= "\udfff" for sign in value or ""):
        raise typer.BadParameter(
            "its name is no Unicode, and tables cannot be stored there: rename it"
        )
    return value


def places(values: list[str] | None) -> list[str] | None:
    """As `place`, each of several."""
    for value in values or []:
        place(value)
    return values
