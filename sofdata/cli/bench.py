"""`sofdata bench`: thin layers over `sofdata.bench`, as those in `sofdata.cli.app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sofdata.cli.options import GIVEN, LOCAL, LOCAL_FOLDER, NoLock
from sofdata.errors import ConfigError
from sofdata.system.supervise import supervise
from sofdata.ui.console import print_json, stderr, stdout

bench = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Does the data make a better robot? Collect, train all arms, and compare them.",
)

Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")]
Preset = Annotated[
    str,
    typer.Option(callback=GIVEN, help="smoke, standard, another carried preset, or a YAML file."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: evaluation.episodes=5")
]
Out = Annotated[
    str,
    typer.Option(help="Local folder of data, models, cells and strips.", callback=LOCAL_FOLDER),
]
SuiteName = Annotated[str | None, typer.Option(help="The suite; default: the preset's.")]


@bench.command()
def collect(
    out: Annotated[
        str,
        typer.Argument(
            help="Local folder that gets SUITE/videos and SUITE/demos.", callback=LOCAL_FOLDER
        ),
    ] = "collected",
    suite: Annotated[
        str | None, typer.Option(help="metaworld (default), scene or pushing.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: videos=20")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Processes; default: one for each core.")
    ] = None,
    no_lock: NoLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json_: Json = False,
) -> None:
    """Let experts act in simulation: action-free videos, and demonstrations with actions.

    \b
    sofdata bench collect collected --suite metaworld
    sofdata bench collect small --suite pushing --set videos=10 --set demos=5
    sofdata ingest collected/metaworld/videos dataset
    """
    from sofdata.bench.collect.collect import collect as collect_all
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.ingest.config import load_section
    from sofdata.report.collected import following, print_collected

    config = load_section(CollectConfig, None, _overrides(suite, set_))
    with following(stderr(), quiet) as follow:
        told = collect_all(config, Path(out), workers, follow, "none" if no_lock else "auto")
    if json_:
        print_json({"out": str(Path(out) / config.suite), **told})
    else:
        print_collected(stdout(), told, Path(out) / config.suite)


@bench.command()
def run(
    data: Annotated[
        str,
        typer.Option(
            help="What 'sofdata bench collect' wrote: OUT/SUITE, local.", callback=LOCAL_FOLDER
        ),
    ],
    out: Out = "bench",
    preset: Preset = "standard",
    suite: SuiteName = None,
    set_: Set = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Use validation seeds, to choose settings by.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Processes; default: one for each core.")
    ] = None,
    no_lock: NoLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json_: Json = False,
) -> None:
    """Train and evaluate every arm. The same command again goes on, or does nothing.

    \b
    sofdata bench run --data collected/metaworld --preset standard --validation
    sofdata bench freeze --preset standard
    sofdata bench run --data collected/metaworld --preset standard
    """
    _check_installed()
    from sofdata.bench.study.config import load_bench_config

    given = [*(set_ or []), *(["ingest.run.lock=none"] if no_lock else [])]
    config = load_bench_config(preset, _overrides(suite, given))
    if config.ingest.run.engine == "ray":
        supervise()
    from sofdata.bench.results.table import read_results, summary, table
    from sofdata.bench.study.run import WorkDone
    from sofdata.bench.study.run import run as run_all

    console = stderr()

    def follow(done: WorkDone) -> None:
        if not quiet:
            console.print(f"{done.number} of {done.of}: {done.what}", highlight=False)

    paths = run_all(
        config,
        Path(data),
        Path(out),
        "validation" if validation else "test",
        workers=workers,
        follow=follow,
    )
    results = read_results(paths)
    if json_:
        print_json({"out": out, "cells": [str(path) for path in paths], **summary(results)})
    else:
        print(table(results))


@bench.command()
def freeze(
    out: Out = "bench",
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
    stdout().print(f"frozen: {path}", highlight=False, markup=False, soft_wrap=True)


@bench.command()
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
    validation: Annotated[
        bool, typer.Option("--validation", help="Show results on validation seeds.")
    ] = False,
    json_: Json = False,
) -> None:
    """Write a page, and a Markdown table: who succeeds how often, and what the robot did."""
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
            stdout().print(path, highlight=False, markup=False, soft_wrap=True)


@bench.command()
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
    validation: Annotated[
        bool, typer.Option("--validation", help="Of results on validation seeds.")
    ] = False,
) -> None:
    """Print success by arm and K as a Markdown table, or keep a file's table up to date."""
    _check_installed()
    from sofdata.bench.results.table import comparable, into_file
    from sofdata.bench.results.table import table as made

    chosen = comparable(results, "validation" if validation else "test")
    text = made([result for alike, _ in chosen for result in alike])
    _tell_left_out(sum(left_out for _, left_out in chosen))
    if into:
        into_file(Path(into), text)
    else:
        print(text)


@bench.command()
def export(
    out: Out = "bench",
    into: Annotated[
        str, typer.Option(help="Local folder of result files.", callback=LOCAL_FOLDER)
    ] = "benchmarks/results",
) -> None:
    """Write the test cells of OUT into one JSON file a suite, to keep under version control."""
    _check_installed()
    from sofdata.bench.results.table import export as write

    for path, left_out in write(Path(out), Path(into)):
        _tell_left_out(left_out)
        stdout().print(f"{path}", highlight=False, markup=False, soft_wrap=True)


def _tell_left_out(number: int) -> None:
    if number:
        stderr().print(
            f"{number} results of other settings, data or episodes are left out", highlight=False
        )


def _overrides(suite: str | None, set_: list[str] | None) -> list[str]:
    from sofdata.config.overrides import once

    return once([*([f"suite={suite}"] if suite is not None else []), *(set_ or [])])


def _check_installed() -> None:
    from importlib.util import find_spec

    for package in ("torch", "webdataset", "tensorboard"):
        if find_spec(package) is None:
            raise ConfigError(f"the benchmark needs {package}: pip install 'sofdata[train,bench]'")
