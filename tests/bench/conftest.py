"""A tiny benchmark in the toy world: collected and ingested once for all tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.stages import Trainer
from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations

TINY = (
    "tasks=[push-left, push-right]",
    "videos=3",
    "ingest.run.engine=inline",
    "skill.model.width=32",
    "skill.optim.steps=12",
    "planner.model.prior.width=32",
    "planner.model.dynamics.width=32",
    "planner.optim.steps=12",
    "lapa.model.width=32",
    "lapa.optim.steps=12",
    "tracks.model.width=32",
    "tracks.optim.steps=12",
    "decoder.model.width=32",
    "decoder.optim.steps=12",
    "compute_updates=16",
    "clone_updates=12",
    "evaluation.max_steps=16",
)


def tiny(*overrides: str) -> BenchConfig:
    """The smoke preset at a size for tests."""
    return load_bench_config("smoke", [*TINY, *overrides])


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos and demonstrations of the toy world, as a collection leaves them."""
    root = tmp_path_factory.mktemp("collected")
    write_pushing_corpus(root / "videos", 20, seed=1)
    write_pushing_demonstrations(root / "demos", 3, seed=1)
    record = {"suite": "pushing", "fps": find_suite("pushing").fps, "cpu_s": 1.5}
    (root / "collect.json").write_text(json.dumps(record))
    return root


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark's folder that tests share."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="session")
def data(collected: Path, out: Path) -> BenchData:
    """The collection, ingested."""
    return prepare_data(tiny(), find_suite("pushing").fps, collected, out)


@pytest.fixture
def trainer(data: BenchData, out: Path) -> Trainer:
    """Trains the tiny models."""
    texts = tuple(
        sorted(t.text for t in find_suite("pushing").tasks if "left" in t.text or "right" in t.text)
    )
    return Trainer(tiny(), data, texts, out)
