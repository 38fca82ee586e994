"""What of a URL, and of a text with URLs in it, may be shown and stored: nothing that is secret.

Whoever prints, logs or stores a URL, or a text that another library has written, does it through
`public_url` or `public_text`.
"""

from __future__ import annotations

import re

# Where a question mark and a number sign are letters of a name, not the start of a query.
_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})  # CONTAINER@ACCOUNT
_ON_DISK = frozenset({"file", "local", "memory"})
STORES = _CONTAINERS | _ON_DISK | {"adl", "az", "gcs", "gs", "hf", "oci", "oss", "s3", "s3a"}
# Signatures and tokens, and what clients take for a version: these are a query there, too.
_QUERY = re.compile(
    r"[?&](?:x-(?:amz|goog|oss|ms)-|awsaccesskeyid=|signature=|sig=|token=|access_token=|versionid=)",
    re.IGNORECASE,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*")  # also chains, such as simplecache::s3
_PORT = re.compile(r"[^/:@]*:\d+(?:/|$)")  # after a host, before its path
_WHOLE_NAME = "arn:"  # of a bucket of S3, full of colons


def public_url(url: str) -> str:
    """A URL without user and password, and without query and fragment where it may have any.

    In stores such as S3 `?` and `#` belong to names and stay, unless a signature follows. What is
    no URL comes back as it is.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        return url
    rest = rest[_user_ends(scheme, rest) :]
    if not _is_store(scheme):
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    elif _QUERY.search(rest):
        rest = rest.partition("?")[0]
    return f"{scheme}://{rest}"


def public_text(text: str) -> str:
    """A text, such as an error of another library, in which every URL is fit to be shown."""
    return _URL.sub(lambda found: public_url(found[0]), text)


def has_query(url: str) -> bool:
    """Whether a URL has a query, or in a store what may be taken for one and for a secret."""
    scheme, _, rest = url.partition("://")
    return "?" in rest if not _is_store(scheme) else "?" in rest and bool(_QUERY.search(rest))


def user_of(url: str) -> str:
    """The user, and the password, that stand before the host of a URL; "" for none."""
    scheme, mark, rest = url.partition("://")
    return rest[: _user_ends(scheme, rest)].rstrip("@") if mark else ""


def _is_store(scheme: str) -> bool:
    return scheme.lower().rpartition("::")[2] in STORES


def _user_ends(scheme: str, rest: str) -> int:
    """Where the host begins in what follows `://`.

    A password that holds a slash, as those of S3 do, ends the host too early for whoever reads
    strictly; after a colon that begins no port, all up to the last @ is taken for a secret.
    """
    host = rest.partition("/")[0]
    if host.startswith(_WHOLE_NAME) or scheme.lower() in _ON_DISK:
        return 0
    user, at, _ = host.rpartition("@")
    if at:
        return len(user) + 1 if scheme.lower() not in _CONTAINERS or ":" in user else 0
    if ":" in host and not _PORT.match(rest):
        return rest.rfind("@") + 1
    return 0
