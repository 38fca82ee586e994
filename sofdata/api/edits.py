"""Datasets made of datasets, as functions; as those of `sofdata.api.functions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

from sofdata.api.functions import Location, Settings, overrides, place

if TYPE_CHECKING:
    from sofdata.edits.dedup import Deduplicated
    from sofdata.edits.derive import Derivation, Follow
    from sofdata.edits.split import StoredSplit
    from sofdata.ingest.events import Event
    from sofdata.ingest.run import Summary
    from sofdata.loading.split import HeldOut, Side

EngineName = Literal["auto", "ray", "processes", "inline"]


def select(
    dest: Location,
    new: Location,
    *,
    where: str = "",
    side: Side | None = None,
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
        side: keep this side of the stored split, "train" or "held_out"; None for both.
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
        >>> summary = sofdata.select("dataset", "later", where="window > 0")
        >>> counts = summary.dataset.counts
        >>> counts.windows > 0, counts.window_reasons.get("not_selected", 0) > 0
        (True, True)
    """
    from sofdata.edits.derive import check_new
    from sofdata.edits.parents import open_parent
    from sofdata.edits.select import Selection, selected
    from sofdata.storage.tree import Tree

    parent = open_parent(Tree(place(dest, "dest")))
    to = Tree(place(new, "new"))
    check_new(to, [parent.tree])
    return _derive(selected(parent, to, Selection(where, side)), engine, workers, on_event)


