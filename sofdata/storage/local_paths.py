"""Folders and files that must be local: what a URL given for one of them means, or that it cannot.

Without this, `--out s3://bucket/models` would be a folder named `s3:` in the working directory.
"""

from __future__ import annotations

import os
import re

from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_url

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# One that lost a slash on its way, as in Path("s3://bucket/models").
_LOST = re.compile(
    r"(s3a?|gc?s|az|abfss?|adl|hf|memory|https?|s?ftp|hdfs|webdav|file|local):/+", re.IGNORECASE
)
_LOCAL = ("file://", "local://")


def local_path(given: str | os.PathLike[str], what: str = "this") -> str:
    """A path on this machine, also of a file:// URL.

    what: names the argument or option in the error.

    Raises `ConfigError` for a URL of anything else.
    """
    text = os.fspath(given)
    if text.startswith(_LOCAL):
        return Tree(text).root
    if _URL.match(text) or _LOST.match(text):
        raise ConfigError(
            f"{what} is {_shown(text)}, and has to be on this machine: give a local path (a "
            "mounted bucket has one), and copy from or to the store with its own tool"
        )
    return text


def local_folder(given: str | os.PathLike[str], what: str = "this") -> str:
    """As `local_path`, and also raises `ConfigError` if there is a file in place of the folder."""
    path = local_path(given, what)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ConfigError(f"{what} is {path}, which is a file; give a folder")
    return path


def whole_url(given: str, what: str = "this") -> str:
    """A path or a URL as it is. Raises `ConfigError` for a URL that has lost a slash."""
    lost = _LOST.match(given)
    if lost and not _URL.match(given):
        shown = _shown(given)
        raise ConfigError(
            f"{what} is {shown}, which would be a folder named {lost[1]}: here; give "
            f"{shown.replace(':/', '://', 1)} for the store, or ./{shown} for that folder"
        )
    return given


def _shown(text: str) -> str:
    """What of a URL may be shown, also of one that lost a slash."""
    text = text.partition("?")[0]  # whatever it is of, a name or a secret
    if "://" in text:
        return public_url(text)
    scheme, _, rest = text.partition(":/")
    return public_url(f"{scheme}://{rest.lstrip('/')}").replace("://", ":/", 1)
