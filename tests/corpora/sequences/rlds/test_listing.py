"""What is listed of TFDS datasets, and wherever they lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.storage.tree import Tree
from sofdata.types import TimedText
from tests import rlds_files as made
from tests.conformance.barcode import read
from tests.corpora.sequences.rlds.listings import SETTINGS, accounts_for_every_file, by_name, listed
from tests.helpers import ingest
from tests.sequences import samples


def test_what_an_entry_says(source: Path) -> None:
    listing = listed(source)
    found = by_name(listing)
    assert len(found) == 8
    changing, other = found["train-00000/1/image"], found["train-00000/1/wrist"]
    assert changing.span_s == (0.0, 2.0)
    assert changing.text == "open it; close it"
    assert changing.annotations.texts == (
        TimedText(0.0, 1.2, "open it"),
        TimedText(1.2, 2.0, "close it"),
    )
    assert found["val-00000/0/image"].annotations.texts == ()
    assert changing.labels["split"] == "train"
    assert changing.labels["camera"] == "image"
    assert changing.labels["episode"] == "1"
    assert changing.labels["dataset"] == "tiny"
    assert changing.labels["file_path"] == "/raw/0"
    recordings = {recording_of("rlds", each.labels) for each in found.values()}
    assert len(recordings) == 4
    assert recording_of("rlds", changing.labels) == recording_of("rlds", other.labels)
    assert listing.tables == ("tiny/1.0.0/dataset_info.json", "tiny/1.0.0/features.json")
    assert any("depth" in note for note in listing.notes)
    assert accounts_for_every_file(source, listing)


def test_it_is_found_wherever_it_is_entered(source: Path) -> None:
    for folder in (source, source / "tiny", source / "tiny" / "1.0.0"):
        corpus, _ = find_corpus(Tree(str(folder)), sequences=SequenceConfig(fps=5))
        assert corpus.name == "rlds"
        assert len(list_source(corpus, Tree(str(folder)), with_actions=False).entries) == 8


def test_a_folder_of_videos_with_records_beside_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    made.write_shard(tmp_path / "x.tfrecord-00000-of-00001", [b"data"])
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"


def test_the_newest_version_counts(source: Path) -> None:
    for version in ("0.9.0", "0.10.0", "1.0.0"):
        folder = source / "tiny" / version
        made.write_dataset(folder, {"train": [[made.episode(range(5))]]}, version=version)
    listing = listed(source)
    assert {entry.labels["version"] for entry in listing.entries} == {"1.0.0"}
    assert listing.ignored["older version"] == 6
    assert any("newer one" in note for note in listing.notes)
    assert accounts_for_every_file(source, listing)


def test_configs_and_datasets_side_by_side(tmp_path: Path) -> None:
    for name, config in (("kitchen", "small"), ("kitchen", "large"), ("shop", "")):
        folder = tmp_path / name / config / "1.0.0"
        record = made.episode(range(5))
        made.write_dataset(folder, {"train": [[record]]}, name=name, configName=config)
    found = listed(tmp_path).entries
    told = {(entry.labels["dataset"], entry.labels.get("config", "")) for entry in found}
    assert told == {("kitchen", "small"), ("kitchen", "large"), ("shop", "")}
    assert len({entry.id for entry in found}) == 6


def test_what_is_not_finished_is_left_out(source: Path) -> None:
    made.write_dataset(
        source / "tiny" / "incomplete.AB12_1.1.0", {"train": [[made.episode(range(5))]]}
    )
    listing = listed(source)
    assert len(listing.entries) == 8
    assert listing.ignored["unfinished dataset"] == 3


def test_other_names_of_files_by_their_template(tmp_path: Path) -> None:
    folder = made.write_dataset(tmp_path / "1.0.0", {"train": [[made.episode(range(5))]]})
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = "{SPLIT}/{DATASET}-{SHARD_INDEX}.{FILEFORMAT}"
    info["splits"][0]["name"] = "test"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "test").mkdir()
    (folder / "tiny-train.tfrecord-00000-of-00001").rename(folder / "test/tiny-00000.tfrecord")
    assert {entry.labels["split"] for entry in listed(tmp_path).entries} == {"test"}


@pytest.mark.parametrize("template", ["{A}{B}{C}{D}{E}{F}{G}!", "{SPLIT}" * 9 + "!", "{SPLIT"])
def test_a_template_of_no_meaning_is_not_followed(template: str, tmp_path: Path) -> None:
    """As a pattern it might take without end for a long name."""
    folder = made.write_dataset(tmp_path, {"train": [[made.episode(range(5))]]})
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = template
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / ("a" * 200)).write_bytes(b"")
    listing = listed(tmp_path)
    assert {entry.labels["split"] for entry in listing.entries} == {"train"}
    assert sum(listing.ignored.values()) == 1


def test_lengths_of_shards_that_are_none_are_not_told(source: Path) -> None:
    path = source / "tiny/1.0.0/dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"][0]["shardLengths"] = [float("inf"), 1]
    path.write_text(json.dumps(info))
    listing = listed(source)
    assert len(listing.entries) == 8
    assert not any("as many records" in note for note in listing.notes)


def test_without_dataset_info_the_names_tell(source: Path) -> None:
    (source / "tiny/1.0.0/dataset_info.json").unlink()
    found = by_name(listed(source))
    assert found["val-00000/0/image"].labels["split"] == "val"
    assert found["val-00000/0/image"].labels["version"] == "1.0.0"


def test_a_record_of_several_episodes_is_cut_apart(tmp_path: Path) -> None:
    record = made.episode(range(20))
    record["steps/is_first"] = np.isin(np.arange(20), [0, 8]).astype(int)
    made.write_dataset(tmp_path / "s", {"train": [[record]]})
    listing = listed(tmp_path / "s")
    spans = {entry.labels["episode"]: entry.span_s for entry in listing.entries}
    assert spans == {"0-0": (0.0, 0.8), "0-1": (0.0, 1.2)}
    assert any("several episodes" in note for note in listing.notes)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "with_actions=true")
    found = list(samples(tmp_path / "d"))
    for sample in found:
        number = read(sample.first).number or 0
        first = 8 if "-1/" in sample.record.source else 0
        assert number % 100 == first + round(made.FPS * sample.record.start_s)
        assert sample.actions is not None
        assert sample.actions[0, 0] == number % 100


def test_what_lies_beside_shards(source: Path) -> None:
    """An index that other programs write is no shard."""
    (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001.index").write_bytes(b"0 1")
    listing = listed(source)
    assert len(listing.entries) == 8
    assert sum(listing.ignored.values()) == 1


def test_missing_shards_are_told(source: Path) -> None:
    (source / "tiny/1.0.0/tiny-train.tfrecord-00000-of-00002").unlink()
    (source / "tiny/1.0.0/tiny-val.tfrecord-00000-of-00001").unlink()
    notes = " ".join(listed(source).notes)
    assert "1 of the 2 shards of 'train' are here" in notes
    assert "no shard is here of val" in notes


def test_copies_of_shards_are_told(source: Path) -> None:
    name = "tiny-train.tfrecord-00000-of-00002"
    copy = source / "tiny/1.0.0/backup" / name
    copy.parent.mkdir()
    copy.write_bytes((source / "tiny/1.0.0" / name).read_bytes())
    (source / "tiny/1.0.0/tiny-train.tfrecord-00001-of-00002").unlink()
    listing = listed(source)
    assert len(listing.entries) == 10
    notes = " ".join(listing.notes)
    assert "1 x shard of 'train' lies here twice" in notes
    assert "1 of the 2 shards of 'train' are here" in notes


def test_shards_whose_names_tell_no_number_are_counted(tmp_path: Path) -> None:
    folder = made.write_dataset(tmp_path, {"train": [[made.episode(range(5))]] * 2})
    for number, path in enumerate(sorted(folder.glob("*.tfrecord-*"))):
        path.rename(folder / f"part{number}.tfrecord")
    listing = listed(tmp_path)
    assert {entry.labels["split"] for entry in listing.entries} == {"train"}
    assert not any("shard" in note for note in listing.notes)
