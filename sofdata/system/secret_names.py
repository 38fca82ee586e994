"""Which options and variables hold credentials, by their names."""

from __future__ import annotations

import re

_SECRET_NAME = re.compile(
    r"secret|token|passw|credential|access_?key|api_?key|^key$", re.IGNORECASE
)


def is_secret_name(name: str) -> bool:
    """Whether an option or a variable of this name holds a credential."""
    return bool(_SECRET_NAME.search(name))
