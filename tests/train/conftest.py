"""Small datasets and settings that train in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations
from sofdata.train.config import TrainConfig, load_train_config
from tests.helpers import ingest

WINDOWS = ("flow.size=64", "windows.size=32", "units.min_units=4")
TINY = (
    *("skill.model.width=32", "skill.model.channels=[8,12,16]", "skill.model.heads=2"),
    *("planner.model.prior.width=32", "planner.model.dynamics.width=32"),
    *("decoder.model.width=32", "decoder.model.layers=1"),
    "machine.threads=1",
    *(
        f"{stage}.{key}"
        for stage in ("skill", "planner", "decoder")
        for key in (
            *("optim.steps=8", "optim.warmup_steps=2", "data.batch_size=8", "data.held_out=0.2"),
            *("data.loaders=0", "run.log_every=2", "run.checkpoint_every=3"),
            *("run.evaluate_every=8", "run.pictures=false"),
        )
    ),
)


@pytest.fixture(scope="session")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of pushing, without actions."""
    folder = tmp_path_factory.mktemp("pushing")
    write_pushing_corpus(folder / "videos", episodes=12, seed=0)
    ingest(folder / "videos", folder / "dataset", *WINDOWS)
    return folder / "dataset"


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of pushing, with actions."""
    folder = tmp_path_factory.mktemp("demonstrations")
    write_pushing_demonstrations(folder / "episodes", episodes_per_task=2, seed=5)
    ingest(folder / "episodes", folder / "dataset", *WINDOWS, "with_actions=true")
    return folder / "dataset"


@pytest.fixture
def tiny() -> TrainConfig:
    return load_train_config(None, TINY)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
