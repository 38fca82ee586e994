"""`sofdata train` and `sofdata encode`: thin layers, as those in `sofdata.cli.app`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sofdata.cli.options import GIVEN, LOCAL_FOLDER, WHOLE_URL, NoLock
from sofdata.errors import ConfigError
from sofdata.system.supervise import supervise
from sofdata.ui.console import print_json, stderr, stdout

Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary.")]


class What(StrEnum):
    """What to train."""

    skill = "skill"
    planner = "planner"
    decoder = "decoder"
    all = "all"


def train(
    what: Annotated[What, typer.Argument(help="One stage, or all of them in this order.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            callback=GIVEN,
            help="Dataset of 'sofdata ingest' for skill and planner; may be repeated.",
        ),
    ] = None,
    demos: Annotated[
        list[str] | None,
        typer.Option(
            callback=GIVEN,
            help="Dataset made with --with-actions, for the decoder; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            help="Local folder of the models and all that is told of them.", callback=LOCAL_FOLDER
        ),
    ] = "models",
    recipe: Annotated[
        str | None,
        typer.Option(callback=GIVEN, help="A YAML file, or the name of a carried recipe."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: skill.optim.steps=500")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Workers of Ray Train; default: this process."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away an earlier training in these folders.")
    ] = False,
    no_lock: NoLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json_: Json = False,
) -> None:
    """Train the skill VAE, the planner and the action decoder.

    \b
    skill    windows of flow to a few codes and back     from --data
    planner  which skills come next, from image and task from --data
    decoder  image and skill to actions                  from --demos
    all      one after the other, without those that are up to date

    A run that was stopped goes on from its last checkpoint with the same command. OUT holds, for
    each stage, model.pt, metrics.jsonl, tensorboard/, pictures/ and checkpoints/, and
    train_report.md for all of them.

    \b
    sofdata train all --data dataset --demos demos --out models
    sofdata train skill --data dataset --set skill.model.bottleneck=kl
    sofdata train all --recipe small --data s3://bucket/dataset
    tensorboard --logdir models

    Every setting is described in schemas/train.schema.json and docs/models.md.
    """
    _check_installed()
    from sofdata.config.overrides import once
    from sofdata.train.config import STAGES, load_train_config

    given = [f"machine.workers={workers}"] if workers else []
    config = load_train_config(recipe, once([*(set_ or []), *given]))
    sources = {"skill": data or [], "planner": data or [], "decoder": demos or []}
    stages = STAGES if what is What.all else [stage for stage in STAGES if stage == what.value]
    if what is What.all and not demos:
        stages = [stage for stage in stages if stage != "decoder"]
        stderr().print("no --demos: the action decoder is left out", highlight=False)
    for stage in stages:
        if not sources[stage]:
            option = "--demos" if stage == "decoder" else "--data"
            raise ConfigError(f"'sofdata train {what.value}' needs {option}: a dataset of ingest")
    if config.machine.workers:
        supervise()
    from sofdata.report.training import print_results, results_summary
    from sofdata.storage.lock import only_driver
    from sofdata.storage.tree import Tree
    from sofdata.train.progress import following
    from sofdata.train.report import write_report
    from sofdata.train.run import train_stage
    from sofdata.train.stage import StageJob

    results = []
    with only_driver(Tree(out), "training", "none" if no_lock else "auto"):
        with following(stderr(), quiet) as follow:
            for stage in stages:
                job = StageJob(stage, config, tuple(sources[stage]), out, {})
                results.append(train_stage(job, follow, restart))
        report = write_report(out)
    if json_:
        print_json({"out": out, "report": str(report), "stages": results_summary(results)})
    else:
        print_results(stdout(), results, report)


def encode(
    dest: Annotated[
        str, typer.Argument(help="The dataset: a path or an fsspec URL.", callback=WHOLE_URL)
    ],
    model: Annotated[
        str,
        typer.Option(
            help="The local folder that 'sofdata train' has written.", callback=LOCAL_FOLDER
        ),
    ] = "models",
    name: Annotated[
        str, typer.Option(help="Of the file; default: the beginning of the model's hash.")
    ] = "",
    no_lock: NoLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json_: Json = False,
) -> None:
    """Write the skills of every window into DEST/skills/, in the order of the index."""
    _check_installed()
    from pathlib import Path

    import torch

    from sofdata.models.saved import load_skill
    from sofdata.storage.tree import Tree
    from sofdata.system.cores import cores
    from sofdata.train.encode import encode as run
    from sofdata.train.progress import counting

    tree, skill = Tree(dest), load_skill(Path(model))
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    with counting(stderr(), "windows", quiet) as follow:
        path = run(tree, skill, name, follow, "none" if no_lock else "auto")
    if json_:
        print_json({"dest": tree.name, "skills": path})
    else:
        stdout().print(f"skills: {tree.name}/{path}", highlight=False, markup=False, soft_wrap=True)


def _check_installed() -> None:
    from importlib.util import find_spec

    for package in ("torch", "webdataset", "tensorboard", "matplotlib"):
        if find_spec(package) is None:
            raise ConfigError(f"training needs {package}: pip install 'sofdata[train]'")
