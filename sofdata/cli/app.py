"""The command line. Each command is a thin layer over a function; heavy imports happen inside."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sofdata.cli.audit import AUDIT_EXAMPLES, audit
from sofdata.cli.bench import bench
from sofdata.cli.complete import join_words
from sofdata.cli.dedup import DEDUP_EXAMPLES, dedup
from sofdata.cli.edits import (
    APPEND_EXAMPLES,
    MERGE_EXAMPLES,
    REWINDOW_EXAMPLES,
    SELECT_EXAMPLES,
    SPLIT_EXAMPLES,
    append,
    merge,
    rewindow,
    select,
    split,
)
from sofdata.cli.ending import RERUN, Escaped, run
from sofdata.cli.export import EXPORT_EXAMPLES, export
from sofdata.cli.options import (
    LOCAL,
    LOCAL_FOLDER,
    WHOLE_URL,
    CorpusName,
    Dataset,
    Engine,
    IngestRecipe,
    IngestSet,
    Json,
    LastSource,
    NoLock,
    OtherLibraries,
    Quiet,
    Rows,
    Where,
    Workers,
    examples,
)
from sofdata.cli.price import price_of, print_price
from sofdata.cli.recipes import RECIPES_EXAMPLES, recipes
from sofdata.cli.train import ENCODE_EXAMPLES, TRAIN_EXAMPLES, encode, train
from sofdata.cli.trims import TRIMS_EXAMPLES, trims
from sofdata.cli.view import MOVIE_EXAMPLES, VIEW_EXAMPLES, movie, view
from sofdata.errors import ConfigError
from sofdata.system.interrupts import listen
from sofdata.system.streams import make_usable
from sofdata.system.supervise import allow, supervise
from sofdata.ui.console import (
    EXIT_FAILED,
    EXIT_QUARANTINED,
    labelled,
    note,
    print_json,
    say,
    show_log,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from rich.console import Console

    from sofdata.ingest.run import Prepared
    from sofdata.ingest.verify import Verdict
    from sofdata.storage.tree import Tree


class _Commands(TyperGroup):
    """Passes on errors for which typer would end the process with a message of its own."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (EOFError, OSError, KeyboardInterrupt) as error:
            raise Escaped from error


app = typer.Typer(
    name="sofdata",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=examples(
        "sofdata ingest videos dataset --recipe web_video",
        "sofdata report dataset",
        "sofdata train all --data dataset --demos demos",
    ),
)


def _print_versions(wanted: bool) -> None:
    if wanted:
        from sofdata.cli.ending import versions

        for package, version in versions().items():
            print(f"{package} {version}")
        raise typer.Exit


