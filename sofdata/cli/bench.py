"""`sofdata bench`: thin layers over `sofdata.bench`, as those in `sofdata.cli.app`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from sofdata.cli.options import (
    LOCAL,
    LOCAL_FOLDER,
    BenchOut,
    Folds,
    HeldOut,
    Json,
    NoLock,
    Preset,
    Quiet,
    RunPreset,
    Set,
    SuiteName,
    Validation,
    VideoDatasets,
    VideosData,
    Workers,
    examples,
)
from sofdata.system.extras import require
from sofdata.system.supervise import supervise
from sofdata.ui.console import print_json, say, stderr, stdout

bench = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Compare policies that learn from the data with those that do not: collect, train, act.",
    epilog=examples(
        "sofdata bench collect collected --suite metaworld",
        "sofdata bench run --data collected/metaworld --preset standard --validation",
        "sofdata bench report bench",
    ),
)


@bench.command(
    epilog=examples(
        "sofdata bench collect collected --suite metaworld",
        "sofdata bench collect collected --suite metaworld --play 20",
        "sofdata bench collect other --suite metaworld --set look=other --set demos=0",
    )
)
def collect(
    out: Annotated[
        str,
        typer.Argument(
            help="Local folder that gets SUITE/videos and SUITE/demos.", callback=LOCAL_FOLDER
        ),
    ] = "collected",
    suite: SuiteName = None,
    play: Annotated[
        float | None,
        typer.Option(
            help="Collect so many minutes of undirected play, with actions, instead: SUITE/play.",
            metavar="MINUTES",
        ),
    ] = None,
    set_: Set = None,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Let experts act in simulation: action-free videos, and demonstrations with actions.

    With --play the robot plays, with no task: actions without demonstrations of any.
    """
    from sofdata.bench.collect.collect import collect as collect_all
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.bench.envs.registry import find_suite
    from sofdata.config.recipes import load_section
    from sofdata.report.collected import following, print_collected

    given = [*([f"play_minutes={play}"] if play is not None else []), *(set_ or [])]
    config = load_section(CollectConfig, None, _overrides(suite, given))
    folder = Path(out) / find_suite(config.suite).name
    with following(stderr(), quiet) as follow:
        summary = collect_all(config, Path(out), workers, follow, "none" if no_lock else "auto")
    if json_:
        print_json({"out": str(folder), **summary})
    else:
        print_collected(stdout(), summary, folder)