def merge(
    dests: Sequence[Location],
    new: Location,
    *,
    engine: EngineName | None = None,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Make one dataset of several that were made with the same settings, as `sofdata merge` does.

    A video that two of them have is kept once, and the other is a reject, `duplicate`, that names
    it. Interrupted, the same call continues from what is committed.

    Args:
        dests: the datasets, two or more. They stay as they are.
        new: where the new dataset goes: a path or an fsspec URL.
        engine, workers, on_event: as of `select`.

    Returns:
        What was done; `units_run` is 0 where all was done before.

    Raises:
        ConfigError: the datasets differ in a setting that decides samples, each of which is named,
            or `new` holds something else, lies in one of them or around it: nothing was done.
        StorageError: a place cannot be read or written, or one of `dests` is damaged.

    Example:
        >>> import sofdata
        >>> early = sofdata.select("dataset", "early", where="window < 2")
        >>> late = sofdata.select("dataset", "late", where="window >= 2")
        >>> whole = sofdata.merge(["early", "late"], "joined")
        >>> parts = early.dataset.counts.windows + late.dataset.counts.windows
        >>> whole.dataset.counts.windows == parts
        True
    """
    from sofdata.edits.derive import check_new
    from sofdata.edits.merge import merged
    from sofdata.edits.parents import open_parent
    from sofdata.storage.tree import Tree

    olds, to = [Tree(place(dest, "dests")) for dest in dests], Tree(place(new, "new"))
    check_new(to, olds)
    return _derive(merged([open_parent(old) for old in olds], to), engine, workers, on_event)


def append(
    source: Location,
    dest: Location,
    *,
    corpus: str = "auto",
    name: str = "",
    first: Location | None = None,
    update: bool = False,
    other_libraries: bool = False,
    engine: EngineName | None = None,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Ingest another corpus into a dataset, with its settings, as `sofdata append` does.

    The dataset stays as it is until all of the corpus is done. Interrupted, the same call continues
    from what is committed.

    Args:
        source: videos: a folder, one file, or an fsspec URL.
        dest: the dataset of an ingest, or of an earlier `append`.
        corpus: what the source is: "auto", or a name of `sofdata corpora`.
        name: what this part is called: ids that others have, too, begin with it. By default the
            end of its place.
        first: where the first corpus lies, where no log of the ingest says so.
        update: take in what has changed in a source that was appended before, or in the first.
        other_libraries: continue although the dataset was made with other versions of libraries.
        engine, workers: as of `ingest`.
        on_event: called with every `sofdata.ingest.events.Event`, from this thread.

    Returns:
        What was done; `units_run` is 0 where all of the source is in the dataset.

    Raises:
        ConfigError: there is no complete dataset, or one that was made of others; or all that the
            source holds is in it already under another place: nothing was done.
        StorageError: a place cannot be read or written; call again to resume.

    Example:
        >>> import sofdata
        >>> few = {"flow.size": 64, "windows.size": 32}
        >>> begun = sofdata.ingest("videos", "grown", engine="inline", settings=few)
        >>> sofdata.append("videos", "grown")
        Traceback (most recent call last):
        ...
        sofdata.errors.ConfigError: videos is what grown was made from: ...
    """
    from sofdata.edits.append import Corpus
    from sofdata.edits.append import append as run_append
    from sofdata.edits.derive import run_config
    from sofdata.ingest.mode import Mode
    from sofdata.storage.tree import Tree

    there = place(first, "first") if first is not None else ""
    return run_append(
        Corpus(Tree(place(source, "source")), corpus, name, there),
        Tree(place(dest, "dest")),
        run_config(engine, workers),
        _following(on_event),
        mode=Mode.of(update=update),
        mix=other_libraries,
    )


def split(
    dest: Location,
    *,
    by: str = "file",
    held_out: HeldOut | None = None,
    again: bool = False,
) -> StoredSplit:
    """Store with a dataset which files are held out from training, as `sofdata split` does.

    `load(dest, split="train")` and `train` then use it. Called again after the dataset has grown,
    it gives what is new a side, and all else keeps its own.

    Args:
        dest: the dataset.
        by: what stays together: "file", with all cameras, clips and copies of what it shows;
            "corpus"; or "label.NAME", a label of the corpus.
        held_out: how much, or what, is held out; by default a tenth.
        again: decide anew, whatever split is stored.

    Returns:
        Numbers of files and windows on each side, and whether anything has changed.

    Raises:
        ConfigError: another split is stored, or what is asked for would divide a file or leave a
            side empty.

    Example:
        >>> import sofdata
        >>> found = sofdata.split("dataset", held_out=sofdata.HeldOut(0.34), again=True)
        >>> found.files
        {'train': 2, 'held_out': 1}
        >>> loader = sofdata.load("dataset", split="train", batch_size=2)
        >>> loader.rows == found.windows["train"]
        True
        >>> import os; os.remove("dataset/split.json")  # the other examples split by themselves
    """
    from sofdata.edits.split import SplitBy
    from sofdata.edits.split import split as store
    from sofdata.loading.split import HeldOut
    from sofdata.storage.tree import Tree

    how = SplitBy(by, held_out or HeldOut())
    return store(Tree(place(dest, "dest")), how, again=again)


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


def dedup(
    dest: Location,
    new: Location | None = None,
    *,
    exact: bool = False,
    engine: EngineName | None = None,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Deduplicated:
    """Find videos that show what others do, as `sofdata dedup` does; docs/dedup.md has more.

    Also those encoded anew, scaled, mirrored, cropped or shifted in time, which takes the extra
    `dedup`. Without `new` what was found is stored with the dataset, so that no split parts them.

    Args:
        dest: the dataset.
        new: where a dataset without the copies goes, in which each is a reject that names what is
            kept. Nothing is made where there are none.
        exact: only equal files, which reads no shard.
        engine, workers, on_event: as of `select`.

    Returns:
        The copies, and of `new` what was done.

    Raises:
        ConfigError: `dest` is no complete dataset, is in use, or `new` holds something else.
        StorageError: a place cannot be read or written.

    Example:
        >>> import sofdata
        >>> sofdata.dedup("dataset", exact=True).copies
        ()
    """
    from sofdata.edits.dedup import Copied, Deduplicated, copies_in, store_copies, without_copies
    from sofdata.edits.derive import check_new
    from sofdata.edits.parents import open_parent
    from sofdata.storage.tree import Tree

    tree = Tree(place(dest, "dest"))
    if new is None:
        return Deduplicated(tuple(map(Copied.of, store_copies(tree, not exact, "auto"))))
    to = Tree(place(new, "new"))
    check_new(to, [tree])
    parent = open_parent(tree)
    copies = copies_in(tree, not exact)
    if not copies:
        return Deduplicated(())
    derivation = without_copies(parent, to, copies, not exact)
    summary = _derive(derivation, engine, workers, on_event)
    return Deduplicated(tuple(map(Copied.of, copies)), summary)


def _derive(
    derivation: Derivation,
    engine: EngineName | None,
    workers: int | None,
    on_event: Callable[[Event], None] | None,
) -> Summary:
    from sofdata.edits.derive import derive, run_config

    return derive(derivation, run_config(engine, workers), _following(on_event))


def _following(on_event: Callable[[Event], None] | None) -> Follow:
    return lambda prepared: nullcontext(on_event or (lambda event: None))
