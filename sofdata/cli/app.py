"""The command line. Each command is a thin layer over a function; heavy imports happen inside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sofdata.cli.audit import audit
from sofdata.cli.bench import bench
from sofdata.cli.ending import GOES_ON, Escaped, run
from sofdata.cli.options import GIVEN, LOCAL, LOCAL_FOLDER, WHOLE_URL, NoLock
from sofdata.cli.train import encode, train
from sofdata.errors import ConfigError
from sofdata.system.interrupts import listen
from sofdata.system.streams import mend
from sofdata.system.supervise import allow, supervise
from sofdata.ui.console import (
    EXIT_FAILED,
    EXIT_SET_ASIDE,
    print_json,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from rich.console import Console

    from sofdata.ingest.run import Prepared
    from sofdata.ingest.verify import Verdict
    from sofdata.storage.tree import Tree


class _Commands(TyperGroup):
    """Hands over the errors that typer would end the process for, with words of its own."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (EOFError, OSError, KeyboardInterrupt) as error:
            raise Escaped from error


app = typer.Typer(
    name="sofdata",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn action-free video into shards of optical-flow skill windows, and train on them.\n\n"
    "Exit codes: 0 done; 1 more videos were quarantined than allowed; 2 wrong usage or "
    "configuration; 3 the run failed, or verify or audit found something wrong; 130 interrupted.",
)

Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")]
Dest = Annotated[
    str, typer.Argument(help="The dataset: a path or an fsspec URL.", callback=WHOLE_URL)
]


