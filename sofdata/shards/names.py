"""Names of files that a dataset's own tables give: plain ones, or the dataset is refused.

A dataset may come from an untrusted source. No name in it may lead a reader to a file outside its
folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sofdata.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 255  # bytes of a file's name


def is_file_name(name: object) -> bool:
    """Whether this is the name of a file in a folder: no path, no URL, no control character."""
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    odd = "/" in name or "\\" in name or not name.isprintable()
    return not odd and len(name.encode(errors="replace")) <= LONGEST


def check_file_names(names: Iterable[object], where: str) -> None:
    """Raise `InputError` for a name that is none; where: the table that holds it, and of what."""
    for name in names:
        if not is_file_name(name):
            raise InputError(
                f"{where} names {str(name)!r:.80} where the name of a file in the dataset belongs: "
                "it is damaged, or made to lead elsewhere, and is not read"
            )


def check_shards(index: pa.Table, where: str) -> None:
    """Check the names of the shards in an index, each once. Raises `InputError`."""
    check_file_names(index["shard"].unique().to_pylist(), where)
