from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.edits.copying import NOT_SELECTED
from sofdata.errors import ConfigError, StorageError
from sofdata.ingest.verify import verify
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.system import fault_points
from tests.edits.tiny import but_record, ingest_tiny, select_tiny, write_tiny
from tests.helpers import hashes


def test_a_selection_of_everything_is_the_dataset_to_the_byte(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "all")
    assert but_record(tmp_path / "all") == but_record(tiny)


def test_windows_and_videos_that_are_left_out_are_told(tiny: Path, tmp_path: Path) -> None:
    counts = select_tiny(tiny, tmp_path / "fast", "motion > 1.2").dataset.counts
    parent = _record(tiny).counts
    kept = [m for m in pq.read_table(tiny / "index.parquet")["mean_px"].to_pylist() if m > 1.2]
    assert counts.windows == len(kept) > 0
    assert counts.windows + counts.windows_rejected == parent.windows + parent.windows_rejected
    assert counts.window_reasons[NOT_SELECTED] == parent.windows - len(kept)
    assert counts.videos == parent.videos
    assert counts.done + counts.reasons[NOT_SELECTED] == parent.done
    assert verify(Tree(str(tmp_path / "fast"))).whole
    lost = pq.read_table(tmp_path / "fast" / "rejects.parquet").to_pylist()
    details = {row["detail"] for row in lost if row["reason"] == NOT_SELECTED and row["detail"]}
    assert details == {"none of its windows was selected by the filter 'motion > 1.2'"}


def test_a_video_of_which_some_windows_stay_is_done(tiny: Path, tmp_path: Path) -> None:
    counts = select_tiny(tiny, tmp_path / "first", "window == 0").dataset.counts
    parent = _record(tiny).counts
    assert counts.done == counts.windows == parent.done
    assert verify(Tree(str(tmp_path / "first"))).whole


def test_samples_that_stay_are_copied_to_the_byte(tiny: Path, tmp_path: Path) -> None:
    import webdataset as wds

    select_tiny(tiny, tmp_path / "first", "window == 0")

    def samples(dest: Path) -> dict[str, dict[str, bytes]]:
        urls = sorted(map(str, dest.glob("shards/*.tar")))
        found = wds.WebDataset(urls, shardshuffle=False, empty_check=False)
        return {
            each["__key__"]: {k: v for k, v in each.items() if not k.startswith("__")}
            for each in found
        }

    before, after = samples(tiny), samples(tmp_path / "first")
    assert after.keys() == {key for key in before if key.endswith("-000000")}
    assert all(before[key] == each for key, each in after.items())


def test_the_parent_is_not_changed_and_the_lineage_names_it(tiny: Path, tmp_path: Path) -> None:
    before = hashes(tiny)
    dataset = select_tiny(tiny, tmp_path / "fast", "motion > 1.2").dataset
    assert hashes(tiny) == before
    assert dataset.lineage is not None
    (step,) = dataset.lineage
    parent = _record(tiny)
    assert step.operation == "select"
    assert step.command == f"sofdata select {tiny} NEW --where 'motion > 1.2'"
    assert (step.parents[0].name, step.parents[0].windows) == (str(tiny), parent.counts.windows)


def test_a_selection_of_a_selection_has_both_steps(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "one", "motion > 0.7")
    dataset = select_tiny(tmp_path / "one", tmp_path / "two", "window < 2").dataset
    select_tiny(tiny, tmp_path / "both", "motion > 0.7 and window < 2")
    assert [step.settings["where"] for step in dataset.lineage or ()] == [
        "motion > 0.7",
        "window < 2",
    ]
    shards = [hashes(tmp_path / name / "shards") for name in ("two", "both")]
    assert shards[0] == shards[1]
    assert verify(Tree(str(tmp_path / "two"))).whole


def test_the_same_command_again_does_nothing(tiny: Path, tmp_path: Path) -> None:
    assert select_tiny(tiny, tmp_path / "fast", "motion > 1.2").units_run > 0
    before = hashes(tmp_path / "fast")
    assert select_tiny(tiny, tmp_path / "fast", "motion > 1.2").units_run == 0
    assert hashes(tmp_path / "fast") == before


@pytest.mark.parametrize("point", ["edit: video copied", "edit: shard copied", "finish: retired"])
def test_an_interrupted_selection_goes_on_to_the_same_bytes(
    tiny: Path, tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "" if point == "edit: shard copied" else "motion > 0.7"
    select_tiny(tiny, tmp_path / "whole", where)
    _stop_at(monkeypatch, point, 2 if point.startswith("edit") else 1)
    with pytest.raises(KeyboardInterrupt):
        select_tiny(tiny, tmp_path / "cut", where)
    monkeypatch.undo()
    select_tiny(tiny, tmp_path / "cut", where)
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")
    assert verify(Tree(str(tmp_path / "cut"))).whole


def test_worker_processes_make_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "one", "motion > 0.7")
    select_tiny(tiny, tmp_path / "many", "motion > 0.7", engine="processes", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "many")