@bench.command(
    epilog=examples(
        "sofdata bench run --data collected/pushing --preset smoke",
        "sofdata bench run --data collected/metaworld --held-out door-close",
        "sofdata bench run --data collected/metaworld --videos fine --videos fast",
    )
)
def run(
    data: Annotated[
        str,
        typer.Option(
            help="What 'sofdata bench collect' wrote: OUT/SUITE, local.", callback=LOCAL_FOLDER
        ),
    ],
    out: BenchOut = "bench",
    preset: RunPreset = None,
    suite: SuiteName = None,
    held_out: HeldOut = None,
    folds: Folds = None,
    videos_data: VideosData = None,
    videos: VideoDatasets = None,
    set_: Set = None,
    validation: Validation = False,
    workers: Workers = None,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train and evaluate every arm.

    The same command again resumes a run that was stopped, and does nothing where
    all is done. Settings are chosen with --validation, recorded by 'sofdata bench
    freeze', and only then used without it.
    """
    _check_installed()
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.data import collected_suite
    from sofdata.ingest.engines.choice import check_engine, may_use_ray

    protocol = _protocol(held_out, folds, videos_data, videos)
    given = [*protocol, *(set_ or []), *(["ingest.run.lock=none"] if no_lock else [])]
    if preset is None:
        if not any(each.partition("=")[0].strip() == "suite" for each in given):
            suite = suite or collected_suite(Path(data))
        preset = _preset(suite, bool(held_out or folds))
    config = load_bench_config(preset, _overrides(suite, given))
    check_engine(config.ingest)
    if may_use_ray(config.ingest.run):
        supervise()
    from sofdata.bench.results.table import results_of_run, summary, table
    from sofdata.bench.study.run import WorkDone
    from sofdata.bench.study.run import run as run_all

    console = stderr()

    def follow(done: WorkDone) -> None:
        if not quiet:
            say(console, f"{done.number} of {done.of}: {done.what}")

    paths = run_all(
        config,
        Path(data),
        Path(out),
        "validation" if validation else "test",
        workers=workers,
        follow=follow,
    )
    results = results_of_run(paths, Path(out))
    if json_:
        print_json({"out": out, "cells": [str(path) for path in paths], **summary(results)})
    else:
        print(table(results))
    if validation and not config.exploratory and not quiet:
        chosen = _overrides(suite, [*protocol, *(set_ or [])])
        words = ["sofdata", "bench", "freeze", "--preset", preset, "--out", out]
        words += [word for each in chosen for word in ("--set", each)]
        say(console, f"to record these settings, which test episodes ask for: {shlex.join(words)}")


@bench.command(
    epilog=examples(
        "sofdata bench freeze --preset standard",
        "sofdata bench freeze --preset scene --note 'best of three on validation seeds'",
    )
)
def freeze(
    out: BenchOut = "bench",
    preset: Preset = "standard",
    suite: SuiteName = None,
    set_: Set = None,
    note: Annotated[str, typer.Option(help="Why these settings.")] = "",
) -> None:
    """Record settings as chosen on validation seeds; only then may test seeds be used with them."""
    _check_installed()
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.frozen import freeze as record

    config = load_bench_config(preset, _overrides(suite, set_))
    path = record(config, Path(out), note)
    say(stdout(), f"frozen: {path}")
    found = json.loads(path.read_text()).get("counted")
    say(stdout(), f"these tasks count: {', '.join(found['tasks'])}" if found else "all tasks count")


@bench.command(
    epilog=examples(
        "sofdata bench report bench",
        "sofdata bench report benchmarks/results/metaworld.json --html report.html",
    )
)
def report(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of 'run', or files that 'export' wrote; default: bench.", callback=LOCAL
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Local folder of report.html and report.md; default: the first.",
            callback=LOCAL_FOLDER,
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option(help="A local file for the page instead.", callback=LOCAL)
    ] = None,
    validation: Validation = False,
    json_: Json = False,
) -> None:
    """Write a page and a Markdown table: success of each arm, and what the robot did."""
    _check_installed()
    from sofdata.report.benchmark import write_benchmark

    places = results or ["bench"]
    folder = Path(out or (places[0] if Path(places[0]).is_dir() else "."))
    purpose = "validation" if validation else "test"
    page, table = write_benchmark(places, folder, purpose, html)
    if json_:
        print_json({"page": page, "table": table})
    else:
        for path in (page, table):
            say(stdout(), path)


@bench.command(
    epilog=examples(
        "sofdata bench table bench",
        "sofdata bench table benchmarks/results --into docs/results.md",
    )
)
def table(
    results: Annotated[
        list[str],
        typer.Argument(help="Folders with cells, or files that 'export' wrote.", callback=LOCAL),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            help="A Markdown file: written between its <!-- bench --> marks.", callback=LOCAL
        ),
    ] = None,
    validation: Validation = False,
) -> None:
    """Print success by arm and K as a Markdown table, or keep a file's table up to date."""
    _check_installed()
    from sofdata.bench.results.table import comparable, into_file
    from sofdata.bench.results.table import table as made

    chosen = comparable(results, "validation" if validation else "test")
    text = made([result for alike, _ in chosen for result in alike])
    _say_left_out(sum(left_out for _, left_out in chosen))
    if into:
        into_file(Path(into), text)
    else:
        print(text)


@bench.command(
    epilog=examples(
        "sofdata bench export", "sofdata bench export --out bench --into benchmarks/results"
    )
)
def export(
    out: BenchOut = "bench",
    into: Annotated[
        str, typer.Option(help="Local folder of result files.", callback=LOCAL_FOLDER)
    ] = "benchmarks/results",
) -> None:
    """Write the test cells of OUT into one JSON file a suite, to keep under version control."""
    _check_installed()
    from sofdata.bench.results.table import export as write

    for path, left_out in write(Path(out), Path(into)):
        _say_left_out(left_out)
        say(stdout(), str(path))


def _say_left_out(number: int) -> None:
    if number:
        say(stderr(), f"{number} results of other settings, data or episodes are left out")


def _overrides(suite: str | None, set_: list[str] | None) -> list[str]:
    from sofdata.config.overrides import once

    return once([*([f"suite={suite}"] if suite is not None else []), *(set_ or [])])


def _preset(suite: str | None, transfers: bool) -> str:
    """The settings that are meant where none are named."""
    if suite == "scene":
        return "scene-transfer" if transfers else "scene"
    return "transfer" if transfers else "standard"


def _protocol(
    held_out: list[str] | None,
    folds: str | None,
    videos_data: str | None,
    videos: list[str] | None,
) -> list[str]:
    """The settings that stand for these options."""
    names = [name.strip() for given in held_out or [] for name in given.split(",")]
    found = []
    if held_out:
        found.append(f"held_out={json.dumps(list(filter(None, names)))}")
    if held_out or folds:
        found.append(f"folds={folds or 'null'}")
    if videos_data:
        found.append(f"videos_from={json.dumps(videos_data)}")
    if videos:
        found.append(f"video_datasets={json.dumps(videos)}")
    return found


def _check_installed() -> None:
    require(("torch", "webdataset", "tensorboard"), "train,bench", "the benchmark")
