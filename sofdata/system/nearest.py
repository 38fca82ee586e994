"""Which known name a mistyped one may stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_LIKENESS = 0.4  # of difflib, 0 to 1; below it the hint would be a guess


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one, "" if none is; case, "-" and "_" are the same."""
    by_letters = {_letters(each): each for each in known}
    found = difflib.get_close_matches(_letters(name), by_letters, n=1, cutoff=_LIKENESS)
    return by_letters[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to append to "there is no ...": "; did you mean 'split'?", "" if no name is like it."""
    found = nearest(name, known)
    return f"; did you mean '{found}'?" if found else ""


def _letters(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())
