"""Calls to remote storage: which failures are retried, how often, and what the errors say.

This is the only place where a request is retried; in the libraries below retries are switched off.
A call is tried `TRIES` times with growing pauses, about eight seconds in all, and only for what may
work the next time: lost connections, timeouts, answers of 408, 409, 425, 429 and 5xx, and checksums
that do not match. A refusal, a wrong name or a request that the store does not know fails at once.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sofdata.errors import StorageError, TransientError
from sofdata.storage.secrets import public_message, without_secrets
from sofdata.system.fault_points import fault_point

T = TypeVar("T")

TRIES = 5
FIRST_PAUSE_S = 0.2
GROWTH = 3
_LIBRARIES = {"adlfs", "aiobotocore", "aiohttp", "botocore", "gcsfs", "httpx", "huggingface_hub"}
# A client's mistake by its status, but the network's by its nature.
_RETRIED_CODES = {
    "BadDigest",
    "IncompleteBody",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
}
_RETRIED_STATUS = {408, 409, 425, 429}
_FINAL_ERRNO = {
    errno.EINVAL,
    errno.EISDIR,
    errno.EMSGSIZE,
    errno.ENAMETOOLONG,
    errno.ENOSYS,
    errno.ENOTDIR,
    errno.ENOTSUP,
    errno.EROFS,
}


def retrying(what: str, where: str, options: Mapping[str, Any], action: Callable[[], T]) -> T:
    """Call a remote file system, and again after a growing pause while that may help.

    what: "upload shards/a.tar", say; where: the place, fit to be shown; options: of the file
    system, whose secrets appear in no error.

    Raises `FileNotFoundError`, `StorageError` for what will not work the next time either, and
    `TransientError` once all tries have failed.
    """
    verb, _, rel = what.partition(" ")
    message = ""
    for attempt in range(TRIES):
        try:
            fault_point(f"remote {verb}")
            return action()
        except FileNotFoundError:  # its own text may hold a URL with a query
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), rel) from None
        except FileExistsError:
            raise
        except Exception as error:
            if not is_remote_failure(error):
                raise
            message = without_secrets(public_message(error), options)
            if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
                raise StorageError(
                    f"may not {what} at {where}: {message}; check the credentials"
                ) from None
            if _is_final(error):
                raise StorageError(f"cannot {what} at {where}: {message}") from None
        if attempt < TRIES - 1:
            time.sleep(_pause_s(attempt))
    raise TransientError(f"could not {what} at {where} in {TRIES} tries: {message}") from None


def is_remote_failure(error: Exception) -> bool:
    """Whether an error is the network's or the store's, whose libraries raise their own."""
    library = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or library in _LIBRARIES


def may_pass(error: Exception) -> bool:
    """Whether an error is of a kind that may not come again, such as a busy server's."""
    refused = isinstance(error, FileNotFoundError | PermissionError)
    return is_remote_failure(error) and not refused and not _is_final(error)


def is_out_of_range(error: BaseException) -> bool:
    """Whether a store refused a range because the file ends before it."""
    return _status(error) == 416 or code_of(error) == "InvalidRange"


def _pause_s(attempt: int) -> float:
    """Growing, and not the same in all processes, which would come back all at once."""
    return FIRST_PAUSE_S * float(GROWTH**attempt) * (0.75 + os.getpid() % 101 / 202)


def _is_final(error: BaseException) -> bool:
    """Whether the same request would fail again."""
    if code_of(error) in _RETRIED_CODES:
        return False
    status = _status(error)
    if status is not None:
        return (400 <= status < 500 and status not in _RETRIED_STATUS) or status == 501
    return isinstance(error, OSError) and error.errno in _FINAL_ERRNO


def _response(error: BaseException) -> Mapping[str, Any]:
    """What the store answered botocore; s3fs wraps its errors in those of the system."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, Mapping):
            return response
    return {}


def code_of(error: BaseException) -> str:
    """S3's name for an error, such as "SlowDown"; "" for an error that is not S3's."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def _status(error: BaseException) -> int | None:
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    for name in ("status", "code"):  # aiohttp's, gcsfs's
        status = status if status is not None else getattr(error, name, None)
    return status if isinstance(status, int) else None
