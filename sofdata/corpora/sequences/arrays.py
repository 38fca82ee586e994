"""Actions that are joined from several arrays: which ones, and what their numbers are called.

A layout is how many numbers a row has of each array, by its path, in order: {"action/arm": 7}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sofdata.corpora.entry import Entry
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.types import ActionSpec

Layout = Mapping[str, int]


def most_common(layouts: Iterable[Layout]) -> dict[str, int] | None:
    """The layout of most, of equals the first by its names; None where there is none."""
    counts: Counter[tuple[tuple[str, int], ...]] = Counter()
    for layout in layouts:
        counts[tuple(layout.items())] += 1
    best = min(counts, key=lambda each: (-counts[each], each), default=None)
    return None if best is None else dict(best)


def common_layout(
    tree: Tree, layouts: Iterable[Layout], kinds: Sequence[Sequence[str]], file: str, row: str
) -> Layout:
    """The layout of most files that have arrays of each kind.

    kinds: paths of actions, and of states where they are wanted. file: what the files are called,
    and row: what each number of rows is of, for the error.

    Raises `ConfigError` where no file has what is wanted.
    """
    found = most_common(each for each in layouts if all(set(kind) & each.keys() for kind in kinds))
    if found is None:
        names = " and ".join(f"{kind[0]}, ..." for kind in kinds)
        raise ConfigError(
            f"no {file} in {tree.name} has {names} for each {row}; leave out --with-actions to use "
            "the videos alone"
        )
    return found


def other_actions(entry: Entry, found: Layout, layout: Layout) -> Entry:
    """An entry whose numbers are not those of most, as a reject."""
    detail = f"its actions are {told(found)}; those of most episodes {told(layout)}"
    return replace(entry, problem="other_actions", detail=detail)


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
