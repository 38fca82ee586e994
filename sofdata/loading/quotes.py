"""The quotes of a filter, read as people mean them, or refused with the place and the reason.

A filter is parsed by Python's grammar, in which `'it''s'` is `its`, `'videos\\new.mp4'` breaks a
line, and what follows a `#` is no part of it. None of these may select other windows in silence.
"""

from __future__ import annotations

from sofdata.errors import ConfigError

_CURLY = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb\u00b4`"
_ESCAPES = {"\\": "\\", "'": "'", '"': '"'}
_HEX = {"x": 2, "u": 4}
SHOWN = 200  # characters of a filter in a message
HOW = (
    "a text stands between two ' or two \"; a quote of the same kind within it, and a backslash, "
    "have a backslash before them: 'it\\'s', \"it's\", 'folder\\\\clip.mp4'"
)


def checked(where: str) -> str:
    """A filter on one line, of which Python's grammar says the same as a person.

    Raises `ConfigError` with the place of what is not: a quote that is not closed or is a
    typographic one, two texts without anything between them, another escape than `\\\\`, `\\'`,
    `\\"`, `\\xHH` and `\\uHHHH`, a prefix such as in r'...', a comment.
    """
    found, place, after_text = [], 0, False
    while place < len(where):
        char = where[place]
        if char in "'\"":
            if after_text:
                raise wrong(where, place, f"two texts stand side by side; {HOW}")
            if place and (where[place - 1].isalnum() or where[place - 1] == "_"):
                raise wrong(where, place, f"a text begins right after a letter; {HOW}")
            end = _end(where, place)
            if where[end : end + 1].isalnum():
                raise wrong(where, end, f"the quote before it ends the text; {HOW}")
            found.append(where[place:end])
            place, after_text = end, True
            continue
        if char in _CURLY:
            raise wrong(where, place, f"{char} is a typographic quote; {HOW}")
        if char in "#\\":
            raise wrong(where, place, f"{char} may stand only within quotes")
        found.append(" " if char.isspace() else char)
        after_text = after_text and char.isspace()
        place += 1
    return "".join(found).strip()


def quoted(text: str) -> str:
    """A text as a filter writes it, whatever it holds."""
    body = text.replace("\\", "\\\\").replace("'", "\\'")
    shown = [char if char.isprintable() or ord(char) > 0xFFFF else _escape(char) for char in body]
    return f"'{''.join(shown)}'"


def wrong(where: str, place: int, what: str) -> ConfigError:
    """What is wrong at which character of a filter, counted from 1."""
    rest = where[place : place + 20]
    at = f"at character {place + 1}, {rest!r}" if rest.strip() else "at its end"
    return ConfigError(f"the filter {where[:SHOWN]!r} cannot be read {at}: {what}")


def _end(where: str, start: int) -> int:
    """The place behind the text that begins at `start`."""
    place = start + 1
    while place < len(where):
        char = where[place]
        if char == where[start]:
            return place + 1
        if char in "\r\n":
            break
        place += 1 if char != "\\" else _escape_length(where, place)
    raise wrong(where, start, f"the quote that begins here is not closed; {HOW}")


def _escape_length(where: str, place: int) -> int:
    following = where[place + 1 : place + 2]
    if following in _ESCAPES:
        return 2
    digits = where[place + 2 : place + 2 + _HEX.get(following, 0)]
    whole = len(digits) == _HEX.get(following, -1)
    if whole and all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return 2 + len(digits)
    raise wrong(where, place, f"a backslash stands before {following!r}; {HOW}")


def _escape(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"
