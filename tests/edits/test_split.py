from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.edits.split import SplitBy, StoredSplit, split
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.loading.loader import Loader
from sofdata.loading.split import HeldOut, Sides
from sofdata.shards.layout import SPLIT
from sofdata.storage.tree import Tree
from tests.edits.tiny import append_tiny, ingest_tiny, merge_tiny, select_tiny, write_tiny


@pytest.fixture
def dataset(tiny: Path, tmp_path: Path) -> Path:
    """A copy that may be split."""
    return Path(shutil.copytree(tiny, tmp_path / "dataset"))


def test_a_stored_split_is_what_the_loader_uses(dataset: Path) -> None:
    found = _split(dataset, share=0.25)
    assert (found.files, found.changed) == ({"train": 18, "held_out": 6}, True)
    sides = [Loader(dataset, split=side, batch_size=2) for side in ("train", "held_out")]
    assert [loader.rows for loader in sides] == [*found.windows.values()]
    assert verify(Tree(str(dataset))).whole


def test_it_holds_out_what_a_share_of_that_size_does(dataset: Path) -> None:
    direct = Loader(dataset, split=("train", 0.25), batch_size=2).sides
    _split(dataset, share=0.25)
    stored = Loader(dataset, split="train", batch_size=2).sides
    assert direct is not None
    assert stored is not None
    assert direct.sha256 == stored.sha256


def test_training_uses_it_unless_told_otherwise(dataset: Path) -> None:
    from sofdata.train.config import DataConfig
    from sofdata.train.sides import decided_sides

    _split(dataset, share=0.5)
    urls = [str(dataset)]
    assert len(decided_sides(urls, {}, DataConfig()).held_out) == 12
    assert len(decided_sides(urls, {}, DataConfig(stored_split=False)).held_out) == 2
    by_filter = DataConfig(held_out_where="source == '000.mp4'")
    assert len(decided_sides(urls, {}, by_filter).held_out) == 1


def test_without_a_stored_split_training_is_as_it_was(dataset: Path) -> None:
    from sofdata.config.earlier import identity
    from sofdata.train.config import DataConfig
    from sofdata.train.sides import decided_sides

    assert len(decided_sides([str(dataset)], {}, DataConfig()).held_out) == 2
    assert "stored_split" not in identity(DataConfig())


def test_what_comes_later_gets_a_side_and_all_else_keeps_its_own(tmp_path: Path) -> None:
    write_tiny(tmp_path / "v", range(10))
    write_tiny(tmp_path / "more", range(50, 70))
    ingest_tiny(tmp_path / "v", tmp_path / "dataset")
    _split(tmp_path / "dataset", share=0.25)
    before = json.loads((tmp_path / "dataset" / SPLIT).read_text())
    append_tiny(tmp_path / "more", tmp_path / "dataset")
    with pytest.raises(ConfigError, match="gives them one, and leaves the others"):
        Loader(tmp_path / "dataset", split="train", batch_size=2)
    found = _split(tmp_path / "dataset", share=0.25)
    after = json.loads((tmp_path / "dataset" / SPLIT).read_text())
    absolute = str(tmp_path / "v") + "/"
    for side in ("train", "held_out"):
        assert {absolute + name for name in before[side]} <= {*after[side]}
    assert found.files["held_out"] == 6  # a quarter of 24


def test_the_same_split_again_changes_nothing_and_another_is_refused(dataset: Path) -> None:
    _split(dataset, share=0.25)
    before = (dataset / SPLIT).read_bytes()
    assert not _split(dataset, share=0.25).changed
    assert (dataset / SPLIT).read_bytes() == before
    with pytest.raises(ConfigError, match=r"has a split already, 0\.25 of the files"):
        _split(dataset, share=0.5)
    assert _split(dataset, share=0.5, again=True).files["held_out"] == 12


