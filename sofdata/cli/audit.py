"""`sofdata audit`: a thin layer, as those in `sofdata.cli.app`."""

from __future__ import annotations

from typing import Annotated

import typer

from sofdata.cli.options import Dataset, Json, LastSource, examples
from sofdata.errors import Interrupted
from sofdata.ui.console import EXIT_FAILED, print_json, stderr, stdout

AUDIT_EXAMPLES = examples(
    "sofdata audit dataset",
    "sofdata audit dataset --videos 0 --json",
    "sofdata audit s3://bucket/dataset --source /mnt/videos --seed 1",
)


def audit(
    dest: Dataset,
    videos: Annotated[
        int, typer.Option(min=0, help="Number of videos to decode again; 0: all.")
    ] = 20,
    source: LastSource = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**63 - 1, help="Decides which videos are chosen."),
    ] = 0,
    json_: Json = False,
) -> None:
    """Decode some of a dataset's videos again by simple means, and compare all their windows.

    Times, pictures, orientation and flow must agree; if not, the exit code is 3.
    """
    from sofdata.audit.run import audit as run
    from sofdata.audit.table import audit_summary, print_audit
    from sofdata.storage.tree import Tree

    console = stderr()
    with console.status("looking at the dataset") as status:

        def show(done: int, total: int, video: str) -> None:
            if console.is_terminal:
                status.update(f"video {done + 1}/{total}: {video}")

        try:
            result = run(Tree(dest), source, videos, seed, show)
        except Interrupted:
            raise Interrupted("interrupted; an unfinished audit proves nothing") from None
    if json_:
        print_json(audit_summary(result))
    else:
        print_audit(stdout(), result)
    if result.findings:
        raise typer.Exit(EXIT_FAILED)
