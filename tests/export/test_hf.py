"""Exports to a folder that Hugging Face `datasets` reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import yaml

from sofdata.errors import ConfigError, InputError
from sofdata.export import hf
from sofdata.export.card import _text
from sofdata.export.run import ExportSettings, export
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest
from tests.lerobots import write_jumping
from tests.videos import write_video

PYTHON = os.environ.get("SOFDATA_DATASETS_PYTHON", "")
LOAD = """
import json, sys
import datasets
found = {}
for name in datasets.get_dataset_config_names(sys.argv[1]):
    rows = datasets.load_dataset(sys.argv[1], name)["train"]
    found[name] = {"rows": len(rows), "columns": rows.column_names, "json": rows[0]["json"]}
print(json.dumps(found))
"""


def run(dest: Path, out: Path, **settings: Any) -> Any:
    return export(Tree(str(dest)), Tree(str(out)), ExportSettings("hf", **settings))[0]


@pytest.fixture(scope="module")
def folder(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hf") / "folder"
    run(encoded, out, licence="CC-BY-4.0")
    return out


def front(out: Path) -> dict[str, Any]:
    """The YAML of the card."""
    _, text, _ = (out / "README.md").read_text().split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_folder_is_a_whole_dataset_of_sofdata(encoded: Path, folder: Path) -> None:
    assert verify(Tree(str(folder))).whole
    kept = hashes(encoded)
    assert {rel: each for rel, each in hashes(folder).items() if rel in kept} == kept


def test_nothing_in_it_tells_of_the_machine(folder: Path) -> None:
    assert not {"runs", "files.parquet", "quarantine"} & {path.name for path in folder.iterdir()}
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(folder.parent).encode() not in path.read_bytes(), path


def test_the_card_declares_every_configuration_and_its_features(folder: Path) -> None:
    told = front(folder)
    names = [each["config_name"] for each in told["configs"]]
    assert names[:4] == ["shards", "index", "videos", "rejects"]
    assert names[4].startswith("skills-")
    assert [each["config_name"] for each in told["dataset_info"]] == names
    assert told["license"] == "cc-by-4.0"
    for each in told["configs"]:
        assert [*folder.glob(each["data_files"])], each


def declared(out: Path, config: str) -> dict[str, Any]:
    (info,) = [each for each in front(out)["dataset_info"] if each["config_name"] == config]
    return {each["name"]: each for each in info["features"]}


def test_samples_and_rows_have_the_fields_that_are_declared(folder: Path) -> None:
    for config, pattern in (("shards", "shards/*.tar"), ("index", "rows/index/*.tar")):
        features = declared(folder, config)
        fields = {each["name"] for each in features["json"]["struct"]}
        for path in sorted(folder.glob(pattern)):
            for sample in webdataset.WebDataset(str(path), shardshuffle=False):
                members = {name for name in sample if not name.startswith("__")}
                assert members == {name for name in features if not name.startswith("__")}
                assert {*json.loads(sample["json"])} == fields


def test_a_row_of_the_index_is_a_sample(encoded: Path, folder: Path) -> None:
    (path,) = (folder / "rows/index").iterdir()
    with tarfile.open(path) as tar:
        rows = [json.loads(tar.extractfile(each).read()) for each in tar]  # type: ignore[union-attr]
    assert len(rows) == json.loads((encoded / "dataset.json").read_text())["counts"]["windows"]
    assert rows[0]["labels"]["split"] in ("train", "validation", "test")


def test_the_account_of_the_source_and_its_terms_are_in_the_card(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "Something-Something V2: the licence is accepted at Qualcomm" in card
    assert "## What is left out" in card
    assert "Stated by who exported it: cc-by-4.0." in card


def test_an_export_that_was_stopped_goes_on_to_the_same_bytes(
    encoded: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "folder", []

    def stop(name: str) -> None:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(hf, "fault_point", stop)
    with pytest.raises(KeyboardInterrupt):
        run(encoded, out, licence="cc-by-4.0")
    assert not json.loads((out / "export.json").read_text())["complete"]
    assert not (out / "README.md").exists()
    run(encoded, out, licence="cc-by-4.0")
    assert hashes(out) == hashes(folder)


def test_a_damaged_shard_is_not_shared(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "ds")
    shard = next(iter(sorted((tmp_path / "ds/shards").glob("*.tar"))))
    data = bytearray(shard.read_bytes())
    data[2000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(InputError, match=f"{shard.name} of .* is damaged: 'sofdata verify'"):
        run(tmp_path / "ds", tmp_path / "out")


def test_a_dataset_without_a_window_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "still").mkdir()
    write_video(tmp_path / "still/a.mp4", np.zeros((20, 64, 64, 3), np.uint8), fps=10)
    ingest(tmp_path / "still", tmp_path / "ds")
    for settings in (ExportSettings("hf"), ExportSettings("lerobot")):
        with pytest.raises(ConfigError, match="holds no window: there is nothing to export"):
            export(Tree(str(tmp_path / "ds")), Tree(str(tmp_path / "out")), settings)
    assert not (tmp_path / "out").exists()


def test_names_of_strangers_cannot_write_the_card(tmp_path: Path) -> None:
    assert _text("<b>|`x`\n---\n# y") == "&lt;b&gt;\\|\\`x\\`\\\\n---\\\\n\\# y"


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="needs `datasets` in an environment of its own")
def test_datasets_loads_every_configuration(encoded: Path, folder: Path, tmp_path: Path) -> None:
    check_loads(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="needs `datasets` in an environment of its own")
@pytest.mark.parametrize("codec", ["q8", "float16"])
def test_datasets_loads_demonstrations_and_either_codec(tmp_path: Path, codec: str) -> None:
    write_jumping(tmp_path / "videos", episodes=2)
    ingest(tmp_path / "videos", tmp_path / "ds", "with_actions=true", f"codec.name={codec}")
    run(tmp_path / "ds", tmp_path / "out")
    found = check_loads(tmp_path / "out", tmp_path)
    assert "actions.npy" in found["shards"]["columns"]


def check_loads(folder: Path, home: Path) -> dict[str, Any]:
    """What `datasets` finds, offline; each configuration as many rows as it has samples."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(home / "hf-home"),
    }
    command = [PYTHON or sys.executable, "-c", LOAD, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert [*found] == [each["config_name"] for each in front(folder)["configs"]]
    for each in front(folder)["configs"]:
        samples = 0
        for path in folder.glob(each["data_files"]):
            with tarfile.open(path) as tar:
                samples += sum(member.name.endswith(".json") for member in tar)
        assert found[each["config_name"]]["rows"] == samples
    return found
