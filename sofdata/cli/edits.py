"""`sofdata select`, `merge`, `split`, `append`: thin layers, as those in `sofdata.cli.app`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from sofdata.cli.options import (
    WHOLE_URL,
    Dataset,
    Engine,
    IngestSet,
    Json,
    NoLock,
    Quiet,
    Workers,
    examples,
)
from sofdata.system.supervise import supervise
from sofdata.ui.console import print_json, say, stderr, stdout

if TYPE_CHECKING:
    from sofdata.edits.derive import Derivation, Follow
    from sofdata.ingest.progress import OnEvent
    from sofdata.ingest.run import Prepared, Summary
    from sofdata.storage.tree import Tree

SELECT_EXAMPLES = examples(
    "sofdata select dataset moving --where 'motion > 0.5'",
    "sofdata select s3://bucket/dataset s3://bucket/cups --where \"'cup' in text\"",
)
REWINDOW_EXAMPLES = examples(
    "sofdata rewindow dataset longer --set windows.length=16 --set windows.stride=8",
    "sofdata rewindow dataset exact --set codec.name=float16",
)
New = Annotated[
    str,
    typer.Argument(help="Where the new dataset goes: a path or an fsspec URL.", callback=WHOLE_URL),
]
Where = Annotated[
    str,
    typer.Option(help="Keep the windows for which this holds: \"motion > 0.5 and text != ''\"."),
]


def select(
    dest: Dataset,
    new: New,
    where: Where = "",
    engine: Engine = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Make a dataset of a part of another, which stays as it is.

    What is left out is in the account of the new one, as not_selected. The same
    command again resumes, or does nothing where all is done.
    """
    from sofdata.edits.parents import open_parent
    from sofdata.edits.select import Selection, selected
    from sofdata.storage.tree import Tree

    _supervised(engine)
    derivation = selected(open_parent(Tree(dest)), Tree(new), Selection(where))
    _derive(derivation, engine, workers, no_lock, quiet, json_)


def rewindow(
    dest: Dataset,
    new: New,
    set_: IngestSet = None,
    engine: Engine = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Make other windows of a dataset that keeps its flow (flow.keep=true).

    Nothing is decoded and no flow is estimated: --set takes keys of windows, codec
    and units. The same command again resumes, or does nothing where all is done.
    """
    from sofdata.edits.parents import open_parent
    from sofdata.edits.rewindow import rewound
    from sofdata.storage.tree import Tree

    _supervised(engine)
    derivation = rewound(open_parent(Tree(dest)), Tree(new), set_ or [])
    _derive(derivation, engine, workers, no_lock, quiet, json_)


def _supervised(engine: str | None) -> None:
    if engine == "ray":
        supervise()


def _derive(
    derivation: Derivation,
    engine: str | None,
    workers: int | None,
    no_lock: bool,
    quiet: bool,
    json_: bool,
) -> None:
    from sofdata.edits.derive import derive, run_config

    run = run_config(engine, workers, "none" if no_lock else "auto")
    _print(derive(derivation, run, _following(quiet)), derivation.dest, json_)


def _print(summary: Summary, dest: Tree, json_: bool) -> None:
    from sofdata.report.summary import ingest_summary, print_edit

    if json_:
        done = summary if summary.units_run else None
        print_json(ingest_summary(summary.dataset, done, dest.name))
    else:
        print_edit(stdout(), summary, dest)


def _following(quiet: bool) -> Follow:
    @contextmanager
    def follow(prepared: Prepared) -> Iterator[OnEvent]:
        from sofdata.ingest.progress import following

        plan, console = prepared.plan, stderr()
        if not quiet:
            line = f"plan: {plan.videos} videos in {len(plan.units)} units"
            before = f", {prepared.units_resumed} of them committed before"
            say(console, line + (before if prepared.units_resumed else ""))
            say(console, prepared.engine.why)
        with following(
            console, plan.videos, prepared.videos_done, quiet, plan.reasons, prepared.work
        ) as on_event:
            yield on_event

    return follow
