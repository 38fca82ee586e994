"""`sofdata.storage.remote`: what may work the next time is tried again, and no secret is told."""

from __future__ import annotations

import pytest

from sofdata.errors import StorageError, TransientError
from sofdata.storage.remote import open_store
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_url

SECRET = "s3cr3t-m4rker"


@pytest.mark.parametrize(
    "url",
    [
        f"https://key:{SECRET}@host/a",
        f"https://host/a?token={SECRET}",
        f"https://host/a#{SECRET}",
        f"s3://b/a?X-Amz-Signature={SECRET}",
    ],
)
def test_a_secret_in_a_url_is_neither_shown_nor_told_in_errors(url: str) -> None:
    assert SECRET not in public_url(url) + repr(Tree(url, {"secret": SECRET}))

    def fail() -> None:
        raise OSError(f"could not reach {url} today")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(TransientError) as error:
            open_store(url, {"secret": SECRET}).call("look", fail)
    assert SECRET not in str(error.value)
    assert "could not reach" in str(error.value)


def test_a_remote_failure_is_retried_and_a_refused_credential_is_not() -> None:
    store, calls = open_store("memory://x", {}), []

    def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError("reset by peer")
        return "ok"

    assert store.call("read", flaky) == "ok"
    assert len(calls) == 3

    def refuse() -> None:
        calls.append(1)
        raise PermissionError("Access Denied")

    with pytest.raises(StorageError, match="check the credentials"):
        store.call("read", refuse)
    assert len(calls) == 4