@app.callback()
def _sofdata(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the versions of sofdata, Python and what results may depend on.",
            callback=_print_versions,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Turn action-free video into shards of optical-flow skill windows, and train on them.

    Exit codes: 0 done; 1 more videos were quarantined than allowed; 2 wrong
    usage or configuration; 3 the run failed, or verify or audit found something
    wrong; 130 interrupted.
    """


@app.command(
    epilog=examples(
        "sofdata ingest videos dataset",
        "sofdata ingest ego4d s3://bucket/ego4d --recipe ego4d --workers 32 --dry-run",
        "sofdata ingest robots demos --with-actions --set flow.estimator=dis",
    )
)
def ingest(
    source: Annotated[
        str,
        typer.Argument(help="Videos: a folder, one file, or an fsspec URL.", callback=WHOLE_URL),
    ],
    dest: Annotated[
        str,
        typer.Argument(help="Where the dataset goes: a path or an fsspec URL.", callback=WHOLE_URL),
    ],
    recipe: IngestRecipe = None,
    set_: IngestSet = None,
    corpus: CorpusName = "auto",
    engine: Engine = None,
    workers: Workers = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster to use.")
    ] = None,
    with_actions: Annotated[
        bool, typer.Option("--with-actions", help="Also store the actions of demonstrations.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Plan, measure a sample, print what it will take; write nothing."
        ),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(min=0, help="Videos that --dry-run measures; default: 20. 0: none."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Which videos --dry-run measures; default: 0.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Ingest what has changed in the source.")
    ] = False,
    checksum: Annotated[
        bool,
        typer.Option(
            "--checksum",
            help="Read every file of the source again, also those whose size and time have not "
            "changed.",
        ),
    ] = False,
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Retry the quarantined videos.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Update even if less than half of the videos remain or some cannot be used now; "
            "accept a result that is worse than a damaged one.",
        ),
    ] = False,
    no_lock: NoLock = False,
    other_libraries: OtherLibraries = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Turn videos into shards of skill windows.

    The same command again resumes an ingest that was stopped, and does nothing
    where all is done.
    """
    from contextlib import ExitStack

    from sofdata.config.overrides import once
    from sofdata.ingest.config import load_config
    from sofdata.ingest.engines.choice import check_engine, may_start_early, may_use_ray
    from sofdata.ingest.engines.crew import early_workers
    from sofdata.storage.tree import Tree

    if not dry_run and (sample is not None or seed is not None):
        raise ConfigError("--sample and --seed say what --dry-run measures: add --dry-run")
    console = stderr()
    options = _run_options(engine, workers, address)
    options += ["with_actions=true"] if with_actions else []
    options += ["run.lock=none"] if no_lock else []
    options += ["run.checksum=true"] if checksum else []
    config = load_config(recipe, once([*(set_ or []), *options]))
    check_engine(config)
    if may_use_ray(config.run) and not dry_run:
        supervise()
    if not quiet:
        say(console, f"looking at {Tree(source).name}")
    with ExitStack() as stack:
        is_early = not dry_run and may_start_early(config.run, Tree(dest))
        # They import what they work with while this process imports what it plans with.
        early = stack.enter_context(early_workers(config.run.workers, wanted=is_early))
        from sofdata.ingest.mode import Mode
        from sofdata.ingest.progress import following
        from sofdata.ingest.run import execute, prepare, working_on
        from sofdata.report.summary import ingest_summary, print_ingest

        stack.enter_context(working_on(Tree(source), Tree(dest), config, dry_run=dry_run))
        prepared = prepare(
            Tree(source),
            Tree(dest),
            config,
            corpus,
            mode=Mode.of(update=update, retry=retry_quarantined, force=yes),
            dry_run=dry_run,
            other_libraries=other_libraries,
        )
        plan = prepared.plan
        if not quiet:
            _print_plan(console, prepared)
        if dry_run:
            price = price_of(prepared, sample, seed or 0, quiet)
            print_price(price, {"dry_run": True, **_plan_figures(prepared)}, json_)
            return
        if prepared.complete:
            say(console, "nothing to do: every unit is committed")
            dataset, summary = prepared.complete, None
        else:
            if config.run.engine == "auto" and prepared.waiting and not quiet:
                say(console, prepared.engine.why)
            with following(
                console, plan.videos, prepared.videos_done, quiet, plan.reasons, prepared.work
            ) as follow:
                summary = execute(prepared, follow, early)
            dataset = summary.dataset
    if json_:
        print_json(ingest_summary(dataset, summary, dest))
    else:
        print_ingest(stdout(), dataset, summary, Tree(dest))
    counts, allowed = dataset.counts, config.run.allow_set_aside
    if counts.quarantined > allowed * counts.videos:
        say(
            console,
            f"{counts.quarantined} of {counts.videos} videos were quarantined, more than the "
            f"allowed share of {allowed:g}; see rejects.parquet, or allow more with "
            "--set run.allow_set_aside=1",
        )
        raise typer.Exit(EXIT_QUARANTINED)


@app.command(
    epilog=examples(
        "sofdata verify dataset",
        "sofdata verify s3://bucket/dataset --fast",
        "sofdata verify dataset --repair",
    )
)
def verify(
    dest: Dataset,
    fast: Annotated[
        bool, typer.Option("--fast", help="Check sizes, records and tables; read no shard.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Repair what is found; damaged units are queued for the next ingest."
        ),
    ] = False,
    no_lock: NoLock = False,
    json_: Json = False,
) -> None:
    """Check a dataset: hashes, every sample, and that all counts add up."""
    from contextlib import nullcontext

    from sofdata.ingest.repair import repair as repair_dataset
    from sofdata.ingest.verify import verify as check
    from sofdata.report.summary import print_verdict, verdict_summary
    from sofdata.shards.layout import DATASET
    from sofdata.storage.lock import only_driver
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    repairs = repair and tree.exists(DATASET)
    with only_driver(tree, "repair", "none" if no_lock else "auto") if repairs else nullcontext():
        verdict = _verified(tree, fast)
        done = repair_dataset(tree, verdict) if repairs and not verdict.whole else []
        whole = verdict.whole or (repairs and check(tree, fast=True).whole)
    if json_:
        print_json({**verdict_summary(verdict), "repaired": done})
    else:
        print_verdict(stdout(), verdict, fast)
        for line in done:
            say(stdout(), line)
    if not whole:
        raise typer.Exit(EXIT_FAILED)


def _verified(tree: Tree, fast: bool) -> Verdict:
    from sofdata.ingest.verify import verify

    console = stderr()
    if not console.is_terminal:
        return verify(tree, fast)
    with console.status("verifying") as status:
        return verify(
            tree, fast, lambda done, total: status.update(f"verifying unit {done + 1}/{total}")
        )


@app.command(
    epilog=examples(
        "sofdata inspect s3://bucket/dataset --sheet sheet.png --rows 40",
        "sofdata inspect dataset --video 10001",
        "sofdata inspect dataset --where 'motion > 2 and blur < 0.4'",
    )
)
def inspect(
    dest: Dataset,
    sheet: Annotated[
        str | None,
        typer.Option(
            help="A local file for the contact sheet; default: into the dataset.", callback=LOCAL
        ),
    ] = None,
    video: Annotated[str | None, typer.Option(help="Show windows of this video only.")] = None,
    where: Where = "",
    rows: Rows = 12,
    json_: Json = False,
) -> None:
    """Summarise a dataset, and draw a contact sheet of its windows (PNG)."""
    from sofdata.report.inspect import draw_sheet
    from sofdata.report.quality import print_quality, quality_figures
    from sofdata.report.summary import inspect_summary, print_dataset
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    dataset = _dataset(tree)
    path = draw_sheet(tree, rows=rows, video=video, path=sheet, where=where)
    quality = quality_figures(tree)
    if json_:
        print_json({**inspect_summary(dataset), "quality": quality, "sheet": path})
    else:
        print_dataset(stdout(), dataset, dest)
        print_quality(stdout(), quality)
        say(stdout(), f"contact sheet: {path}")


@app.command(
    epilog=examples(
        "sofdata report dataset",
        "sofdata report s3://bucket/dataset --out report.html --rows 40",
    )
)
def report(
    dest: Dataset,
    out: Annotated[
        str | None,
        typer.Option(
            help="A local file for the page; default: report.html in the dataset.", callback=LOCAL
        ),
    ] = None,
    where: Where = "",
    rows: Rows = 12,
    json_: Json = False,
) -> None:
    """Write a page about a dataset: counts, statistics, windows, and what is not done and why."""
    from sofdata.report.dataset import write_report
    from sofdata.report.summary import inspect_summary, print_dataset
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    dataset = _dataset(tree)
    path = write_report(tree, dataset, rows, out, where)
    if json_:
        print_json({**inspect_summary(dataset), "report": path})
    else:
        print_dataset(stdout(), dataset, dest)
        say(stdout(), f"report: {path}")


@app.command(
    epilog=examples(
        "sofdata replay dataset 10001",
        "sofdata replay dataset 10001 --source /mnt/videos",
    )
)
def replay(
    dest: Dataset,
    video: Annotated[str, typer.Argument(help="Id of the video, as in videos.parquet.")],
    source: LastSource = None,
) -> None:
    """Process one video again and print every detail; the dataset is not changed."""
    from sofdata.ingest.replay import replay as run_again
    from sofdata.storage.tree import Tree

    record = run_again(Tree(dest), video, source, stdout())
    if record is None or record.status == "quarantined":
        raise typer.Exit(EXIT_QUARANTINED)


@app.command(epilog=examples("sofdata flows", "sofdata flows --json"))
def flows(json_: Json = False) -> None:
    """List the estimators of optical flow, and whether each can run here."""
    from dataclasses import asdict

    from sofdata.flow.estimator import available
    from sofdata.report.summary import print_flows

    found = available()
    if json_:
        print_json([asdict(status) for status in found])
    else:
        print_flows(stdout(), found)


@app.command(epilog=examples("sofdata corpora", "sofdata corpora --json"))
def corpora(json_: Json = False) -> None:
    """List the corpora that can be read, each with an example, and what it needs that is optional.

    Where nothing is said of what a corpus needs, it needs nothing but sofdata. More is in
    docs/corpora.md.
    """
    from dataclasses import asdict

    from sofdata.corpora.needs import needs_of
    from sofdata.corpora.registry import CORPORA

    if json_:
        fields = ("name", "summary", "example")
        rows = [{name: getattr(corpus, name) for name in fields} for corpus in CORPORA]
        wanted = [{"needs": asdict(needs_of(corpus))} for corpus in CORPORA]
        print_json([row | more for row, more in zip(rows, wanted, strict=True)])
        return
    console = stdout()
    for corpus in CORPORA:
        labelled(console, f"{corpus.name:14} ", corpus.summary)
        say(console, f"{'':14} {corpus.example}", "dim")
        if (needs := needs_of(corpus)).text:
            say(console, f"{'':14} {needs.text}", "yellow" if needs.missing else "dim")


@app.command(epilog=examples("sofdata demo", "sofdata demo small --clips 4"))
def demo(
    folder: Annotated[
        str, typer.Argument(help="Local folder for everything that is made.", callback=LOCAL_FOLDER)
    ] = "demo",
    clips: Annotated[int, typer.Option(min=1, max=10_000, help="Rendered clips.")] = 24,
    no_lock: NoLock = False,
) -> None:
    """Run everything once in minutes: ingest a real film, collect, train, bench, report."""
    supervise()
    from sofdata.cli.demo import DemoSize, run_demo

    run_demo(folder, DemoSize(clips=clips), stdout(), "none" if no_lock else "auto")


app.command(epilog=AUDIT_EXAMPLES)(audit)
app.command(epilog=TRIMS_EXAMPLES)(trims)
app.command(epilog=RECIPES_EXAMPLES)(recipes)
app.command(epilog=SELECT_EXAMPLES)(select)
app.command(epilog=MERGE_EXAMPLES)(merge)
app.command(epilog=APPEND_EXAMPLES)(append)
app.command(epilog=SPLIT_EXAMPLES)(split)
app.command(epilog=DEDUP_EXAMPLES)(dedup)
app.command(epilog=REWINDOW_EXAMPLES)(rewindow)
app.command(epilog=TRAIN_EXAMPLES)(train)
app.command(epilog=ENCODE_EXAMPLES)(encode)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=VIEW_EXAMPLES)(view)
app.command(epilog=MOVIE_EXAMPLES)(movie)
app.add_typer(bench)


