"""Stamps of files in object stores: what a listing, or a request for a file, says of its version.

Stores say it under names of their own. What says nothing, such as a web server's page of links,
gives no stamp: such a file is read to know whether it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sofdata.storage.walk import Stamp

ETAGS = ("ETag", "etag", "blob_id")  # of S3, of Google's store, of Hugging Face's hub
TIMES = ("LastModified", "updated")  # of S3, of Google's store
SECOND_NS = 1_000_000_000


def stamp_of(found: Mapping[str, Any]) -> Stamp:
    """The stamp of a file from what fsspec or S3 knows of it."""
    etag = next((str(found[name]) for name in ETAGS if found.get(name)), "")
    time = next((found[name] for name in TIMES if found.get(name)), None)
    return Stamp(_nanoseconds(time), etag.strip('"'))


def _nanoseconds(time: object) -> int:
    """A time as stores give it, 0 for none that is known."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            return 0
    if not isinstance(time, datetime):
        return 0
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp()) * SECOND_NS + time.microsecond * 1000
