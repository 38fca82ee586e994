"""The library lerobot loads what is exported, and trains on it.

It needs another Python and an older PyAV than sofdata, so it runs in an environment of its own,
whose Python SOFDATA_LEROBOT_PYTHON names; `make lerobot` makes one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.export.run import ExportSettings, export
from sofdata.storage.tree import Tree
from tests.corpora.test_lerobot_library import PYTHON, library
from tests.export.test_lerobot import CAMERA, episodes, rows

pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="needs lerobot in an environment of its own"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

LOAD = """
import json, sys
from lerobot.datasets import LeRobotDataset
dataset = LeRobotDataset("local/export", root=sys.argv[1], video_backend="pyav")
found = []
for index in range(len(dataset)):
    item = dataset[index]
    level = float(item["observation.images.video"].mean()) * 255
    values = {key: item[key].tolist() for key in ("action", "skill.tokens", "time_s")}
    values |= {"episode": int(item["episode_index"]), "task": item["task"], "level": level}
    found.append(values)
json.dump(found, open(sys.argv[2], "w"))
"""
ACT = {
    "type": "act",
    "dim_model": 32,
    "n_heads": 2,
    "dim_feedforward": 64,
    "n_encoder_layers": 1,
    "n_vae_encoder_layers": 1,
    "chunk_size": 4,
    "n_action_steps": 4,
    "pretrained_backbone_weights": "null",
}
DIFFUSION = {
    "type": "diffusion",
    "down_dims": "[32,64]",
    "horizon": 8,
    "n_action_steps": 4,
    "num_train_timesteps": 10,
}


def exported(dest: Path, out: Path, **settings: Any) -> Path:
    export(Tree(str(dest)), Tree(str(out)), ExportSettings("lerobot", **settings))
    return out


@pytest.mark.parametrize("of", ["windows", "videos"])
def test_the_library_gives_every_row_as_it_was_written(
    encoded: Path, tmp_path: Path, of: str
) -> None:
    out = exported(encoded, tmp_path / "out", of=of)
    (tmp_path / "load.py").write_text(LOAD)
    library(tmp_path, tmp_path / "load.py", out, tmp_path / "found.json")
    found, written = json.loads((tmp_path / "found.json").read_text()), rows(out)
    tasks = {each["episode_index"]: each["tasks"] for each in episodes(out)}
    assert len(found) == len(written)
    for got, row in zip(found, written, strict=True):
        assert got["skill.tokens"] == row["skill.tokens"]
        assert got["action"] == pytest.approx(row["action"])
        assert got["time_s"] == pytest.approx(row["time_s"])
        assert got["episode"] == row["episode_index"]
        assert got["task"] in tasks[row["episode_index"]]
        assert 5 < got["level"] < 250


@pytest.mark.parametrize(
    ("of", "policy", "demonstrations"),
    [
        ("windows", ACT, False),
        ("videos", ACT, False),
        ("videos", ACT, True),
        ("windows", DIFFUSION, False),
    ],
)
def test_the_library_trains_on_what_is_exported(
    encoded: Path,
    jumping: Path,
    tmp_path: Path,
    of: str,
    policy: dict[str, Any],
    demonstrations: bool,
) -> None:
    root = exported(jumping if demonstrations else encoded, tmp_path / "out", of=of)
    arguments = {
        "dataset.repo_id": "local/export",
        "dataset.root": root,
        "dataset.video_backend": "pyav",
        "dataset.use_imagenet_stats": "false",
        "policy.device": "cpu",
        "policy.push_to_hub": "false",
        **{f"policy.{name}": value for name, value in policy.items()},
        "steps": 2,
        "batch_size": 2,
        "num_workers": 0,
        "log_freq": 1,
        "save_freq": 2,
        "wandb.enable": "false",
        "output_dir": tmp_path / "run",
    }
    given = [f"--{name}={value}" for name, value in arguments.items()]
    said = library(tmp_path, "-m", "lerobot.scripts.lerobot_train", *given)
    print("\n".join(line for line in said.splitlines() if "loss:" in line))
    assert "step:2 " in said
    assert "loss:nan" not in said
    assert json.loads((root / "meta/info.json").read_text())["features"][CAMERA]["dtype"] == "video"