def test_a_damaged_shard_is_queued_by_repair_and_copied_again(tiny: Path, tmp_path: Path) -> None:
    from sofdata.ingest.repair import repair

    dest = Tree(str(tmp_path / "fast"))
    select_tiny(tiny, tmp_path / "fast", "motion > 0.7")
    before = hashes(tmp_path / "fast")
    shard = next((tmp_path / "fast" / "shards").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    done = repair(dest, verify(dest))
    command = f"sofdata select {tiny} NEW --where 'motion > 0.7'"
    assert done[-1] == f"rerun the same `{command}` to complete the dataset"
    select_tiny(tiny, tmp_path / "fast", "motion > 0.7")
    assert hashes(tmp_path / "fast") == before
    assert verify(dest).whole


def test_a_place_that_holds_another_dataset_is_refused(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "fast", "motion > 1.2")
    before = hashes(tmp_path / "fast")
    with pytest.raises(ConfigError, match=r"holds another dataset, made by 'sofdata select .*1.2"):
        select_tiny(tiny, tmp_path / "fast", "motion > 0.9")
    assert hashes(tmp_path / "fast") == before


def test_a_place_within_around_or_of_the_dataset_is_refused(tiny: Path, tmp_path: Path) -> None:
    dest = tmp_path / "outer" / "dataset"
    shutil.copytree(tiny, dest)
    before = hashes(tmp_path)
    for new in (dest, dest / "part", dest / ".." / "dataset", tmp_path / "outer"):
        with pytest.raises(ConfigError, match="choose a"):
            select_tiny(dest, new, "motion > 1.2")
    link = tmp_path / "link"
    link.symlink_to(dest)
    with pytest.raises(ConfigError, match="which it is made of"):
        select_tiny(dest, link, "motion > 1.2")
    link.unlink()
    assert hashes(tmp_path) == before


def test_a_folder_with_other_files_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(ConfigError, match="holds other files"):
        select_tiny(tiny, tmp_path / "mine", "motion > 1.2")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"


def test_an_ingested_dataset_is_not_taken_for_an_earlier_part(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "other")
    with pytest.raises(ConfigError, match="made by an ingest"):
        select_tiny(tiny, tmp_path / "other")


def test_an_ingest_into_a_selection_is_refused(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "fast", "motion > 1.2")
    with pytest.raises(ConfigError, match="was made of other datasets"):
        ingest_tiny(tiny.parent / "videos", tmp_path / "fast", "units.min_units=8")


def test_a_parent_that_changes_meanwhile_stops_the_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "videos", range(4))
    ingest_tiny(tmp_path / "videos", tmp_path / "dataset")
    _stop_at(monkeypatch, "edit: shard copied", 1)
    with pytest.raises(KeyboardInterrupt):
        select_tiny(tmp_path / "dataset", tmp_path / "part")
    monkeypatch.undo()
    record = json.loads((tmp_path / "dataset" / "dataset.json").read_text())
    record["counts"]["frames"] += 1
    (tmp_path / "dataset" / "dataset.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="before they were changed"):
        select_tiny(tmp_path / "dataset", tmp_path / "part")


def test_a_damaged_parent_is_named_and_nothing_of_it_is_copied(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "dataset")
    shard = next((tmp_path / "dataset" / "shards").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match=r"shard.* damaged; 'sofdata verify'"):
        select_tiny(tmp_path / "dataset", tmp_path / "part")
    shutil.copyfile(tiny / "shards" / shard.name, shard)
    select_tiny(tmp_path / "dataset", tmp_path / "part")
    assert verify(Tree(str(tmp_path / "part"))).whole


def test_a_selection_in_an_object_store_is_the_same(tiny: Path, tmp_path: Path) -> None:
    select_tiny(tiny, tmp_path / "local", "motion > 0.7")
    select_tiny(tiny, "memory://edits/far", "motion > 0.7")
    far = Tree("memory://edits/far")
    for name in ("index.parquet", "rejects.parquet", "videos.parquet", "shards/index.json"):
        assert far.read(name) == (tmp_path / "local" / name).read_bytes()
    select_tiny("memory://edits/far", tmp_path / "back")
    assert but_record(tmp_path / "back") == but_record(tmp_path / "local")


def test_a_filter_that_selects_nothing_is_refused_before_anything_is_written(
    tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="selects none of the"):
        select_tiny(tiny, tmp_path / "none", "motion > 1000")
    assert not (tmp_path / "none").exists()


def _record(dest: Path) -> DatasetRecord:
    found = read_dataset(Tree(str(dest)))
    assert found is not None
    return found


def _stop_at(monkeypatch: pytest.MonkeyPatch, point: str, time: int) -> None:
    """Interrupt this process when it comes to a point for so many times."""
    seen = 0

    def stop(name: str) -> None:
        nonlocal seen
        seen += name == point
        if name == point and seen == time:
            raise KeyboardInterrupt

    monkeypatch.setattr(fault_points, "_inject", stop)
