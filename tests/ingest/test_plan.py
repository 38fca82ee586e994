"""`sofdata.ingest.plan`: what decides a unit, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.config import load_config
from sofdata.ingest.plan import IngestPlan, load_plan, make_plan, save_plan
from sofdata.shards.layout import PLAN
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location


def plan(source: Path, *settings: str) -> IngestPlan:
    tree = Tree(str(source))
    return make_plan(tree, find_corpus(tree)[0].listing(tree), load_config(None, settings))


def files(folder: Path, sizes: dict[str, int]) -> Path:
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * size)
    return folder


def test_units_are_the_same_whatever_the_order_on_disk(tmp_path: Path) -> None:
    first = plan(files(tmp_path / "1", {"b.mp4": 9, "a/z.mp4": 5, "c.mp4": 7}))
    second = plan(files(tmp_path / "2", {"c.mp4": 7, "a/z.mp4": 5, "b.mp4": 9}))
    assert [unit.id for unit in first.units] == [unit.id for unit in second.units]
    assert sorted(video.id for video in first.all_videos()) == ["a/z.mp4", "b.mp4", "c.mp4"]


def test_a_unit_is_named_by_content_and_configuration_but_not_by_the_run(tmp_path: Path) -> None:
    folder = files(tmp_path, {"a.mp4": 900})
    before = plan(folder).units[0].id
    assert plan(folder, "run.workers=7").units[0].id == before
    assert plan(folder, "flow.step_s=0.2").units[0].id != before
    (folder / "a.mp4").write_bytes(b"b" * (folder / "a.mp4").stat().st_size)
    assert plan(folder).units[0].id != before


def test_a_small_corpus_is_cut_into_enough_units_and_a_large_one_by_size(tmp_path: Path) -> None:
    folder = files(tmp_path, {f"{number:03}.mp4": 1000 for number in range(40)})
    assert len(plan(folder).units) > 12  # 16 parts were wished; by chance one may be empty
    assert len(plan(folder, "units.min_units=1").units) == 1
    by_number = plan(folder, "units.min_units=1", "units.max_videos=10").units
    assert max(len(unit.videos) for unit in by_number) <= 10
    assert len(by_number) < 10
    by_size = plan(folder, "units.min_units=1", "units.max_source_mib=0.05").units
    assert max(unit.size_bytes for unit in by_size) <= 0.05 * 2**20
    assert len(by_size) < 16


def test_every_input_is_in_one_unit_or_refused(tmp_path: Path) -> None:
    folder = files(tmp_path, {"a.mp4": 3, "b.mp4": 0, "notes.txt": 1})
    (folder / "dangling.mp4").symlink_to("nowhere")
    (folder / "folder.mp4").mkdir()
    found = plan(folder)
    assert {refused.id: refused.reason for refused in found.refused} == {
        "dangling.mp4": "dangling_link",
        "folder.mp4": "is_a_directory",
    }
    assert found.videos == 4
    assert found.extras.ignored == {".txt": 1}


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    folder = files(tmp_path / "source", {"a.mp4": 3, "b.mp4": 5})
    (folder / "dangling.mp4").symlink_to("nowhere")
    original, dest = plan(folder), Tree(str(tmp_path / "dest"))
    assert load_plan(dest) is None
    save_plan(dest, original)
    back = load_plan(dest)
    assert back is not None
    assert back.stored() == original.stored()
    (tmp_path / "dest" / PLAN).write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="damaged"):
        load_plan(dest)


def test_a_source_without_video_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no video found"):
        plan(files(tmp_path, {"notes.txt": 1}))


def test_a_file_of_many_spans_counts_once_towards_a_unit_and_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files(tmp_path, {"a.mp4": 20_000, "b.mp4": 20_000})
    rows = [f"{name}.mp4,{at},{at + 1}\n" for name in "ab" for at in range(20)]
    (folder / "manifest.csv").write_text("uri,start_s,end_s\n" + "".join(rows))
    looked: list[str] = []
    whole = Tree.fingerprint

    def look(tree: Tree, where: Location | str, size: int) -> str:
        looked.append(where if isinstance(where, str) else where.file)
        return whole(tree, where, size)

    monkeypatch.setattr(Tree, "fingerprint", look)
    found = plan(folder, "units.min_units=1", "units.max_source_mib=0.15")
    assert [len(unit.videos) for unit in found.units] == [20, 20]
    assert all(len({video.uri for video in unit.videos}) == 1 for unit in found.units)
    assert set(looked) == {"a.mp4", "b.mp4"}
    assert len(looked) < 20  # threads may look at the same time