def test_whole_labels_are_held_out(tmp_path: Path) -> None:
    write_tiny(tmp_path / "v", range(12))
    rows = [{"path": f"v/{number:03}.mp4", "scene": f"room {number % 3}"} for number in range(12)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingest_tiny(tmp_path / "m.jsonl", tmp_path / "dataset")
    _split(tmp_path / "dataset", by="label.scene", share=0.3)
    index = pq.read_table(tmp_path / "dataset" / "index.parquet").to_pylist()
    held = {*json.loads((tmp_path / "dataset" / SPLIT).read_text())["held_out"]}
    rooms = {dict(row["labels"])["scene"]: set[bool]() for row in index}
    for row in index:
        rooms[dict(row["labels"])["scene"]].add(
            row["source"] in held or f"v/{row['source']}" in held
        )
    assert sorted(map(sorted, rooms.values())) == [[False], [False], [True]]
    with pytest.raises(ConfigError, match=r"no window .* has the label 'scen'; did you mean"):
        _split(tmp_path / "dataset", by="label.scen", share=0.3, again=True)


def test_whole_corpora_are_held_out(tmp_path: Path) -> None:
    write_tiny(tmp_path / "v", range(10))
    write_tiny(tmp_path / "more", range(50, 54))
    ingest_tiny(tmp_path / "v", tmp_path / "dataset")
    with pytest.raises(ConfigError, match="is of one corpus"):
        _split(tmp_path / "dataset", by="corpus", share=0.5)
    append_tiny(tmp_path / "more", tmp_path / "dataset")
    _split(tmp_path / "dataset", by="corpus", share=0.5)
    held = json.loads((tmp_path / "dataset" / SPLIT).read_text())["held_out"]
    assert {Path(name).parent.name for name in held} in ({"v"}, {"more"})


def test_a_side_is_a_dataset_of_its_own_and_both_merged_are_the_first(
    dataset: Path, tmp_path: Path
) -> None:
    from sofdata.edits.derive import derive, run_config
    from sofdata.edits.parents import open_parent
    from sofdata.edits.select import Selection, selected
    from tests.edits.tiny import but_record

    found = _split(dataset, share=0.25)
    for side in ("train", "held_out"):
        parent, new = open_parent(Tree(str(dataset))), Tree(str(tmp_path / side))
        made = derive(selected(parent, new, Selection(side=side)), run_config("inline"))
        assert made.dataset.counts.windows == found.windows[side]
    merge_tiny(tmp_path / "both", tmp_path / "train", tmp_path / "held_out")
    before = but_record(dataset)
    del before[SPLIT]
    assert but_record(tmp_path / "both") == before


def test_a_selection_keeps_the_split_of_its_parent(dataset: Path, tmp_path: Path) -> None:
    _split(dataset, share=0.5)
    select_tiny(dataset, tmp_path / "part", "window < 2")
    whole, part = (
        Loader(each, split="held_out", batch_size=2).sides for each in (dataset, tmp_path / "part")
    )
    assert whole is not None
    assert part is not None
    assert whole.sha256 == part.sha256


def test_a_merge_of_which_one_has_no_split_says_so(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _split(dataset, share=0.5)
    write_tiny(tmp_path / "v", range(50, 54))
    ingest_tiny(tmp_path / "v", tmp_path / "other", "units.min_units=8")
    with caplog.at_level(logging.WARNING, "sofdata"):
        merge_tiny(tmp_path / "both", dataset, tmp_path / "other")
    assert (
        f"no split is stored with {tmp_path / 'both'}: {tmp_path / 'other'} has none" in caplog.text
    )
    with pytest.raises(ConfigError, match="has no stored split"):
        Loader(tmp_path / "both", split="train", batch_size=2)


def test_a_split_changed_by_hand_is_refused(dataset: Path) -> None:
    _split(dataset, share=0.25)
    value = json.loads((dataset / SPLIT).read_text())
    value["train"].append(value["held_out"].pop())
    (dataset / SPLIT).write_text(json.dumps(value))
    with pytest.raises(ConfigError, match="changed by hand"):
        Loader(dataset, split="train", batch_size=2)


@pytest.mark.parametrize("by", ["files", "label.", "recording", ""])
def test_a_split_by_what_there_is_not_is_refused(by: str) -> None:
    with pytest.raises(ConfigError, match=r"a split is by file, corpus or label\.NAME"):
        SplitBy(by, HeldOut())


def _split(dest: Path, *, by: str = "file", share: float, again: bool = False) -> StoredSplit:
    return split(Tree(str(dest)), SplitBy(by, HeldOut(share)), again=again)


def test_verify_finds_a_split_that_was_changed_or_says_two_things(dataset: Path) -> None:
    _split(dataset, share=0.25)
    path = dataset / SPLIT
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "train": stored["train"][1:]}))
    (finding,) = verify(Tree(str(dataset)), fast=True).findings
    assert finding.where == SPLIT
    assert "changed by hand" in finding.what
    both = Sides("by hand", tuple(stored["train"]), tuple(stored["train"][:1]))
    path.write_bytes(both.to_json())
    (finding,) = verify(Tree(str(dataset)), fast=True).findings
    assert "1 files are on both sides" in finding.what
