"""Many different texts in two arrays, in place of an object for each.

Captions of ten million windows, or names of a million files, would be gigabytes of Python's
strings. Offsets are 64-bit, so that there may be more than 2 GiB of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 1 << 16  # texts that are waited for before they are compared with the others
SHOWN = 3


class Texts(Sequence[str]):
    """Different texts, sorted by code points: what `tuple(sorted(set(texts)))` would hold.

    It is equal to any sequence of the same texts. To look one up takes some microseconds.

    values: an Arrow column, or texts of Python, in any order, also several times.
    """

    __slots__ = ("_values",)

    def __init__(self, values: pa.Array | Iterable[str] = ()) -> None:
        import pyarrow as pa

        array = values if isinstance(values, pa.Array) else pa.array(values, pa.large_string())
        # UTF-8 is sorted by bytes as its code points are, which is how Python sorts.
        array = array.cast(pa.large_string()).sort()
        new = _differs(array)
        self._values: pa.LargeStringArray = array if new.all() else array.filter(new)

    @classmethod
    def numbered(cls, values: pa.Array) -> tuple[Texts, NDArray[np.int32]]:
        """The different ones of some texts, and the number of each of them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        order = pc.sort_indices(values)
        array = values.cast(pa.large_string()).take(order)
        new = _differs(array)
        numbers = np.empty(len(array), np.int32)
        numbers[order.to_numpy()] = np.cumsum(new, dtype=np.int32) - 1
        return cls._sorted(array if new.all() else array.filter(new)), numbers

    @classmethod
    def _sorted(cls, array: pa.LargeStringArray) -> Texts:
        texts = cls.__new__(cls)
        texts._values = array
        return texts

    def those(self, chosen: NDArray[np.bool_]) -> Texts:
        """Some of them, bool [texts]."""
        if chosen.all():
            return self
        return self._sorted(self._values.filter(chosen))

    def among(self, others: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these texts are among others, bool [texts]."""
        import pyarrow.compute as pc

        others = others if isinstance(others, Texts) else Texts(others)
        found, start = np.zeros(len(self), np.bool_), 0
        for first in range(0, len(self), FEW):  # both are sorted: a stretch of each at a time
            part = self._values[first : first + FEW]
            stop = bisect_right(others, part[-1].as_py())
            known = others._values[start:stop]
            found[first : first + FEW] = pc.is_in(part, value_set=known).to_numpy(False)
            start = stop
        return found

    @property
    def values(self) -> pa.LargeStringArray:
        """The texts as an Arrow column."""
        return self._values

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return int(self._values.nbytes)

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self._values[place].to_pylist())
        text: str = self._values[place].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), FEW):
            yield from self._values[start : start + FEW].to_pylist()

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self._place(text) is not None

    def index(self, text: str, *bounds: Any) -> int:
        """The place of a text. Raises `ValueError` for one that is not there."""
        place = self._place(text)
        if place is None or (bounds and place not in range(len(self))[slice(*bounds)]):
            raise ValueError(f"{text!r:.80} is none of these texts")
        return place

    def _place(self, text: str) -> int | None:
        place = bisect_left(self, text)
        return place if place < len(self) and self[place] == text else None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return bool(self._values.equals(other._values))
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __hash__(self) -> int:
        return hash(tuple(self))  # as that of the tuple that it is equal to

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:SHOWN])
        return f"Texts({shown}{', ...' if len(self) > SHOWN else ''}; {len(self)} in all)"


def _differs(array: pa.LargeStringArray) -> NDArray[np.bool_]:
    """Which of some sorted texts are not as the one before them, bool [texts]."""
    import pyarrow.compute as pc

    new = np.ones(len(array), np.bool_)
    new[1:] = pc.not_equal(array[1:], array[:-1]).to_numpy(zero_copy_only=False)
    return new


class Distinct:
    """Collects the different values of columns of texts, in the memory that these take."""

    def __init__(self) -> None:
        self._chunks: list[pa.Array] = []
        self._waiting = self._known = 0

    def add(self, values: pa.Array) -> None:
        """Add some, of which any may be there already."""
        import pyarrow as pa

        self._chunks.append(values.cast(pa.large_string()))
        self._waiting += len(values)
        if self._waiting > max(FEW, self._known):
            self._merge()

    def _merge(self) -> None:
        import pyarrow as pa

        merged = pa.chunked_array(self._chunks, pa.large_string()).unique()
        self._chunks, self._known, self._waiting = [merged], len(merged), 0

    def __len__(self) -> int:
        self._merge()
        return self._known

    def values(self) -> pa.LargeStringArray:
        """The different values, in the order in which they came."""
        self._merge()
        return self._chunks[0]
