"""Uris: what of one may be shown, and those that name a part of a file rather than all of it."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

SAFE_SUFFIX = 8  # characters
UNPACKED = "#unpacked"  # after a pattern of parts: the tar that they make up, see `sofdata.packed`
_PART = re.compile(r"#bytes=(\d+)-(\d+)$")
_CELL = re.compile(r"#row=(\d+)&column=([^#&/]+)$")


def public_url(url: str) -> str:
    """A URL without user name, password, query and fragment."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    place = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rsplit('@', 1)[-1]}{slash}{path}"


def part_of(rel: str, start: int, end: int) -> str:
    """The uri of some bytes of a file, such as a member of a tar that is a file in itself."""
    return f"{rel}#bytes={start}-{end}"


def split_part(rel: str) -> tuple[str, tuple[int, int] | None]:
    """A uri as the file that it names and the (start, end) of the bytes meant, None for all."""
    found = _PART.search(rel)
    return (rel[: found.start()], (int(found[1]), int(found[2]))) if found else (rel, None)


def cell_of(rel: str, row: int, column: str) -> str:
    """The uri of a value of a binary column of a Parquet file, see `sofdata.cells`.

    row: from 0, of the whole file. column: of a field of a struct the path, such as video.bytes.
    """
    return f"{rel}#row={row}&column={quote(column, safe='')}"


def split_cell(rel: str) -> tuple[str, tuple[int, str] | None]:
    """A uri as the file that it names and the (row, column) meant, None for all of it."""
    found = _CELL.search(rel)
    return (rel[: found.start()], (int(found[1]), unquote(found[2]))) if found else (rel, None)


def is_part(rel: str) -> bool:
    """Whether a uri names a part of a file rather than all of it."""
    return bool(_PART.search(rel) or _CELL.search(rel))


def safe_suffix(rel: str) -> str:
    """The suffix of a file's name with its dot, "" for an odd one and for a part of a file."""
    if is_part(rel):
        return ""
    end = public_url(rel).rpartition("/")[2].rpartition(".")[2]
    return f".{end}" if end.isascii() and end.isalnum() and len(end) <= SAFE_SUFFIX else ""
