"""`sofdata select`, `merge`, `split`, `append`, `rewindow`: thin layers, as in `cli.app`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from sofdata.cli.options import (
    WHOLE_URL,
    CorpusName,
    Dataset,
    Engine,
    IngestSet,
    Json,
    NoLock,
    OtherLibraries,
    Quiet,
    Workers,
    examples,
)
from sofdata.errors import ConfigError
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
New = Annotated[
    str,
    typer.Argument(help="Where the new dataset goes: a path or an fsspec URL.", callback=WHOLE_URL),
]
REWINDOW_EXAMPLES = examples(
    "sofdata rewindow dataset longer --set windows.length=16 --set windows.stride=8",
    "sofdata rewindow dataset exact --set codec.name=float16",
)
MERGE_EXAMPLES = examples(
    "sofdata merge kitchen garage both",
    "sofdata merge s3://bucket/2024 s3://bucket/2025 s3://bucket/all",
)
SPLIT_EXAMPLES = examples(
    "sofdata split dataset --share 0.1",
    "sofdata split dataset --by label.scene --share 0.2",
    "sofdata split dataset --where \"labels.split == 'validation'\"",
)
APPEND_EXAMPLES = examples(
    "sofdata append videos/garage dataset",
    "sofdata append videos/garage dataset --update",
)
Where = Annotated[
    str,
    typer.Option(help="Keep the windows for which this holds: \"motion > 0.5 and text != ''\"."),
]


def select(
    dest: Dataset,
    new: New,
    where: Where = "",
    side: Annotated[
        str | None,
        typer.Option(help="Keep this side of the stored split: train or held_out."),
    ] = None,
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
    from sofdata.edits.derive import check_new
    from sofdata.edits.parents import open_parent
    from sofdata.edits.select import Selection, selected
    from sofdata.loading.split import SIDES
    from sofdata.storage.tree import Tree

    if side not in (None, *SIDES):
        raise ConfigError(f"--side is {' or '.join(SIDES)}, got {side!r}")
    _supervised(engine)
    parent, new_tree = open_parent(Tree(dest)), Tree(new)
    check_new(new_tree, [parent.tree])
    derivation = selected(parent, new_tree, Selection(where, side))
    derived(derivation, engine, workers, no_lock, quiet, json_)


def merge(
    dests: Annotated[
        list[str],
        typer.Argument(
            metavar="DEST... NEW",
            help="Two datasets or more, and where the new one goes: paths or fsspec URLs.",
            callback=WHOLE_URL,
        ),
    ],
    engine: Engine = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Make one dataset of several that were made with the same settings.

    What is in two of them is kept once, and the other is a reject that names
    it. The same command again resumes, or does nothing where all is done.
    """
    from sofdata.edits.derive import check_new
    from sofdata.edits.merge import merged
    from sofdata.edits.parents import open_parent
    from sofdata.storage.tree import Tree

    *olds, new = map(Tree, dests)
    if len(olds) < 2:
        raise ConfigError("merge takes two datasets or more, and then the place of the new one")
    _supervised(engine)
    check_new(new, olds)
    derivation = merged([open_parent(old) for old in olds], new)
    derived(derivation, engine, workers, no_lock, quiet, json_)


def split(
    dest: Dataset,
    by: Annotated[
        str,
        typer.Option(
            help="What stays together: file (with all cameras, clips and copies), corpus, or "
            "label.NAME."
        ),
    ] = "file",
    share: Annotated[float, typer.Option(help="Which share of these is held out.")] = 0.1,
    list_: Annotated[
        str,
        typer.Option(
            "--list", help="A list of what is held out instead: ids, uris, or a split.json."
        ),
    ] = "",
    where: Annotated[
        str, typer.Option(help="A filter that holds for what is held out instead.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Decide anew, whatever split is stored.")
    ] = False,
    no_lock: NoLock = False,
    json_: Json = False,
) -> None:
    """Store with a dataset which files are held out from training.

    'sofdata train' and Loader(split="train") then use it. Run again after a
    dataset has grown, it gives what is new a side, and all else keeps its own.
    """
    from dataclasses import asdict

    from sofdata.edits.split import SplitBy
    from sofdata.edits.split import split as store
    from sofdata.loading.split import HeldOut
    from sofdata.storage.tree import Tree

    how = SplitBy(by, HeldOut(share, list_, where))
    found = store(Tree(dest), how, again=again, lock="none" if no_lock else "auto")
    if json_:
        print_json({"dest": Tree(dest).name, **asdict(found)})
        return
    for what, sides in (("files", found.files), ("windows", found.windows)):
        total = sum(sides.values())
        share_held = f"{sides['held_out'] / total:.1%}"
        say(stdout(), f"{what}: {sides['held_out']} of {total} are held out ({share_held})")
    say(stdout(), f"how: {found.how}" if found.changed else f"nothing to do: {found.how}")


def append(
    source: Annotated[
        str,
        typer.Argument(help="Videos: a folder, one file, or an fsspec URL.", callback=WHOLE_URL),
    ],
    dest: Dataset,
    corpus: CorpusName = "auto",
    name: Annotated[
        str,
        typer.Option(help="What this part is called; default: the end of its place."),
    ] = "",
    first: Annotated[
        str,
        typer.Option(help="Where the first corpus lies; default: as a log of the ingest says."),
    ] = "",
    update: Annotated[
        bool, typer.Option("--update", help="Take in what has changed in the source.")
    ] = False,
    other_libraries: OtherLibraries = False,
    engine: Engine = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Ingest another corpus into a dataset, with the settings of the dataset.

    The dataset stays as it is until all of the corpus is done. The same command
    again resumes.
    """
    from sofdata.edits.append import Corpus
    from sofdata.edits.append import append as run_append
    from sofdata.edits.derive import run_config
    from sofdata.ingest.engines.choice import may_use_ray
    from sofdata.ingest.mode import Mode
    from sofdata.storage.tree import Tree

    run = run_config(engine, workers, "none" if no_lock else "auto")
    if may_use_ray(run):
        supervise()
    tree = Tree(dest)
    found = run_append(
        Corpus(Tree(source), corpus, name, first),
        tree,
        run,
        _following(quiet),
        mode=Mode.of(update=update),
        mix=other_libraries,
    )
    _print(found, tree, json_)


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
    derived(derivation, engine, workers, no_lock, quiet, json_)


def _supervised(engine: str | None) -> None:
    if engine == "ray":
        supervise()


def derived(
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
