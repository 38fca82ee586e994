"""Datasets made of datasets, as functions; as those of `sofdata.api.functions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from sofdata.api.functions import Location, Settings, overrides, place

if TYPE_CHECKING:
    from sofdata.edits.derive import Derivation
    from sofdata.ingest.events import Event
    from sofdata.ingest.run import Prepared, Summary

EngineName = Literal["auto", "ray", "processes", "inline"]


def select(
    dest: Location,
    new: Location,
    *,
    where: str = "",
    engine: EngineName | None = None,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Make a dataset of a part of another, as `sofdata select` does; docs/edits.md has more.

    What is left out is in the account of the new one, as `not_selected`. Interrupted, the same call
    continues from what is committed.

    Args:
        dest: the dataset that a part is taken of. It stays as it is.
        new: where the new dataset goes: a path or an fsspec URL.
        where: keep the windows for which this filter holds; "" for all.
        engine, workers: as of `ingest`; by default this process, or processes for much data.
        on_event: called with every `sofdata.ingest.events.Event`, from this thread.

    Returns:
        What was done; `units_run` is 0 where all was done before.

    Raises:
        ConfigError: `dest` is no complete dataset, `new` holds something else, lies in `dest` or
            around it, or nothing is selected: nothing was done.
        StorageError: a place cannot be read or written, or `dest` is damaged.

    Example:
        >>> import sofdata
        >>> summary = sofdata.select("dataset", "moving", where="motion > 0.1")
        >>> counts = summary.dataset.counts
        >>> counts.windows > 0, counts.window_reasons.get("not_selected", 0) > 0
        (True, True)
    """
    from sofdata.edits.parents import open_parent
    from sofdata.edits.select import Selection, selected
    from sofdata.storage.tree import Tree

    parent = open_parent(Tree(place(dest, "dest")))
    derivation = selected(parent, Tree(place(new, "new")), Selection(where))
    return _derive(derivation, engine, workers, on_event)


def rewindow(
    dest: Location,
    new: Location,
    *,
    settings: Settings = (),
    engine: EngineName | None = None,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Make other windows of the flow that a dataset keeps, as `sofdata rewindow` does.

    Nothing is decoded and no flow is estimated; docs/rewindow.md says how near the result is to
    that of an ingest. Interrupted, the same call continues from what is committed.

    Args:
        dest: a dataset that was ingested with `flow.keep`. It stays as it is.
        new: where the new dataset goes: a path or an fsspec URL.
        settings: of `windows`, `codec` and `units`, over those of `dest`: {"windows.length": 16} or
            ["windows.length=16"].
        engine, workers: as of `ingest`; by default this process, or processes for much data.
        on_event: called with every `sofdata.ingest.events.Event`, from this thread.

    Returns:
        What was done; `units_run` is 0 where all was done before.

    Raises:
        ConfigError: `dest` keeps no flow, the settings are wrong or of what is kept already, or
            `new` holds something else: nothing was done.
        StorageError: a place cannot be read or written, or `dest` is damaged.

    Example:
        >>> import sofdata
        >>> summary = sofdata.ingest("videos", "whole", settings={"flow.keep": True})
        >>> longer = {"windows.length": 12, "windows.stride": 12}
        >>> sofdata.rewindow("whole", "longer", settings=longer).dataset.counts.videos
        3
    """
    from sofdata.edits.parents import open_parent
    from sofdata.edits.rewindow import rewound
    from sofdata.storage.tree import Tree

    parent = open_parent(Tree(place(dest, "dest")))
    derivation = rewound(parent, Tree(place(new, "new")), overrides(settings))
    return _derive(derivation, engine, workers, on_event)


def _derive(
    derivation: Derivation,
    engine: EngineName | None,
    workers: int | None,
    on_event: Callable[[Event], None] | None,
) -> Summary:
    from sofdata.edits.derive import derive, run_config

    @contextmanager
    def follow(prepared: Prepared) -> Iterator[Callable[[Event], None]]:
        yield on_event or (lambda event: None)

    return derive(derivation, run_config(engine, workers), follow)
