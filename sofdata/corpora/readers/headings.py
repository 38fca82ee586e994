"""What the columns of a table of videos mean: by their names, or as the configuration says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sofdata.corpora.config import ManifestConfig, pieces_of
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.system.nearest import did_you_mean

Role = Literal["uri", "id", "text", "start", "end"]

# The first of each is its own name, which wins over the others. Case does not count, and a space
# or a hyphen is an underscore. A unit has to be in the name of a time.
NAMES: dict[Role, tuple[str, ...]] = {
    "uri": (
        "uri",
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "video",
        "video_file",
        "video_filename",
        "video_name",
        "video_path",
        "videopath",
        "video_uri",
        "clip",
        "clip_path",
    ),
    "id": ("id",),
    "text": ("text", "caption"),
    "start": ("start_s", "start_sec", "start_seconds"),
    "end": ("end_s", "end_sec", "end_seconds"),
}
# Of times that may be frames or thousandths; they are labels, and a note says so.
_MAYBE_TIMES = {
    "start",
    "end",
    "start_time",
    "end_time",
    "start_timestamp",
    "end_timestamp",
    "time_start",
    "time_end",
}


@dataclass(frozen=True, slots=True)
class Roles:
    """What each column of a table is for.

    uri: pieces of what names a row's file: a column in each second place, text in the others.
    id, text, start, end: columns, "" for none. labels: all other columns.
    """

    uri: tuple[str, ...]
    id: str
    text: str
    start: str
    end: str
    labels: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that have a meaning."""
        named = (*self.uri[1::2], self.id, self.text, self.start, self.end)
        return tuple(name for name in named if name)


def wanted(config: ManifestConfig) -> list[str]:
    """Names by which the heading of a table is known."""
    return [*NAMES["uri"], *pieces_of(config.uri or "")[1::2]]


def uri_columns(heads: Sequence[str]) -> list[str]:
    """The columns that may name a row's file: one, or several of which none is called uri."""
    return _by_name("uri", heads)


def roles(tree: Tree, rel: str, heads: Sequence[str], config: ManifestConfig) -> Roles:
    """What the columns of a table mean.

    Raises `ConfigError` for a column that is asked for and is not there, for a table in which none
    names the files, and where two might mean the same.
    """
    uri = _uri(tree, rel, heads, config)
    id, text, start, end = (
        _role(tree, rel, heads, role, getattr(config, role)) for role in NAMES if role != "uri"
    )
    if bool(start) != bool(end):
        found = start or end
        what = f"of start and end it has {found!r} alone; name both, or neither with ''"
        raise misread(tree, rel, what)
    own = {id, text, start, end} | ({uri[1]} if len(uri) == 3 and not uri[0] + uri[2] else set())
    return Roles(uri, id, text, start, end, tuple(name for name in heads if name not in own))


def doubtful(found: Roles) -> str:
    """A note on columns that may be times but do not say in what, "" where there are none."""
    times = [name for name in found.labels if _key(name) in _MAYBE_TIMES]
    if not times or found.start:
        return ""
    return (
        f"{' and '.join(times)} may be times but name no unit, so they are labels; if they are "
        "seconds, name them: --set manifest.start=COLUMN --set manifest.end=COLUMN"
    )


def file_of(found: Roles, row: Mapping[str, str]) -> str:
    """What names a row's file, "" where a column of it is empty."""
    names = [row.get(name, "") for name in found.uri[1::2]]
    if not all(names):
        return ""
    pieces = list(found.uri)
    pieces[1::2] = names
    return "".join(pieces)


def no_uri(heads: Sequence[str]) -> str:
    """What to say of a table in which no column names the files."""
    found = ", ".join(heads)[:300] or "nothing"
    return (
        f"no column names the files; found {found}. Expected uri, or one of: "
        f"{', '.join(NAMES['uri'][1:])}; or name yours: --set manifest.uri=COLUMN, or a pattern "
        "of columns such as --set 'manifest.uri=videos/{folder}/{name}.mp4'"
    )


def _uri(tree: Tree, rel: str, heads: Sequence[str], config: ManifestConfig) -> tuple[str, ...]:
    if config.uri is not None:
        pieces = pieces_of(config.uri)
        for name in pieces[1::2]:
            _known(tree, rel, heads, "uri", name)
        return pieces
    found = _by_name("uri", heads)
    if not found:
        raise misread(tree, rel, no_uri(heads))
    return ("", _only(tree, rel, "uri", found), "")


def _role(tree: Tree, rel: str, heads: Sequence[str], role: Role, asked: str | None) -> str:
    if asked is not None:
        if asked:
            _known(tree, rel, heads, role, asked)
        return asked
    found = _by_name(role, heads)
    return _only(tree, rel, role, found) if found else ""


def _by_name(role: Role, heads: Sequence[str]) -> list[str]:
    names = NAMES[role]
    if names[0] in heads:
        return [names[0]]
    found = [head for head in heads if _key(head) in names]
    own = [head for head in found if _key(head) == names[0]]
    return own or found


def _key(head: str) -> str:
    return re.sub(r"[\s-]+", "_", head.strip().lower())


def _only(tree: Tree, rel: str, role: Role, found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    what = f"{', '.join(found)} may each be its {role}; say which: --set manifest.{role}={found[0]}"
    raise misread(tree, rel, what)


def _known(tree: Tree, rel: str, heads: Sequence[str], role: Role, name: str) -> None:
    if name not in heads:
        what = f"manifest.{role} asks for the column {name!r}; found {', '.join(heads)[:300]}"
        raise misread(tree, rel, what + did_you_mean(name, heads))


def misread(tree: Tree, rel: str, what: str) -> ConfigError:
    """The error where a table is as it should be, and the configuration does not fit it."""
    return ConfigError(f"table {rel} in {tree.name}: {what}")
