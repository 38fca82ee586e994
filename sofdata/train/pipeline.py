"""One stage of training or all of them, one after the other, and the report of what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.train.config import StageName, TrainConfig
from sofdata.train.loop import OnProgress
from sofdata.train.report import write_report
from sofdata.train.run import StageResult, train_stage
from sofdata.train.stage import StageJob
from sofdata.ui.brief import Brief


@dataclass(frozen=True, slots=True, repr=False)
class Trained(Brief):
    """What a training has left in a folder.

    out: the folder of all models, as `sofdata.load_policy` takes it.
    stages: how each stage ended, in order.
    report: the page with metrics and pictures, `out`/train_report.md.
    """

    out: Path
    stages: tuple[StageResult, ...]
    report: Path


def train_stages(
    stages: Sequence[StageName],
    config: TrainConfig,
    *,
    data: Sequence[str],
    demos: Sequence[str],
    out: str | Path,
    on_progress: OnProgress,
    restart: bool = False,
    lock: Choice = "auto",
) -> Trained:
    """Train stages in order, each skipped if it is up to date, and write the report.

    data: datasets for the skill model and the planner; demos: those with actions, for the decoder.
    on_progress: called with each `TrainingProgress`.
    restart: throw away what an earlier training has left of these stages.
    lock: "none" takes no lock of the folder.

    Raises `ConfigError` as `train_stage`.
    """
    folder = local_folder(str(out), "the folder to train into")
    results = []
    with only_driver(Tree(folder), "training", lock):
        for stage in stages:
            urls = demos if stage == "decoder" else data
            results.append(
                train_stage(StageJob(stage, config, tuple(urls), folder, {}), on_progress, restart)
            )
        report = write_report(folder)
    return Trained(Path(folder), tuple(results), report)
