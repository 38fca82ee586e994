"""Datasets to export: rendered clips with skills, and demonstrations in which a texture jumps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.storage.tree import Tree
from sofdata.train.encode import encode
from tests.helpers import ingest
from tests.lerobots import write_jumping

SMALL = {"width": 32, "channels": [8, 12, 16], "heads": 2}


def write_skills(dataset: Path, name: str = "", bottleneck: str = "fsq") -> Path:
    """Encode a dataset with a model that was not trained; returns the file."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = SkillConfig.parse({**SMALL, "bottleneck": bottleneck})
    model = SkillVAE(config, FlowShape(8, 64, 4.0)).eval()
    return dataset / encode(Tree(str(dataset)), model, name)


@pytest.fixture(scope="session")
def encoded(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered corpus as a dataset, with skills. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("encoded") / "clips"
    shutil.copytree(dataset, folder)
    write_skills(folder)
    return folder


@pytest.fixture(scope="session")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations with actions, 20 a second. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("jumping")
    write_jumping(folder / "videos")
    ingest(folder / "videos", folder / "dataset", "with_actions=true", "units.min_units=2")
    return folder / "dataset"
