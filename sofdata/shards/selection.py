"""Which windows of a catalog are used: those of a filter, and those of one side of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.shards.catalog import Catalog
from sofdata.shards.order import Rows
from sofdata.shards.where import describe, select

if TYPE_CHECKING:
    import pyarrow as pa

Split = tuple[Literal["train", "held_out"], float]


def choose(catalog: Catalog, where: str, columns: list[str], split: Split | None) -> Rows:
    """The rows that filter and split leave, int64, increasing.

    columns: those that the filter reads. Raises `ConfigError` if no row is left.
    """
    chosen = np.ones(len(catalog.windows), np.bool_)
    if where.strip():
        chosen = select(catalog.index, where)
        if not chosen.any():
            raise ConfigError(
                f"the filter {where!r} selects none of the {len(chosen)} windows of "
                f"{catalog.name}: {describe(catalog.index.select(columns))}"
            )
    if split is not None:
        chosen &= _on_side(catalog.index["source"], *split)
        if not chosen.any():
            left = f" after the filter {where!r}" if where.strip() else ""
            raise ConfigError(
                f"no window of {catalog.name} is left on the side {split[0]!r} of {split[1]} held "
                f"out{left}: videos are never split, so take another share, or more videos"
            )
    return np.flatnonzero(chosen)


def _on_side(sources: pa.ChunkedArray, side: str, share: float) -> NDArray[np.bool_]:
    if side not in ("train", "held_out") or not 0 < share < 1:
        raise ConfigError(
            f"split is ('train', share) or ('held_out', share) with a share between 0 and 1, got "
            f"{(side, share)}"
        )
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = held_out(sources.unique().to_pylist(), share)
    is_kept = pc.is_in(sources, value_set=pa.array(kept, pa.string()))
    found: NDArray[np.bool_] = is_kept.to_numpy()
    return found if side == "held_out" else ~found


def held_out(sources: Sequence[str], share: float) -> list[str]:
    """The videos that are kept from training: about `share` of them, by a hash of their names.

    A video stays on its side when others are added. Of two videos and more, at least one is on
    each side, whatever their hashes.
    """
    place = {source: _place(source) for source in sources}
    lowest, highest = min(place, key=place.__getitem__), max(place, key=place.__getitem__)
    if lowest == highest:
        return []
    chosen = {source for source in place if place[source] < share}
    return sorted((chosen | {lowest}) - {highest})


def _place(source: str) -> float:
    """Where a video lies between 0 and 1, evenly spread and the same on every machine."""
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:6], "big") / (1 << 48)
