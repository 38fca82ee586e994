"""`sofdata train` and `sofdata encode`: thin layers, as those in `sofdata.cli.app`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from sofdata.cli.options import (
    GIVEN,
    LOCAL_FOLDER,
    Dataset,
    Json,
    NoLock,
    Quiet,
    Set,
    TrainRecipe,
    examples,
)
from sofdata.system.extras import require
from sofdata.system.supervise import supervise
from sofdata.ui.console import counting, print_json, say, stderr, stdout

TRAIN_EXAMPLES = examples(
    "sofdata train all --data dataset --demos demos --out models",
    "sofdata train skill --data dataset --set skill.model.bottleneck=kl",
    "sofdata train planner --recipe small --data s3://bucket/dataset",
)
ENCODE_EXAMPLES = examples(
    "sofdata encode dataset --model models",
    "sofdata encode s3://bucket/dataset --name tuned",
)


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
        typer.Option(help="Local folder for the models and their metrics.", callback=LOCAL_FOLDER),
    ] = "models",
    recipe: TrainRecipe = None,
    set_: Set = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Workers of Ray Train; default: this process."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete an earlier training in these folders.")
    ] = False,
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train the skill VAE, the planner and the action decoder.

    \b
    skill    windows of flow to a few codes and back       from --data
    planner  which skills come next, from image and task   from --data
    decoder  image and skill to actions                    from --demos
    all      one after the other, except those that are up to date

    The same command again resumes from the last checkpoint. The output folder
    holds, for each stage, model.pt, metrics.jsonl, tensorboard/, pictures/ and
    checkpoints/, and train_report.md and train_report.html for all of them, with
    a verdict in words; tensorboard --logdir shows more. schemas/train.schema.json
    and docs/models.md describe every setting.
    """
    _check_installed()
    from sofdata.config.overrides import once
    from sofdata.train.config import load_train_config, stages_of

    given = [f"machine.workers={workers}"] if workers else []
    config = load_train_config(recipe, once([*(set_ or []), *given]))
    stages = stages_of(what.value, data or [], demos or [])
    if what is What.all and "decoder" not in stages:
        say(stderr(), "no --demos: the action decoder is left out")
    if config.machine.workers:
        require("ray", "ray", "training with machine.workers")
        supervise()
    from sofdata.report.training import print_results, results_summary, write_training_page
    from sofdata.train.pipeline import train_stages
    from sofdata.train.progress import following

    lock: Literal["auto", "none"] = "none" if no_lock else "auto"
    with following(stderr(), quiet) as follow:
        trained = train_stages(
            stages,
            config,
            data=data or [],
            demos=demos or [],
            out=out,
            on_progress=follow,
            restart=restart,
            lock=lock,
        )
    results, report = trained.stages, trained.report
    page = write_training_page(trained.out)
    if json_:
        reports = {"report": str(report), "page": str(page)}
        print_json({"out": out, **reports, "stages": results_summary(results)})
    else:
        print_results(stdout(), results, report, page)


def encode(
    dest: Dataset,
    model: Annotated[
        str,
        typer.Option(
            help="The local folder that 'sofdata train' has written.", callback=LOCAL_FOLDER
        ),
    ] = "models",
    name: Annotated[
        str, typer.Option(help="Name of the file; default: the first digits of the model's hash.")
    ] = "",
    no_lock: NoLock = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Write the skill of every window into DEST/skills/, in the order of the index."""
    _check_installed()
    from pathlib import Path

    import torch

    from sofdata.models.saved import load_skill
    from sofdata.storage.tree import Tree
    from sofdata.system.cores import cores
    from sofdata.train.encode import encode as run

    tree, skill = Tree(dest), load_skill(Path(model))
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    with counting(stderr(), "windows", quiet) as follow:
        path = run(tree, skill, name, follow, "none" if no_lock else "auto")
    if json_:
        print_json({"dest": tree.name, "skills": path})
    else:
        say(stdout(), f"skills: {tree.name}/{path}")


def _check_installed() -> None:
    require(("torch", "webdataset", "tensorboard", "matplotlib"), "train", "training")
