"""`sofdata audit`: a thin layer, as those in `sofdata.cli.app`."""

from __future__ import annotations

from typing import Annotated

import typer

from sofdata.cli.options import GIVEN, WHOLE_URL
from sofdata.errors import Interrupted
from sofdata.ui.console import EXIT_FAILED, print_json, stderr, stdout


def audit(
    dest: Annotated[
        str, typer.Argument(callback=WHOLE_URL, help="The dataset: a path or an fsspec URL.")
    ],
    videos: Annotated[
        int, typer.Option(min=0, help="How many videos to decode again; 0: all.")
    ] = 20,
    source: Annotated[
        str | None,
        typer.Option(callback=GIVEN, help="Where the corpus lies; default: as in the last run."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**63 - 1, help="Which videos: another seed takes others."),
    ] = 0,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a machine-readable summary.")
    ] = False,
) -> None:
    """Decode a sample of a dataset's videos again, by plain means, and compare their windows.

    Times, pictures, orientation and flow must agree. Exit code 3 if anything does not.
    """
    from sofdata.audit.run import audit as run
    from sofdata.audit.table import audit_summary, print_audit
    from sofdata.storage.tree import Tree

    console = stderr()
    with console.status("looking at the dataset") as status:

        def tell(done: int, total: int, video: str) -> None:
            if console.is_terminal:
                status.update(f"video {done + 1}/{total}: {video}")

        try:
            result = run(Tree(dest), source, videos, seed, tell)
        except Interrupted:
            raise Interrupted("interrupted; an audit that was not finished says nothing") from None
    if json_:
        print_json(audit_summary(result))
    else:
        print_audit(stdout(), result)
    if result.findings:
        raise typer.Exit(EXIT_FAILED)
