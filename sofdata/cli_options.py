"""What arguments and options of several commands have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sofdata.cli_places import place, source
from sofdata.local_paths import local_folder, local_path, whole_url

NoLock = Annotated[
    bool,
    typer.Option(
        "--no-lock",
        help="Take no lock, where the file system has none: you are sure that nothing else writes "
        "there.",
    ),
]


def _each(
    check: Callable[[str, str], str], first: Callable[[str], object] = place
) -> Callable[[typer.CallbackParam, Any], Any]:
    """A callback that looks at a value, or at each of several, and names it in errors.

    first: what is checked of any place.
    """

    def checked(value: str, name: str) -> str:
        first(value)
        return check(value, name)

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = param.opts[0] if param.opts[0].startswith("-") else str(param.name).upper()
        if isinstance(value, str):
            return checked(value, name)
        if isinstance(value, Sequence):
            return [checked(each, name) for each in value]
        return value

    return callback


LOCAL = _each(local_path)
LOCAL_FOLDER = _each(local_folder)
WHOLE_URL = _each(whole_url)
SOURCE = _each(whole_url, source)
