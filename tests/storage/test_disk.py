"""`sofdata.storage.local`: errors that say what to do."""

from __future__ import annotations

import errno

import pytest

from sofdata.errors import StorageError
from sofdata.storage.local import storage_errors


def test_an_error_of_the_system_says_what_to_do() -> None:
    with (
        pytest.raises(StorageError, match="fix this, then rerun the command"),
        storage_errors("write x"),
    ):
        raise OSError(errno.EROFS, "Read-only file system")
