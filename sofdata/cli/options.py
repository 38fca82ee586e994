"""What arguments and options of several commands have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sofdata.errors import ConfigError

NoLock = Annotated[
    bool,
    typer.Option(
        "--no-lock",
        help="Take no lock, where the file system has none: you are sure that nothing else writes "
        "there.",
    ),
]


def _each(check: Callable[[str, str], str]) -> Callable[[typer.CallbackParam, Any], Any]:
    """A callback that looks at a value, or at each of several, and names it in errors."""

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = param.opts[0] if param.opts[0].startswith("-") else str(param.name).upper()
        if isinstance(value, str):
            return check(_stated(value, name), name)
        if isinstance(value, Sequence):
            return [check(_stated(each, name), name) for each in value]
        return value

    return callback


def _stated(value: str, name: str) -> str:
    """Refuses an empty place, which a variable that is not set leaves."""
    if not value.strip():
        raise ConfigError(f"{name} is empty; give a path or a URL ('.' is this folder)")
    if name.lower().lstrip("-") != "source" and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ConfigError(f"{name} is no Unicode, and tables cannot be stored there: rename it")
    return value


def _checked(name: str) -> Callable[[str, str], str]:
    """A function of `sofdata.storage.local_paths`, which costs as much to import as all of the help."""

    def check(value: str, option: str) -> str:
        from sofdata.storage import local_paths

        found: str = getattr(local_paths, name)(value, option)
        return found

    return check


GIVEN = _each(lambda value, _: value)
LOCAL = _each(_checked("local_path"))
LOCAL_FOLDER = _each(_checked("local_folder"))
WHOLE_URL = _each(_checked("whole_url"))
