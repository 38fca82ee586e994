"""`sofdata dedup`: a thin layer, as those in `sofdata.cli.app`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sofdata.cli.edits import derived
from sofdata.cli.options import (
    WHOLE_URL,
    Dataset,
    Engine,
    Json,
    NoLock,
    Quiet,
    Workers,
    examples,
)
from sofdata.system.supervise import supervise
from sofdata.ui.console import print_json, say, stderr, stdout
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from sofdata.dedup.find import Copy
    from sofdata.storage.tree import Tree

DEDUP_EXAMPLES = examples(
    "sofdata dedup dataset",
    "sofdata dedup dataset unique",
    "sofdata dedup s3://bucket/dataset --exact",
)
SHOWN = 20


def dedup(
    dest: Dataset,
    new: Annotated[
        str | None,
        typer.Argument(
            help="Where the dataset without copies goes: a path or an fsspec URL.",
            callback=WHOLE_URL,
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only equal files, which reads no shard.")
    ] = False,
    engine: Engine = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Find videos that show what others do, and keep them on one side of a split.

    Also encoded anew, scaled, mirrored, cropped or shifted in time. With NEW,
    make a dataset without them, in which each is a reject that names the video
    that is kept.
    """
    from sofdata.edits.dedup import Copied, copies_in, store_copies, without_copies
    from sofdata.edits.derive import check_new
    from sofdata.edits.parents import open_parent
    from sofdata.storage.tree import Tree

    tree, console = Tree(dest), stderr()
    if new is not None:
        check_new(Tree(new), [tree])
        if engine == "ray":
            supervise()
    with console.status("looking at the dataset") as status:

        def follow(done: int, total: int) -> None:
            if console.is_terminal and not quiet:
                status.update(f"looking at the dataset: {done:,}/{total:,} windows")

        if new is None:
            copies = store_copies(tree, not exact, "none" if no_lock else "auto", follow)
        else:
            parent = open_parent(tree)
            copies = copies_in(tree, not exact, follow)
    if new is not None and copies:
        derivation = without_copies(parent, Tree(new), copies, not exact)
        derived(derivation, engine, workers, no_lock, quiet, json_)
        return
    if json_:
        rows = [asdict(Copied.of(copy)) for copy in copies]
        print_json({"dest": tree.name, "copies": rows})
        return
    print_copies(stdout(), tree, copies)
    if new is not None:
        say(stdout(), f"there is nothing to leave out, and {new} was not made")


def print_copies(console: Console, dest: Tree, copies: Sequence[Copy]) -> None:
    """Print which videos of a dataset are copies, and of what."""
    from sofdata.edits.dedup import Copied

    for copy in map(Copied.of, copies[:SHOWN]):
        say(console, f"{printable(copy.video)}: {printable(copy.detail)}")
    if len(copies) > SHOWN:
        say(console, f"... and {len(copies) - SHOWN} more, in copies.parquet")
    windows = sum(copy.windows for copy in copies)
    say(console, f"{len(copies)} copies with {windows} windows in {dest.name}")
