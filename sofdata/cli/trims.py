"""`sofdata trims`: a thin layer, as those in `sofdata.cli.app`."""

from __future__ import annotations

from typing import Annotated

import typer

from sofdata.cli.options import LOCAL, Dataset, Json, examples
from sofdata.errors import StorageError
from sofdata.ui.console import say, stdout

TRIMS_EXAMPLES = examples(
    "sofdata trims dataset",
    "sofdata trims dataset --out trims.csv",
    "sofdata trims dataset --json",
)


def trims(
    dest: Dataset,
    out: Annotated[
        str | None,
        typer.Option(
            help="A local file for the list: CSV, or JSON if its name ends so; default: print it.",
            callback=LOCAL,
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """List the idle parts of videos that windows.trim has set aside: video, start and end in s.

    Other columns say whether that is at the start or end of the video, where its file lies, when it
    begins there (a span), and the episode (LeRobot).
    """
    from sofdata.report.trims import as_text, trim_list
    from sofdata.shards.record import complete_dataset
    from sofdata.storage import atomic
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    rows = trim_list(tree, complete_dataset(tree))
    as_json = json_ or (out is not None and out.lower().endswith(".json"))
    text = as_text(rows, "json" if as_json else "csv")
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        atomic.write_text(out, text)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}") from None
    videos = len({row["video"] for row in rows})
    say(stdout(), f"{len(rows)} idle parts of {videos} videos: {out}")