@app.command()
def ingest(
    source: Annotated[
        str,
        typer.Argument(help="Videos: a folder, one file, or an fsspec URL.", callback=WHOLE_URL),
    ],
    dest: Annotated[
        str,
        typer.Argument(help="Where the dataset goes: a path or an fsspec URL.", callback=WHOLE_URL),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(callback=GIVEN, help="A YAML file, or the name of a carried recipe."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: flow.step_s=0.1")
    ] = None,
    corpus: Annotated[
        str, typer.Option(help="What the source is: auto, or a name of `sofdata corpora`.")
    ] = "auto",
    engine: Annotated[str | None, typer.Option(help="ray (default) or inline.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: all cores.")] = (
        None
    ),
    address: Annotated[str | None, typer.Option(help="A running Ray cluster to use.")] = None,
    with_actions: Annotated[
        bool, typer.Option("--with-actions", help="Keep the actions of demonstrations, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan, tell, write nothing.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Take in what has changed in the source.")
    ] = False,
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Try quarantined videos again.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Update even if less than half of the videos remain or some cannot be used now; "
            "take what is worse than a result that is damaged.",
        ),
    ] = False,
    no_lock: NoLock = False,
    other_libraries: Annotated[
        bool,
        typer.Option(
            "--other-libraries",
            help="Go on though the dataset was begun with other libraries; its records tell.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json_: Json = False,
) -> None:
    """Turn videos into shards of skill windows. The same command again resumes or does nothing."""
    from sofdata.config.overrides import once
    from sofdata.ingest.config import load_config

    console = stderr()
    options = _run_options(engine, workers, address)
    options += ["with_actions=true"] if with_actions else []
    options += ["run.lock=none"] if no_lock else []
    config = load_config(recipe, once([*(set_ or []), *options]))
    if config.run.engine == "ray" and not dry_run:
        supervise()
    from sofdata.ingest.mode import Mode
    from sofdata.ingest.progress import following
    from sofdata.ingest.run import execute, prepare, working_on
    from sofdata.report.summary import ingest_summary, print_ingest
    from sofdata.storage.tree import Tree

    if not quiet:
        console.print(f"looking at {Tree(source).name}", highlight=False, markup=False)
    with working_on(Tree(source), Tree(dest), config, dry_run=dry_run):
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
            _tell_plan(console, prepared)
        if dry_run:
            print_json({"dry_run": True, **_plan_figures(prepared)}) if json_ else None
            return
        if prepared.complete:
            console.print("nothing to do: every unit is committed", highlight=False)
            dataset, summary = prepared.complete, None
        else:
            with following(
                console, plan.videos, prepared.videos_done, quiet, plan.reasons
            ) as follow:
                summary = execute(prepared, follow)
            dataset = summary.dataset
    if json_:
        print_json(ingest_summary(dataset, summary, dest))
    else:
        print_ingest(stdout(), dataset, summary, Tree(dest))
    counts, allowed = dataset.counts, config.run.allow_set_aside
    if counts.quarantined > allowed * counts.videos:
        console.print(
            f"{counts.quarantined} of {counts.videos} videos were quarantined, more than the "
            f"allowed share of {allowed:g}; see rejects.parquet, or allow more with "
            "--set run.allow_set_aside=1",
            highlight=False,
        )
        raise typer.Exit(EXIT_SET_ASIDE)


@app.command()
def verify(
    dest: Dest,
    fast: Annotated[
        bool, typer.Option("--fast", help="Check sizes, records and tables; read no shard.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is found; damaged units are queued again.")
    ] = False,
    no_lock: NoLock = False,
    json_: Json = False,
) -> None:
    """Check a dataset: hashes, every sample, and that all sums balance."""
    from contextlib import nullcontext

    from sofdata.ingest.repair import repair as mend
    from sofdata.ingest.verify import verify as check
    from sofdata.report.summary import print_verdict, verdict_summary
    from sofdata.shards.layout import DATASET
    from sofdata.storage.lock import only_driver
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    mends = repair and tree.exists(DATASET)
    with only_driver(tree, "repair", "none" if no_lock else "auto") if mends else nullcontext():
        verdict = _verified(tree, fast)
        done = mend(tree, verdict) if mends and not verdict.whole else []
        whole = verdict.whole or (mends and check(tree, fast=True).whole)
    if json_:
        print_json({**verdict_summary(verdict), "repaired": done})
    else:
        print_verdict(stdout(), verdict, fast)
        for line in done:
            stdout().print(line, highlight=False, markup=False, soft_wrap=True)
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


@app.command()
def inspect(
    dest: Dest,
    sheet: Annotated[
        str | None,
        typer.Option(
            help="A local file for the contact sheet; default: into the dataset.", callback=LOCAL
        ),
    ] = None,
    video: Annotated[str | None, typer.Option(help="Show windows of this video only.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=200, help="Windows on the contact sheet.")] = 12,
    json_: Json = False,
) -> None:
    """Summarise a dataset, and draw a contact sheet of its windows (PNG)."""
    from sofdata.report.inspect import draw_sheet
    from sofdata.report.summary import inspect_summary, print_dataset
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    dataset = _dataset(tree)
    path = draw_sheet(tree, rows=rows, video=video, path=sheet)
    if json_:
        print_json({**inspect_summary(dataset), "sheet": path})
    else:
        print_dataset(stdout(), dataset, dest)
        stdout().print(f"contact sheet: {path}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def report(
    dest: Dest,
    out: Annotated[
        str | None,
        typer.Option(
            help="A local file for the page; default: report.html in the dataset.", callback=LOCAL
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=200, help="Windows shown on the page.")] = 12,
    json_: Json = False,
) -> None:
    """Write a page about a dataset: its account, statistics, windows, and what is not done."""
    from sofdata.report.dataset import write_report
    from sofdata.report.summary import inspect_summary, print_dataset
    from sofdata.storage.tree import Tree

    tree = Tree(dest)
    dataset = _dataset(tree)
    path = write_report(tree, dataset, rows, out)
    if json_:
        print_json({**inspect_summary(dataset), "report": path})
    else:
        print_dataset(stdout(), dataset, dest)
        stdout().print(f"report: {path}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def replay(
    dest: Dest,
    video: Annotated[str, typer.Argument(help="Id of the video, as in videos.parquet.")],
    source: Annotated[
        str | None,
        typer.Option(callback=GIVEN, help="Where the corpus lies; default: as in the last run."),
    ] = None,
) -> None:
    """Run one video of a dataset again and tell everything about it; the dataset stays as it is."""
    from sofdata.ingest.replay import replay as run_again
    from sofdata.storage.tree import Tree

    record = run_again(Tree(dest), video, source, stdout())
    if record is None or record.status == "quarantined":
        raise typer.Exit(EXIT_SET_ASIDE)


@app.command()
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


@app.command()
def corpora(json_: Json = False) -> None:
    """List the corpora that can be read, each with an example; docs/corpora.md tells more."""
    from rich.markup import escape

    from sofdata.corpora.registry import CORPORA

    if json_:
        fields = ("name", "summary", "example")
        print_json([{name: getattr(corpus, name) for name in fields} for corpus in CORPORA])
        return
    for corpus in CORPORA:
        name, told = f"[bold]{corpus.name:14}[/]", escape(corpus.summary)
        stdout().print(f"{name} {told}", highlight=False, soft_wrap=True)
        stdout().print(f"{'':14} {corpus.example}", markup=False, style="dim", soft_wrap=True)


@app.command()
def demo(
    folder: Annotated[
        str, typer.Argument(help="Local folder of everything.", callback=LOCAL_FOLDER)
    ] = "demo",
    clips: Annotated[int, typer.Option(min=1, max=10_000, help="Rendered clips.")] = 24,
    no_lock: NoLock = False,
) -> None:
    """The whole way in minutes: ingest a real film, collect, ingest, train, bench, report."""
    supervise()
    from sofdata.cli.demo import Size, run_demo

    run_demo(folder, Size(clips=clips), stdout(), "none" if no_lock else "auto")


app.command()(audit)
app.command()(train)
app.command()(encode)
app.add_typer(bench)


def main() -> None:
    """Entry point: runs the command and turns whatever escapes into a line and an exit code."""
    mend()
    listen()
    allow()
    run(app, _if_interrupted)


def _if_interrupted() -> str:
    """What is true of the command that was given, once it has been interrupted."""
    looks_only = {"inspect", "report", "replay", "flows", "corpora"}
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "verify":
        return "interrupted; a verification that was not finished says nothing"
    return "interrupted" if command in looks_only else GOES_ON


def _run_options(engine: str | None, workers: int | None, address: str | None) -> list[str]:
    given = {"engine": engine, "workers": workers, "address": address}
    return [f"run.{key}={value}" for key, value in given.items() if value is not None]


def _dataset(tree: Tree) -> Any:
    from sofdata.shards.record import read_dataset

    dataset = read_dataset(tree)
    if dataset is None:
        raise ConfigError(f"{tree.name} holds no dataset.json: it is no dataset of sofdata")
    if not dataset.complete:
        raise ConfigError(f"the ingest into {tree.name} is not complete; run it again to resume")
    return dataset


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


def _tell_plan(console: Console, prepared: Prepared) -> None:
    from sofdata.ui.text import printable

    plan, extras = prepared.plan, prepared.plan.extras
    console.print(
        f"corpus: {prepared.corpus} ({prepared.why})", highlight=False, markup=False, soft_wrap=True
    )
    for note in extras.notes:
        console.print(f"note: {printable(note)}", highlight=False, markup=False, soft_wrap=True)
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
    console.print(line, highlight=False, markup=False, soft_wrap=True)
