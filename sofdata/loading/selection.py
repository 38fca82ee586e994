"""Which windows of a catalog are used: those of a filter, and those of one side of a split."""

from __future__ import annotations

import os

import numpy as np

from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog
from sofdata.loading.files import Files
from sofdata.loading.places import Windows
from sofdata.loading.split import SIDES, HeldOut, Side, Sides, divide
from sofdata.loading.where import describe, select

Split = tuple[Side, float | str | os.PathLike[str] | HeldOut | Sides]


def checked_split(split: Split | None) -> tuple[Side, HeldOut | Sides] | None:
    """A split as it is given, with a share or the path of a list as what is held out.

    Raises `ConfigError` for another side, or another share than between 0 and 1.
    """
    if split is None:
        return None
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise ConfigError(f"split is ('train', share) or ('held_out', share), got {split!r:.60}")
    side, how = split
    if side not in SIDES:
        raise ConfigError(f"split is ('train', share) or ('held_out', share), got {side!r}")
    if isinstance(how, str | os.PathLike):
        return side, HeldOut(listed=os.fspath(how))
    return side, how if isinstance(how, HeldOut | Sides) else HeldOut(float(how))


def choose(
    catalog: Catalog, where: str, columns: list[str], split: tuple[Side, Sides, Files] | None
) -> Windows:
    """The windows of a whole catalog that filter and split leave.

    columns: those that the filter reads. Raises `ConfigError` if no window is left.
    """
    chosen = np.ones(catalog.windows.rows, np.bool_)
    if where.strip():
        chosen = select(catalog.tables(columns), where)
        if not chosen.any():
            raise ConfigError(
                f"the filter {where!r} selects none of the {len(chosen)} windows of "
                f"{catalog.name}: {describe(catalog.tables(columns))}"
            )
    if split is not None:
        side, sides, files = split
        chosen &= sides.on(side, files, catalog.name)
        if not chosen.any():
            raise ConfigError(
                f"no window of {catalog.name} is left on the side '{side}', with {sides.how} held "
                f"out, after the filter {where!r}: hold out another share, or select more"
            )
    return catalog.windows.select(chosen)


def sides_of(catalog: Catalog, files: Files, how: HeldOut | Sides) -> Sides:
    """Where each file is, as it was decided before or is now."""
    return how if isinstance(how, Sides) else divide(catalog, files, how)
