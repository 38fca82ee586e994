"""Credentials, and how they are kept out of messages, logs and the environment of other processes.

URLs, which may hold a user, a password or a signature, are cut by `sofdata.storage.urls`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sofdata.storage.urls import public_text

_SECRET_NAME = re.compile(
    r"secret|token|passw|credential|access_?key|api_?key|^key$", re.IGNORECASE
)
_SECRET_LENGTH = 6  # characters; replacing shorter ones would remove parts of common words


def is_secret_name(name: str) -> bool:
    """Whether an option or a variable of this name holds a credential."""
    return bool(_SECRET_NAME.search(name))


def public_message(error: BaseException) -> str:
    """The message of an error, without whatever secret a URL in it may carry."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return public_text(text)


def without_secrets(text: str, options: Mapping[str, Any]) -> str:
    """A text without the secrets that the options of a file system or the environment hold."""
    for secret in {*_secrets(options), *_secrets(os.environ)}:
        text = text.replace(secret, "***")
    return text


def _secrets(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= _SECRET_LENGTH and is_secret_name(str(name)):
            yield value
