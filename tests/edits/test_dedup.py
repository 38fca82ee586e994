"""Copies in a small dataset: a film, the same again in several ways, and another in its scene."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import sofdata
from sofdata.dedup.find import Copy, groups_of
from sofdata.edits.dedup import copies_in, store_copies, without_copies
from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.loading.catalog import open_catalog
from sofdata.loading.split import HeldOut, divide
from sofdata.shards.copies import read_copies
from sofdata.shards.layout import REJECTS, VIDEOS
from sofdata.shards.parquet import read_table
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest
from tests.videos import write_video
from tests.windows.test_shots import scene

SETTINGS = (
    *("flow.size=64", "flow.estimator=farneback", "windows.size=32", "windows.length=4"),
    *("windows.min_texture=0", "units.min_units=4"),
)
COPIES = {"b.mp4": "a.mp4", "c.mp4": "a.mp4", "e.mp4": "d.mp4"}
Film = list[NDArray[np.uint8]]


def film(seed: int, frames: int = 40) -> Film:
    """A camera of 128 px that moves about one and the same scene, each time on another way."""
    picture, rng = scene(1), np.random.default_rng(seed)
    drawn = rng.normal(size=(frames + 6, 2))
    speed = 3 * sum(drawn[at : at + frames] for at in range(7))
    way = np.cumsum(speed / 7, axis=0)
    way = (way - way.min(axis=0)).clip(0, 127).astype(int)
    return [picture[y : y + 128, x : x + 128] for y, x in way]


def mirrored(frames: Film) -> Film:
    return [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("imagehash")
    folder = tmp_path_factory.mktemp("copies")
    source = folder / "source"
    source.mkdir()
    write_video(source / "a.mp4", film(2), fps=8, codec="h264")
    small = [np.ascontiguousarray(frame[::2, ::2]) for frame in film(2)]
    write_video(source / "b.mp4", small[4:], fps=8, codec="h264", options={"crf": "30"})
    shutil.copyfile(source / "a.mp4", source / "c.mp4")
    write_video(source / "d.mp4", film(3), fps=8, codec="h264")
    write_video(source / "e.mp4", mirrored(film(3)), fps=8, codec="h264")
    write_video(source / "f.mp4", film(4), fps=8, codec="h264")
    ingest(source, folder / "dataset", *SETTINGS)
    return folder / "dataset"


@pytest.fixture
def own(dataset: Path, tmp_path: Path) -> Path:
    """A dataset that a test may write to."""
    shutil.copytree(dataset, tmp_path / "own")
    return tmp_path / "own"


def pairs(copies: list[Copy]) -> dict[str, str]:
    return {copy.video[1]: copy.kept[1] for copy in copies}


def reduced(dataset: Path, new: Path, **run: object) -> None:
    parent = open_parent(Tree(str(dataset)))
    derivation = without_copies(parent, Tree(str(new)), copies_in(parent.tree), near=True)
    derive(derivation, run_config(**{"engine": "inline", **run}))  # type: ignore[arg-type]


def test_copies_are_found_and_other_motion_in_the_same_scene_is_not(dataset: Path) -> None:
    copies = copies_in(Tree(str(dataset)))
    assert pairs(copies) == COPIES
    by_video = {copy.video[1]: copy for copy in copies}
    assert by_video["c.mp4"].match is None
    scaled, turned = by_video["b.mp4"].match, by_video["e.mp4"].match
    assert scaled is not None
    assert scaled.shift_s == pytest.approx(-0.5, abs=0.13)
    assert turned is not None
    assert turned.mirrored
    assert "mirrored" in by_video["e.mp4"].detail("d.mp4")
    assert [[name for _, name in group] for group in groups_of(copies)] == [
        ["a.mp4", "b.mp4", "c.mp4"],
        ["d.mp4", "e.mp4"],
    ]


def test_equal_files_alone_are_found_without_reading_a_shard(own: Path) -> None:
    shutil.rmtree(own / "shards")
    (own / "shards").mkdir()
    assert pairs(copies_in(Tree(str(own)), near=False)) == {"c.mp4": "a.mp4"}


def test_a_dataset_without_copies_names_what_is_kept_and_is_whole(
    dataset: Path, tmp_path: Path
) -> None:
    reduced(dataset, tmp_path / "new")
    verdict = verify(Tree(str(tmp_path / "new")))
    assert verdict.whole, verdict.findings
    videos = read_table(Tree(str(tmp_path / "new")), VIDEOS).to_pylist()
    left = {row["id"]: row["detail"] for row in videos if row["reason"] == "copy"}
    assert left.keys() == COPIES.keys()
    assert all(f"'{COPIES[video]}'" in detail for video, detail in left.items())
    rejects = read_table(Tree(str(tmp_path / "new")), REJECTS).to_pylist()
    windows = [row for row in rejects if row["kind"] == "window" and row["reason"] == "copy"]
    before = read_table(Tree(str(dataset)), VIDEOS).to_pylist()
    assert len(windows) == sum(row["windows"] for row in before if row["id"] in COPIES)
    assert copies_in(Tree(str(tmp_path / "new"))) == []


def test_the_reduced_dataset_is_the_same_for_other_engines_and_workers(
    dataset: Path, tmp_path: Path
) -> None:
    reduced(dataset, tmp_path / "one")
    reduced(dataset, tmp_path / "two", engine="processes", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_without_copies_there_is_nothing_to_leave_out(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no copies"):
        without_copies(open_parent(Tree(str(dataset))), Tree(str(tmp_path / "new")), [], near=True)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_copies_never_straddle_a_split(own: Path, share: float) -> None:
    store_copies(Tree(str(own)), near=True, lock="auto")
    catalog = open_catalog([Tree(str(own))])
    files = catalog.files()
    assert list(files.names) == ["a.mp4", "d.mp4", "f.mp4"]
    sides = divide(catalog, files, HeldOut(share))
    assert {*sides.train} | {*sides.held_out} == {*files.names}
    for video, kept in COPIES.items():
        ids = files.ids.to_pylist()
        of = {name: {*files.file[files.video == ids.index(name)]} for name in (video, kept)}
        assert of[video] == of[kept]


def test_what_was_found_before_the_dataset_has_changed_is_not_used(own: Path) -> None:
    store_copies(Tree(str(own)), near=True, lock="auto")
    assert dict(read_copies(Tree(str(own))) or []) == COPIES
    listed = own / "shards" / "index.json"
    listed.write_bytes(listed.read_bytes() + b"\n")
    with pytest.raises(ConfigError, match="sofdata dedup"):
        open_catalog([Tree(str(own))]).files()


def test_a_stored_table_leaves_the_dataset_whole(own: Path) -> None:
    store_copies(Tree(str(own)), near=True, lock="auto")
    verdict = verify(Tree(str(own)))
    assert verdict.whole, verdict.findings


def test_what_is_found_does_not_depend_on_the_order_of_videos(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sofdata.dedup import find
    from sofdata.dedup.looks import looks_of

    copies, in_order = copies_in(Tree(str(dataset))), looks_of
    turned: Callable[..., object] = lambda catalog: iter([*in_order(catalog)][::-1])  # noqa: E731
    monkeypatch.setattr(find, "looks_of", turned)
    assert copies_in(Tree(str(dataset))) == copies


def test_as_a_function_it_stores_what_it_finds_or_makes_a_dataset_without(
    own: Path, tmp_path: Path
) -> None:
    found = sofdata.dedup(own, exact=True)
    assert [(copy.video, copy.kept) for copy in found.copies] == [("c.mp4", "a.mp4")]
    assert "size and the fingerprint" in found.copies[0].detail
    assert found.summary is None
    made = sofdata.dedup(own, tmp_path / "new", exact=True, engine="inline")
    assert made.copies == found.copies
    assert made.summary is not None
    assert verify(Tree(str(tmp_path / "new"))).whole
    again = sofdata.dedup(tmp_path / "new", tmp_path / "none", exact=True)
    assert again.copies == ()
    assert not (tmp_path / "none").exists()
