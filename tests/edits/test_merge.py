from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.system import fault_points
from tests.edits.tiny import but_record, ingest_tiny, merge_tiny, select_tiny, write_tiny
from tests.helpers import hashes


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, `one` and `other`. Two videos of the second are in the first under other ids;
    a third has the id of another one there."""
    folder = tmp_path_factory.mktemp("two")
    write_tiny(folder / "v1" / "a", range(12))
    (folder / "v1" / "note.pdf").write_bytes(b"a note")
    (folder / "v1" / "broken.mp4").write_bytes(b"no video")
    write_tiny(folder / "v2", range(10, 16))
    write_tiny(folder / "v2" / "a", [20], "003.mp4")
    (folder / "v2" / "note.pdf").write_bytes(b"a note")
    ingest_tiny(folder / "v1", folder / "one")
    ingest_tiny(folder / "v2", folder / "other")
    return folder


@pytest.mark.parametrize(
    ("where", "opposite"),
    [("motion > 0.7", "motion <= 0.7"), ("window == 0", "window > 0"), ("window < 2", "")],
)
def test_a_selection_and_its_opposite_merged_are_the_dataset_to_the_byte(
    tiny: Path, tmp_path: Path, where: str, opposite: str
) -> None:
    select_tiny(tiny, tmp_path / "part", where)
    select_tiny(tiny, tmp_path / "rest", opposite or f"not ({where})")
    merge_tiny(tmp_path / "whole", tmp_path / "part", tmp_path / "rest")
    assert but_record(tmp_path / "whole") == but_record(tiny)
    assert verify(Tree(str(tmp_path / "whole"))).whole


def test_halves_of_a_corpus_merged_are_one_ingest_of_all_to_the_byte(tmp_path: Path) -> None:
    write_tiny(tmp_path / "videos", range(20))
    names = [f"videos/{number:03}.mp4" for number in range(20)]
    for name, some in (("all", names), ("half", names[::2]), ("rest", names[1::2])):
        lines = [json.dumps({"id": each, "path": each}) for each in some]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        ingest_tiny(tmp_path / f"{name}.jsonl", tmp_path / name)
    merge_tiny(tmp_path / "merged", tmp_path / "half", tmp_path / "rest")
    assert but_record(tmp_path / "merged") == but_record(tmp_path / "all")


def test_accounts_are_added_and_duplicates_are_told(two: Path, tmp_path: Path) -> None:
    dataset = merge_tiny(tmp_path / "both", two / "one", two / "other").dataset
    counts = dataset.counts
    assert counts.videos == 13 + 7
    assert counts.reasons["duplicate"] == 2
    assert counts.ignored_files == {".pdf": 2}
    assert counts.videos == counts.done + counts.rejected + counts.quarantined
    rows = pq.read_table(tmp_path / "both" / "rejects.parquet").to_pylist()
    told = {row["video"]: row["detail"] for row in rows if row["reason"] == "duplicate"}
    assert told["010.mp4"] == "010.mp4 has the content of a/010.mp4, which is kept"
    assert "videos of other that are there already: 2" in " ".join(dataset.notes)
    assert verify(Tree(str(tmp_path / "both"))).whole


def test_an_id_of_two_videos_gets_the_name_of_its_dataset_in_front(
    two: Path, tmp_path: Path
) -> None:
    import webdataset as wds

    merge_tiny(tmp_path / "both", two / "one", two / "other")
    plan = {row["id"]: row for row in pq.read_table(tmp_path / "both/plan.parquet").to_pylist()}
    assert plan["other/a/003.mp4"]["uri"] == str(two / "v2" / "a" / "003.mp4")
    assert plan["other/a/003.mp4"]["corpus"] == "folder:other"

    def samples(dest: Path, source: str) -> list[dict[str, object]]:
        urls = sorted(map(str, dest.glob("shards/*.tar")))
        found = wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode("l")
        return [each for each in found if each["json"]["source"] == source]

    before, after = (
        samples(two / "other", "a/003.mp4"),
        samples(tmp_path / "both", "other/a/003.mp4"),
    )
    assert len(after) == len(before) > 0
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old["flow.jpg"], new["flow.jpg"])  # type: ignore[arg-type]
        assert new["json"]["key"] == new["__key__"] != old["__key__"]  # type: ignore[index]


def test_a_merge_is_what_an_ingest_with_these_ids_gives(two: Path, tmp_path: Path) -> None:
    merge_tiny(tmp_path / "both", two / "one", two / "other")
    plan = pq.read_table(tmp_path / "both" / "plan.parquet").to_pylist()
    kept = [row for row in plan if row["problem"] == ""]
    lines = [
        json.dumps({"id": row["id"], "path": row["uri"], **json.loads(row["labels"])})
        for row in kept
    ]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    ingest_tiny(tmp_path / "all.jsonl", tmp_path / "direct")
    assert hashes(tmp_path / "both" / "shards") == hashes(tmp_path / "direct" / "shards")
    index = [pq.read_table(tmp_path / name / "index.parquet") for name in ("both", "direct")]
    assert index[0].equals(index[1])


def test_an_interrupted_merge_goes_on_to_the_same_bytes(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_tiny(tmp_path / "whole", two / "one", two / "other")
    seen = 0

    def stop(name: str) -> None:
        nonlocal seen
        seen += name == "commit: record written"
        if seen == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(fault_points, "_inject", stop)
    with pytest.raises(KeyboardInterrupt):
        merge_tiny(tmp_path / "cut", two / "one", two / "other")
    monkeypatch.undo()
    assert merge_tiny(tmp_path / "cut", two / "one", two / "other").units_resumed == 3
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


def test_settings_that_differ_are_refused_with_both_values(tiny: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "videos", range(2))
    ingest_tiny(tmp_path / "videos", tmp_path / "other", "windows.size=32", "codec.name=float16")
    with pytest.raises(ConfigError) as refused:
        merge_tiny(tmp_path / "both", tiny, tmp_path / "other")
    assert "codec.name is 'q8', there 'float16'" in str(refused.value)
    assert "windows.size is 16, there 32" in str(refused.value)
    assert not (tmp_path / "both").exists()


def test_settings_for_units_are_those_of_the_first(two: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "videos", range(30, 34))
    ingest_tiny(tmp_path / "videos", tmp_path / "few", "units.min_units=1")
    dataset = merge_tiny(tmp_path / "both", two / "one", tmp_path / "few").dataset
    assert dataset.config["units"]["min_units"] == 16
    assert verify(Tree(str(tmp_path / "both"))).whole


def test_the_same_dataset_twice_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        merge_tiny(tmp_path / "both", tiny, tiny)


def test_a_merge_into_one_of_them_is_refused(two: Path) -> None:
    before = hashes(two)
    for new in (two / "one", two / "other", two / "other" / "both"):
        with pytest.raises(ConfigError, match="choose a"):
            merge_tiny(new, two / "one", two / "other")
    assert hashes(two) == before


def test_a_video_is_replayed_from_where_it_lies(two: Path, tmp_path: Path) -> None:
    from rich.console import Console

    from sofdata.ingest.replay import replay

    merge_tiny(tmp_path / "both", two / "one", two / "other")
    record = replay(Tree(str(tmp_path / "both")), "other/a/003.mp4", None, Console(quiet=True))
    assert record is not None
    assert record.status == "done"
