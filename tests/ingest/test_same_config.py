"""A command whose settings differ from those of the dataset says which ones go on with it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from sofdata.errors import ConfigError
from sofdata.flow.estimator import resolve
from sofdata.ingest.config import IngestConfig, completed, load_config
from sofdata.ingest.same_config import check_same_config, settings_of
from sofdata.shards.schema import Counts, DatasetRecord
from sofdata.storage.tree import Tree


def resolved(settings: Sequence[str]) -> IngestConfig:
    config = load_config(None, ["flow.device=cpu", *settings])
    return config.model_copy(update={"flow": resolve(config.flow)})


def record(made: IngestConfig) -> DatasetRecord:
    """Of a dataset with these settings, begun."""
    return DatasetRecord(
        complete=False,
        corpus="folder",
        config=made.content(),
        config_sha256=made.digest(),
        counts=Counts(),
        flow={},
        provenance={},
    )


def refusal(there: Sequence[str], here: Sequence[str], dest: Path) -> str:
    """What is said of a dataset that was made with other settings."""
    stored = record(resolved(there))
    with pytest.raises(ConfigError, match="made with another configuration") as caught:
        check_same_config(stored, resolved(here), Tree(str(dest)))
    return str(caught.value)


def options_in(message: str) -> list[str]:
    found = re.search(r"To go on with it the command needs (.*); or choose another", message)
    assert found, message
    words = shlex.split(found[1])
    assert words[::2] == ["--set"] * (len(words) // 2)
    return words[1::2]


@pytest.mark.parametrize(
    ("there", "here", "options"),
    [
        (
            ["flow.quality=earlier", "windows.camera_fit=ransac"],
            [],
            ["flow.quality=earlier", "windows.camera_fit=ransac"],
        ),
        ([], ["flow.quality=fast"], ["flow.quality=fine"]),
        ([], ["flow.dis.patch_stride=4"], ["flow.dis.patch_stride=3"]),
        (["flow.dis.patch_stride=5"], [], ["flow.dis.patch_stride=5"]),
        (["flow.estimator=farneback"], [], ["flow.estimator=farneback"]),
        (
            ["flow.estimator=farneback"],
            ["flow.quality=fast"],
            ["flow.quality=fine", "flow.estimator=farneback"],
        ),
        ([], ["flow.estimator=farneback"], ["flow.estimator=dis"]),
        (["windows.length=6"], ["windows.stride=2"], ["windows.length=6", "windows.stride=4"]),
        (["flow.max_step_s=null"], [], ["flow.max_step_s=null"]),
        (["with_actions=true"], [], ["with_actions=true"]),
        (["manifest.text=a b"], [], ["manifest.text=a b"]),
    ],
)
def test_the_refusal_names_the_options_that_go_on(
    there: Sequence[str], here: Sequence[str], options: list[str], tmp_path: Path
) -> None:
    said = options_in(refusal(there, here, tmp_path))
    assert said == options
    keys = {option.split("=")[0] for option in said}
    kept = [each for each in here if each.split("=")[0] not in keys]
    assert resolved([*kept, *said]).content() == resolved(there).content()


def test_weights_that_are_known_by_their_hash_are_no_option() -> None:
    learned = ["flow.estimator=ptlflow:raft", "flow.weights_sha256=" + "0" * 64]
    made, here = load_config(None, learned), load_config(None, [])
    assert not settings_of(completed(made.content()), here)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("windows.cut=motion", "windows.length=16", "windows.trim=true", "windows.gradual_s=3"),
        ("flow.quality=fast", "flow.keep=true", "flow.kept.codec=float32", "quality.columns=all"),
        ("with_actions=true", "with_state=true", "video.max_pixels=null", "codec.name=float16"),
    ],
)
def test_the_record_of_a_dataset_is_a_recipe_of_its_settings(
    settings: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolved(settings)
    (tmp_path / "dataset.json").write_bytes(record(made).to_json())
    again = load_config(str(tmp_path / "dataset.json"))
    assert again.model_copy(update={"flow": resolve(again.flow)}).digest() == made.digest()
    monkeypatch.chdir(tmp_path)
    assert load_config("dataset.json").content() == again.content()
    changed = load_config("dataset.json", ["windows.stride=7", "run.workers=3"])
    assert (changed.windows.stride, changed.run.workers) == (7, 3)
    assert changed.windows.length == made.windows.length


@pytest.mark.parametrize(
    "asked", [("flow.quality=fast",), ("flow.quality=standard", "flow.dis.finest_scale=2")]
)
def test_another_quality_counts_over_what_a_dataset_has(
    asked: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "dataset.json").write_bytes(record(resolved(())).to_json())
    changed = load_config(str(tmp_path / "dataset.json"), asked)
    wanted = load_config(None, asked)
    assert changed.flow.dis_settings() == wanted.flow.dis_settings()


def test_a_recipe_of_a_dataset_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read recipe '.*/dataset.json': no such"):
        load_config(str(tmp_path / "none" / "dataset.json"))
    (tmp_path / "dataset.json").write_text('{"windows": {"length": 4}}')
    with pytest.raises(ConfigError, match="does not fit schema"):
        load_config(str(tmp_path / "dataset.json"))
