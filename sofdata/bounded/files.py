"""Small files of a dataset, read whole only if they are small."""

from __future__ import annotations

import errno

from sofdata.errors import InputError, StorageError
from sofdata.storage.folder import Folder


def read_small(tree: Folder, rel: str, most_bytes: int) -> bytes:
    """A whole file of at most `most_bytes`; no more than that is read, in one request.

    Raises `FileNotFoundError`, `InputError` for a larger file or one that is no plain file, and
    `StorageError` where it cannot be read, which says nothing of what it holds.
    """
    if tree.is_local and tree.exists(rel) and not tree.is_file(rel):
        raise InputError(f"{rel} in {tree.name} is no file")  # a pipe would be waited for
    try:
        data = tree.read_range(rel, 0, most_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{rel} in {tree.name} is a link that leads to itself") from None
        raise StorageError(
            f"cannot read {rel} in {tree.name}: {error.strerror or error}; fix this, "
            "then rerun the command"
        ) from None
    if len(data) > most_bytes:
        raise InputError(f"{rel} in {tree.name} has more than the {most_bytes} bytes that are read")
    return data
