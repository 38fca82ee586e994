"""Small files of a dataset, read whole only if they are small."""

from __future__ import annotations

from sofdata.errors import InputError
from sofdata.storage import Tree


def read_small(tree: Tree, rel: str, most_bytes: int) -> bytes:
    """A whole file of at most `most_bytes`; no more than that is read, in one request.

    Raises `FileNotFoundError`, and `InputError` for a larger file or one that is no plain file.
    """
    if tree.is_local and tree.exists(rel) and not tree.is_file(rel):
        raise InputError(f"{rel} in {tree.name} is no file")  # a pipe would be waited for
    data = tree.read_range(rel, 0, most_bytes + 1)
    if len(data) > most_bytes:
        raise InputError(f"{rel} in {tree.name} has more than the {most_bytes} bytes that are read")
    return data
