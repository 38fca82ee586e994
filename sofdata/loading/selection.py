"""Which windows of a catalog are used: those of a filter, and those of one side of a split."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog
from sofdata.loading.described import describe
from sofdata.loading.places import Windows
from sofdata.loading.split import SIDES, HeldOut, Side, Sides, divide
from sofdata.loading.stored import stored_sides
from sofdata.loading.where import Where, is_given, select

Split = Side | tuple[Side, float | str | os.PathLike[str] | HeldOut | Sides]


@dataclass(frozen=True, slots=True)
class Stored:
    """As it is stored with the datasets."""


def checked_split(split: Split | None) -> tuple[Side, HeldOut | Sides | Stored] | None:
    """A split as it is given, with a share or the path of a list as what is held out.

    A side alone is that of the split that is stored with the datasets.

    Raises `ConfigError` for another side, or another share than between 0 and 1.
    """
    if split is None:
        return None
    if isinstance(split, str) and split in SIDES:
        return split, Stored()
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise ConfigError(
            "split is ('train', share) or ('held_out', share), or a side of the split that is "
            f"stored with the data, 'train' or 'held_out'; got {split!r:.60}"
        )
    side, how = split
    if side not in SIDES:
        raise ConfigError(f"split is ('train', share) or ('held_out', share), got {side!r}")
    if isinstance(how, str | os.PathLike):
        return side, HeldOut(listed=os.fspath(how))
    return side, how if isinstance(how, HeldOut | Sides) else HeldOut(float(how))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One side of a split: which windows are on it, bool [windows]."""

    side: Side
    sides: Sides
    windows: NDArray[np.bool_]


def part_of(catalog: Catalog, split: tuple[Side, HeldOut | Sides | Stored] | None) -> Part | None:
    """The windows on a side, as it was decided before or is now; None where none is asked for.

    The file of each window, which takes several times the memory, is not needed afterwards.
    """
    if split is None:
        return None
    (side, how), files = split, catalog.files()
    if isinstance(how, Stored):
        sides = stored_sides(catalog, files)
    else:
        sides = how if isinstance(how, Sides) else divide(catalog, files, how)
    return Part(side, sides, sides.on(side, files, catalog.name))


def choose(catalog: Catalog, where: Where, columns: list[str], part: Part | None) -> Windows:
    """The windows of a whole catalog that filter and split leave.

    columns: those that the filter reads. Raises `ConfigError` if no window is left.
    """
    chosen = np.ones(catalog.windows.rows, np.bool_)
    if is_given(where):
        chosen = select(catalog.tables(columns), where)
        if not chosen.any():
            raise ConfigError(
                f"the filter {str(where)!r} selects none of the {len(chosen)} windows of "
                f"{catalog.name}: {describe(catalog.tables(columns))}"
            )
    if part is not None:
        chosen &= part.windows
        if not chosen.any():
            raise ConfigError(
                f"no window of {catalog.name} is left on the side '{part.side}', with "
                f"{part.sides.how} held out, after the filter {str(where)!r}: hold out another "
                "share, or select more"
            )
    return catalog.windows.select(chosen)
