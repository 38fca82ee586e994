"""Damaged and incomplete datasets of TFDS are rejects or errors that say so."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sofdata.corpora.sequences.rlds.looked import found_in
from sofdata.errors import ConfigError
from tests import rlds_files as made
from tests.corpora.sequences.rlds.listings import (
    SETTINGS,
    accounts_for_every_file,
    listed,
    rejected,
)
from tests.helpers import ingest
from tests.sequences import encoded, samples, wrong_frames

TIMES = {"name": "t", "unit": 1.0, "fps": 10.0, "last_s": [0.3], "rows": [4], "all": []}
GROUP: dict[str, Any] = {
    "steps": 4,
    "parts": [[0, 4, True]],
    "texts": {"t": [[0, "a"], [2, "b"]]},
    "times": TIMES,
    "lacks": {},
}


def test_a_shard_that_is_cut_off_keeps_what_comes_before(source: Path) -> None:
    path = source / "tiny/1.0.0/tiny-train.tfrecord-00000-of-00002"
    path.write_bytes(path.read_bytes()[:-50])
    listing = listed(source)
    rejects = [entry for entry in listing.entries if entry.problem]
    assert [entry.id.rpartition("/")[2] for entry in rejects] == ["rest"]
    assert rejects[0].problem == "damaged"
    assert "cut off" in rejects[0].detail
    assert "1 of 2 records" in rejects[0].detail
    assert len(listing.entries) == 7


def test_a_wrong_checksum_is_a_reject_when_it_is_read(source: Path, tmp_path: Path) -> None:
    path = source / "tiny/1.0.0/tiny-train.tfrecord-00001-of-00002"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # in a picture
    path.write_bytes(data)
    ingest(source, tmp_path / "d", *SETTINGS, "run.isolate=true")
    assert rejected(tmp_path / "d") == {"image": "damaged", "wrist": "damaged"}


def test_a_compressed_shard_is_named(source: Path) -> None:
    path = source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001"
    path.write_bytes(gzip.compress(path.read_bytes()))
    (reject,) = [entry for entry in listed(source).entries if entry.problem]
    assert reject.problem == "compressed"
    assert "gunzip" in reject.detail


def test_what_git_lfs_leaves_in_place_of_a_shard_is_named(source: Path) -> None:
    path = source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (reject,) = [entry for entry in listed(source).entries if entry.problem]
    assert "git lfs pull" in reject.detail


def test_another_number_of_records_is_told(source: Path) -> None:
    path = source / "tiny/1.0.0/tiny-train.tfrecord-00001-of-00002"
    path.write_bytes(path.read_bytes() * 2)
    listing = listed(source)
    assert len(listing.entries) == 10
    (note,) = [note for note in listing.notes if "as many records" in note]
    assert "has 2, not 1" in note


def test_an_empty_shard_is_counted(source: Path) -> None:
    (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001").write_bytes(b"")
    listing = listed(source)
    assert listing.ignored["shard without episodes"] == 1
    assert accounts_for_every_file(source, listing)


@pytest.mark.parametrize(
    ("change", "problem", "words"),
    [
        ({"steps/observation/image": np.arange(9)}, "damaged", "holds integers"),
        ({"steps/observation/image": None}, "damaged", "no feature"),
        ({"steps/action": np.zeros(4)}, "damaged", "4 numbers, where each step has 3"),
        ({"steps/action": np.zeros(6)}, "damaged", "as many steps"),
    ],
)
def test_an_episode_that_is_not_as_features_json_says(
    change: dict[str, Any], problem: str, words: str, tmp_path: Path
) -> None:
    record = made.episode(range(9)) | change
    record = {name: value for name, value in record.items() if value is not None}
    made.write_dataset(tmp_path, {"train": [[made.episode(range(5)), record]]})
    rejects = [entry for entry in listed(tmp_path).entries if entry.problem]
    assert {entry.problem for entry in rejects} == {problem}
    assert words in rejects[0].detail
    assert len(rejects) == 1


def test_fewer_pictures_than_steps(tmp_path: Path) -> None:
    record = made.episode(range(12)) | {"steps/observation/image": [encoded(1)] * 11}
    made.write_dataset(tmp_path / "s", {"train": [[record]]})
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    assert rejected(tmp_path / "d") == {"image": "damaged"}


def test_a_picture_that_is_missing_costs_itself(tmp_path: Path) -> None:
    record = made.episode(range(14))
    record["steps/observation/image"][6] = b""
    record["steps/observation/image"][7] = encoded(7)[:200]
    made.write_dataset(tmp_path / "s", {"train": [[record]]})
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    first = {sample.record.source: 0 for sample in samples(tmp_path / "d")}
    first |= {name: 100 for name in first if name.endswith("wrist")}
    assert not wrong_frames(tmp_path / "d", made.FPS, first)


def test_no_step_at_all(tmp_path: Path) -> None:
    made.write_dataset(tmp_path, {"train": [[made.episode([])]]})
    assert {entry.problem for entry in listed(tmp_path).entries} == {"no_frames"}


def test_nothing_of_tfds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no features\.json and no shard"):
        listed(tmp_path)


def test_a_dataset_whose_shards_are_elsewhere(source: Path) -> None:
    for path in source.rglob("*.tfrecord-*"):
        path.unlink()
    with pytest.raises(ConfigError, match="no shard beside it"):
        listed(source)


def test_the_newest_version_has_no_shard(source: Path) -> None:
    made.write_dataset(source / "tiny" / "1.1.0", {})
    with pytest.raises(
        ConfigError, match=r"no shard beside it.* older version itself, as tiny/1\.0\.0"
    ):
        listed(source)


def test_a_missing_package_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sofdata.system.extras.is_installed", lambda module: False)
    with pytest.raises(ConfigError, match=r"pip install 'sofdata\[rlds\]'"):
        listed(source)


def test_one_shard_alone(source: Path, tmp_path: Path) -> None:
    shard = source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001"
    with pytest.raises(ConfigError, match="give the folder"):
        ingest(shard, tmp_path / "d", *SETTINGS)


def test_another_format_of_tfds(source: Path, tmp_path: Path) -> None:
    folder = source / "tiny/1.0.0"
    for path in folder.glob("*.tfrecord-*"):
        path.rename(folder / path.name.replace(".tfrecord", ".array_record"))
    with pytest.raises(ConfigError, match="convert_format"):
        ingest(source, tmp_path / "d", *SETTINGS)


def test_other_formats_beside_are_rejects(source: Path) -> None:
    (source / "tiny/1.0.0/tiny-test.array_record-00000-of-00001").write_bytes(b"x")
    (reject,) = [entry for entry in listed(source).entries if entry.problem]
    assert reject.problem == "other_format"


@pytest.mark.parametrize(
    "change",
    [
        {"at": -1},
        {"bytes": "x"},
        {"groups": {"steps": {"steps": 4}}},
        {"groups": {"steps": {**GROUP, "parts": [[0, 3, False]]}}},
        {"groups": {"steps": {**GROUP, "parts": [[2, 4, False], [0, 2, False]]}}},
        {"groups": {"steps": {**GROUP, "texts": {"t": [[9, "late"]]}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"fps": float("nan")}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"all": [0.0]}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"all": [0.0, 0.1, -0.1, 0.3]}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"last_s": []}}}},
        {"groups": {"steps": {**GROUP, "times": TIMES | {"rows": [5]}}}},
        {"alone": {"a": [1]}},
    ],
)
def test_what_no_look_says_is_not_believed(change: dict[str, Any]) -> None:
    told = {"at": 12, "bytes": 9, "wrong": None, "alone": {"a": "x"}, "groups": {"steps": GROUP}}
    found, wrong = found_in({"episodes": [told], "wrong": None})
    assert found[0].steps["steps"].count == 4
    assert wrong is None
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        found_in({"episodes": [told | change], "wrong": None})
