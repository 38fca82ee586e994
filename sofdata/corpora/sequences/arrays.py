"""Actions that are joined from several arrays: which ones, and what their numbers are called.

A layout is how many numbers a row has of each array, by its path, in order: {"action/arm": 7}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sofdata.types import ActionSpec

Layout = Mapping[str, int]


def most_common(layouts: Iterable[Layout]) -> dict[str, int] | None:
    """The layout of most, of equals the first by its names; None where there is none."""
    counts: Counter[tuple[tuple[str, int], ...]] = Counter()
    for layout in layouts:
        counts[tuple(layout.items())] += 1
    best = min(counts, key=lambda each: (-counts[each], each), default=None)
    return None if best is None else dict(best)


def spec_of(layout: Layout, heads: Mapping[str, str], fps: float) -> ActionSpec:
    """What the joined numbers are called: the head of their array, with a number where it has more.

    heads: by the paths of arrays.
    """
    return ActionSpec(tuple(_names(layout, heads)), fps)


def told(layout: Layout) -> str:
    """A layout for a person."""
    return ", ".join(f"{name} ({size})" for name, size in layout.items()) or "none"


def _names(layout: Layout, heads: Mapping[str, str]) -> Iterator[str]:
    for array, size in layout.items():
        head = heads[array]
        yield from [head] if size == 1 else [f"{head}_{number}" for number in range(size)]