def main() -> None:
    """Entry point: runs the command and turns whatever escapes into a line and an exit code."""
    make_usable()
    listen()
    join_words(os.environ)
    show_log()
    allow()
    # Also as `python -m sofdata`, else the script for a shell's completion would be none.
    run(partial(app, prog_name="sofdata"), _if_interrupted)


def _if_interrupted() -> str:
    """What to print when the command on the command line was interrupted."""
    reads_only = {"inspect", "report", "replay", "flows", "corpora", "recipes", "view", "movie"}
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "verify":
        return "interrupted; an unfinished verification proves nothing"
    return "interrupted" if command in reads_only or "--dry-run" in sys.argv else RERUN


def _run_options(engine: str | None, workers: int | None, address: str | None) -> list[str]:
    given = {"engine": engine, "workers": workers, "address": address}
    return [f"run.{key}={value}" for key, value in given.items() if value is not None]


def _dataset(tree: Tree) -> Any:
    from sofdata.shards.record import complete_dataset

    return complete_dataset(tree)


def _plan_figures(prepared: Prepared) -> dict[str, Any]:
    return {
        "corpus": prepared.corpus,
        "videos": prepared.plan.videos,
        "refused": len(prepared.plan.refused),
        "reasons": prepared.plan.reasons,
        "units": len(prepared.plan.units),
        "units_waiting": len(prepared.waiting),
        "ignored_files": dict(prepared.plan.extras.ignored),
        "label_files": prepared.plan.extras.label_files,
        "unused_rows": dict(prepared.plan.extras.unused_rows),
        "notes": list(prepared.plan.extras.notes),
        "estimator": prepared.job.config.flow.estimator,
    }


def _print_plan(console: Console, prepared: Prepared) -> None:
    from sofdata.ui.text import printable

    plan, extras = prepared.plan, prepared.plan.extras
    say(console, f"corpus: {prepared.corpus} ({prepared.why})")
    for text in extras.notes:
        note(console, text)
    line = f"plan: {plan.videos} videos in {len(plan.units)} units"
    if prepared.units_resumed:
        line += f", {prepared.units_resumed} of them committed before"
    if extras.label_files:
        line += f"; {extras.label_files} label files"
    for what, counts in (
        ("videos rejected as they are listed", plan.reasons),
        ("other files ignored", extras.ignored),
        ("rows unused", extras.unused_rows),
    ):
        if counts:
            parts = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
            line += f"; {sum(counts.values())} {what} ({printable(parts)})"
    say(console, line)
