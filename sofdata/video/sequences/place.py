"""`SequencePlace`: which of the sequences of pictures in a file, as a value and as a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sofdata.errors import ContractError


@dataclass(frozen=True, slots=True)
class SequencePlace:
    """Which pictures of a file or folder are meant, and what it takes to read them.

    format: one of `sofdata.video.sequences.formats.FORMATS`.
    name: in the words of the format: the path of an array, a topic, a column; "" where there is but
        one.
    options: sorted by name; what else the reader has to be told, such as ("fps", "20").

    >>> place = SequencePlace.of("hdf5", "data/demo_0/obs/eye", fps=20.0)
    >>> place.text
    'hdf5:data/demo_0/obs/eye?fps=20.0'
    >>> SequencePlace.parse(place.text) == place
    True
    """

    format: str
    name: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, format: str, name: str = "", **options: str | float | int | None) -> Self:
        """Options that are None are left out. A float is written so that it reads back the same."""
        given = {key: str(value) for key, value in options.items() if value is not None}
        return cls(format, name, tuple(sorted(given.items())))

    @property
    def text(self) -> str:
        """For `Location.sequence` and `ActionRef.part`."""
        options = urlencode(self.options)
        return f"{self.format}:{quote(self.name, safe='/*')}" + (f"?{options}" if options else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ContractError` for what `text` has not written."""
        format, colon, rest = text.partition(":")
        name, _, options = rest.partition("?")
        if not colon or not format.isidentifier():
            raise ContractError(f"'{text:.80}' names no sequence of pictures")
        return cls(format, unquote(name), tuple(parse_qsl(options, keep_blank_values=True)))

    def get(self, option: str, default: str = "") -> str:
        """An option as text."""
        return dict(self.options).get(option, default)

    def number(self, option: str, default: float | None = None) -> float:
        """An option as a number. Raises `ContractError` where it is none and has no default."""
        try:
            return float(dict(self.options)[option])
        except KeyError:
            if default is not None:
                return default
            raise ContractError(f"'{self.text:.200}' lacks '{option}'") from None
        except ValueError:
            raise ContractError(f"'{self.text:.200}': '{option}' is no number") from None
