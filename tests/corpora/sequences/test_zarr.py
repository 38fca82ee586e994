"""Zarr stores become videos with their texts, times and actions, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.corpora.sequences import zarr as corpus_of_zarr
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from sofdata.system import extras
from sofdata.video.sequences.place import SequencePlace
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest
from tests.sequences import samples, wrong_frames
from tests.videos import write_video
from tests.zarrs import actions, pictures, put, replay_buffer, store, umi_zip

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
FPS = "sequences.fps=10"
CONFIG = SequenceConfig(fps=10.0)


def listed(
    root: Path | str,
    config: SequenceConfig = CONFIG,
    corpus: str = "auto",
    with_actions: bool = False,
    with_state: bool = False,
) -> Listing:
    tree = Tree(str(root))
    found, _ = find_corpus(tree, corpus, sequences=config)
    assert found.name == "zarr"
    return list_source(found, tree, with_actions, with_state)


def problems(listing: Listing) -> dict[str, str]:
    return {entry.id: entry.problem for entry in listing.entries}


@pytest.fixture(autouse=True)
def _one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each store of a few pictures takes longer than one for all."""
    monkeypatch.setattr("sofdata.corpora.sequences.looking.READERS", 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A store of version 2, one of 3 with two cameras in shards, and a zip of UMI."""
    root = tmp_path / "source"
    replay_buffer(root / "a.zarr", (9, 7))
    shape: dict[str, Any] = {"chunks": (2, 128, 192, 3), "shards": (6, 128, 192, 3)}
    replay_buffer(root / "deep/b.zarr", (7, 6), 3, cameras=("cam0", "cam1"), **shape)
    umi_zip(root / "umi.zarr.zip", (6, 7))
    return root


FIRST = {
    "a.zarr/data/img/episode-000000": 0,
    "a.zarr/data/img/episode-000001": 9,
    "deep/b.zarr/data/cam0/episode-000000": 0,
    "deep/b.zarr/data/cam0/episode-000001": 7,
    "deep/b.zarr/data/cam1/episode-000000": 0,
    "deep/b.zarr/data/cam1/episode-000001": 7,
    "umi.zarr.zip/data/camera0_rgb/episode-000000": 0,
    "umi.zarr.zip/data/camera0_rgb/episode-000001": 6,
}


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/zarrs/", recursive=True)
    yield "memory://zarrs"
    files.rm("/zarrs", recursive=True)


# Whole ingests


def test_every_camera_of_every_episode_is_a_video_wherever_it_lies(
    source: Path, remote: str, tmp_path: Path
) -> None:
    summary = ingest(source, tmp_path / "here", FPS, *SETTINGS, "run.isolate=false")
    assert {sample.record.source for sample in samples(tmp_path / "here")} == set(FIRST)
    assert wrong_frames(tmp_path / "here", 10, FIRST) == []
    assert summary.dataset.counts.done == len(FIRST)
    assert verify(Tree(str(tmp_path / "here"))).whole
    ingest(source, tmp_path / "apart", FPS, *SETTINGS, "run.isolate=true")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    ranges = ("run.temporary_mib=0.01", "run.isolate=true")  # of the zip; a folder is copied
    ingest(remote, tmp_path / "away", FPS, *SETTINGS, *ranges)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_timestamps_and_texts_go_the_whole_way(tmp_path: Path) -> None:
    times_s = 1.7e9 + np.concatenate([np.arange(20) / 10, 500 + np.arange(18) / 20])
    path = replay_buffer(tmp_path / "s" / "a.zarr", (20, 18), times_s=times_s)
    put(zarr.open_group(path), "meta/instruction", np.array(["open", "shut"]))
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    texts = {(each.record.source[-1], each.record.text) for each in samples(tmp_path / "d")}
    assert texts == {("0", "open"), ("1", "shut")}
    first = {f"a.zarr/data/img/episode-00000{number}": 20 * number for number in (0, 1)}
    for number, fps in ((0, 10), (1, 20)):  # each by its own pace
        wrong = wrong_frames(tmp_path / "d", fps, first)
        assert not [each for each in wrong if each.startswith(f"episode_00000{number}")]


def test_broken_stores_are_rejects_with_their_reasons(tmp_path: Path) -> None:
    root = tmp_path / "s"
    replay_buffer(root / "good.zarr", (20,))
    replay_buffer(root / "back.zarr", (12, -4))
    cut = umi_zip(root / "cut.zarr.zip", (8,))
    cut.write_bytes(cut.read_bytes()[:-500])
    (root / "empty.zarr").mkdir()
    (root / "empty.zarr/notes.txt").write_text("nothing")
    replay_buffer(root / "holes.zarr", (20,), chunks=(1, 128, 192, 3))
    for row in range(20):
        (root / f"holes.zarr/data/img/{row}.0.0.0").unlink()
    replay_buffer(root / "rubbish.zarr", (20,))
    for chunk in (root / "rubbish.zarr/data/img").glob("*.0.0.0"):
        chunk.write_bytes(b"rubbish")
    summary = ingest(root, tmp_path / "d", FPS, *SETTINGS)
    reasons = summary.dataset.counts.reasons
    assert summary.dataset.counts.done == 1
    assert reasons == {"bad_episodes": 1, "damaged": 2, "no_frames": 1, "decode_error": 1}


def test_an_array_named_bgr_is_turned_to_rgb(tmp_path: Path) -> None:
    with store(tmp_path / "s.zarr") as root:
        put(root, "front_bgr", np.ascontiguousarray(pictures(range(9))[..., ::-1]))
    ingest(tmp_path / "s.zarr", tmp_path / "d", FPS, *SETTINGS)
    assert {read(each.first).held for each in samples(tmp_path / "d")} == {"upright"}


# Listing


def test_labels_keep_the_cameras_of_an_episode_together(source: Path) -> None:
    entries = {entry.id: entry for entry in listed(source).entries}
    one = entries["deep/b.zarr/data/cam0/episode-000001"]
    other = entries["deep/b.zarr/data/cam1/episode-000001"]
    assert one.labels["recording"] == other.labels["recording"] == "deep/b.zarr episode_1"
    assert (one.labels["camera"], one.labels["episode"]) == ("cam0", "1")
    assert recording_of("zarr", one.labels) == "recording deep/b.zarr episode_1"
    recordings = {entry.labels["recording"] for entry in entries.values()}
    assert len(recordings) == 6
    assert one.span_s == pytest.approx((0.0, 0.6))


def test_a_store_or_a_zip_may_be_the_source_itself(source: Path) -> None:
    assert set(problems(listed(source / "a.zarr"))) == {
        "data/img/episode-000000",
        "data/img/episode-000001",
    }
    (first, _) = listed(source / "umi.zarr.zip").entries
    assert first.id == "umi.zarr.zip/data/camera0_rgb/episode-000000"
    assert parse(first.uri).file == "umi.zarr.zip"


def test_a_zip_alone_is_ingested(source: Path, tmp_path: Path) -> None:
    ingest(source / "umi.zarr.zip", tmp_path / "d", FPS, *SETTINGS)
    first = {id: number for id, number in FIRST.items() if id.startswith("umi")}
    assert wrong_frames(tmp_path / "d", 10, first) == []


def test_an_array_at_the_root_is_a_video(tmp_path: Path) -> None:
    frames = pictures(range(9))
    array = zarr.create_array(tmp_path / "a.zarr", shape=frames.shape, dtype="u1", zarr_format=2)
    array[:] = frames
    assert problems(listed(tmp_path)) == {"a.zarr": ""}
    assert problems(listed(tmp_path / "a.zarr")) == {"array": ""}


def test_stores_without_a_suffix_are_found_by_their_metadata(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "s/one", (9,))
    replay_buffer(tmp_path / "s/two", (9,))
    (tmp_path / "s/two/.zgroup").unlink()  # so that only data and meta have one
    assert set(problems(listed(tmp_path / "s"))) == {
        "one/data/img/episode-000000",
        "two/data/img/episode-000000",
    }


def test_every_file_beside_stores_is_counted(source: Path) -> None:
    (source / "notes.txt").write_text("x")
    (source / "other.zip").write_bytes(b"PK\3\4rubbish")
    (source / ".DS_Store").write_bytes(b"")
    with store(source / "poses.zarr") as root:
        put(root, "poses", np.ones((4, 7), np.float32))
    listing = listed(source)
    files = sum(1 for path in (source / "poses.zarr").rglob("*") if path.is_file())
    assert listing.ignored == {
        ".txt": 1,
        ".zip": 1,
        "hidden": 1,
        corpus_of_zarr.NO_PICTURES: files,
    }
    assert any("store without pictures that are read: poses.zarr" in note for note in listing.notes)
    assert len(listing.entries) == len(FIRST)


def test_a_zip_of_another_name_counts_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    umi_zip(tmp_path / "one.zarr.zip", (9,)).rename(tmp_path / "s/session.zip")
    assert set(problems(listed(tmp_path / "s", corpus="zarr"))) == {
        "session.zip/data/camera0_rgb/episode-000000"
    }
    assert find_corpus(Tree(str(tmp_path / "s/session.zip")))[0].name == "zarr"


def test_videos_beside_a_store_without_pictures_are_what_they_are(tmp_path: Path) -> None:
    """As Diffusion Policy records on robots: MP4 files, and a store of poses."""
    with store(tmp_path / "replay_buffer.zarr") as root:
        put(root, "data/action", actions(9))
        put(root, "meta/episode_ends", np.array([9]))
    (tmp_path / "videos/0").mkdir(parents=True)
    write_video(tmp_path / "videos/0/0.mp4", pictures(range(9)), fps=10)
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["b.zarr", "b"])
def test_a_store_with_pictures_may_come_after_others(
    tmp_path: Path, version: Any, name: str
) -> None:
    with store(tmp_path / "a.zarr", version) as root:
        put(root, "poses", np.ones((4, 7), np.float32))
    replay_buffer(tmp_path / name, (9,), version)
    corpus, why = find_corpus(Tree(str(tmp_path)))
    assert (corpus.name, why) == ("zarr", f"a Zarr store with pictures: {name}/data/img")


def test_a_store_of_version_3_is_known_by_what_lies_behind_its_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay_buffer(tmp_path / "plain", (9,), 3, chunks=(1, 128, 192, 3))
    monkeypatch.setattr("sofdata.corpora.sequences.zarr_stores.LOOKED_AT", 8)
    assert find_corpus(Tree(str(tmp_path / "plain")))[0].name == "zarr"


def test_a_rate_is_needed_where_no_store_says_one(source: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequences\.fps=10"):
        listed(source, SequenceConfig())


def test_where_some_say_their_times_the_others_are_rejects(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "a.zarr", (9,), times_s=np.arange(9) / 30)
    replay_buffer(tmp_path / "b.zarr", (9,))
    assert problems(listed(tmp_path, SequenceConfig())) == {
        "a.zarr/data/img/episode-000000": "",
        "b.zarr/data/img/episode-000000": "no_times",
    }


def test_the_array_of_times_may_be_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = replay_buffer(tmp_path / f"{name}.zarr", (9,), times_s=np.arange(9) / 30)
    put(zarr.open_group(path), "data/shown_s", np.arange(9) / 20)
    named = listed(tmp_path, SequenceConfig(fps=10.0, times="shown_s"))
    assert list(problems(named).values()) == ["no_times", ""]
    place = SequencePlace.parse(parse(named.entries[1].uri).sequence)
    assert place.get("times") == "data/shown_s"
    with pytest.raises(ConfigError, match="no timestamps called 'other'"):
        listed(tmp_path, SequenceConfig(fps=10.0, times="other"))


def test_floats_need_a_range_unless_it_is_sure(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "sure", pictures(range(9)).astype(np.float32))
        put(root, "unit", (pictures(range(9)) / 255).astype(np.float32))
    found = problems(listed(tmp_path))
    assert found == {"a.zarr/sure": "", "a.zarr/unit": "other_range"}
    said = listed(tmp_path, SequenceConfig(fps=10.0, range="0..1"))
    assert problems(said) == {"a.zarr/sure": "", "a.zarr/unit": ""}
    assert "range=0..255" in said.entries[0].uri
    assert "range=0..1" in said.entries[1].uri


def test_a_remote_store_is_listed_from_a_few_of_its_files(
    source: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.corpora.sequences.zarr_stores.SMALL_BYTES", 2000)
    fetched: list[str] = []
    download = Tree.download

    def counted(tree: Tree, where: Any, *rest: Any) -> None:
        fetched.append(where.file)
        download(tree, where, *rest)

    monkeypatch.setattr(Tree, "download", counted)
    there = listed(remote)
    assert problems(there) == problems(listed(source))
    assert [entry.uri for entry in there.entries] == [entry.uri for entry in listed(source).entries]
    chunks = [rel for rel in fetched if "/img/" in rel or "/cam0/" in rel or "/cam1/" in rel]
    assert all(rel.endswith((".zarray", ".zattrs", "zarr.json")) for rel in chunks)


def test_the_range_of_a_remote_store_is_told_as_here(tmp_path: Path) -> None:
    with store(tmp_path / "s/a.zarr", 3) as root:
        put(root, "img", pictures(range(30)).astype(np.float32), chunks=(2, 128, 192, 3))
    files = fsspec.filesystem("memory")
    files.put(f"{tmp_path}/s/", "/floats/", recursive=True)
    try:
        assert problems(listed("memory://floats")) == {"a.zarr/img": ""}
    finally:
        files.rm("/floats", recursive=True)


@pytest.mark.parametrize(("package", "extra"), [("zarr", "zarr"), ("imagecodecs", "umi")])
def test_a_missing_library_is_named_before_any_work(
    source: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    installed = extras.is_installed
    monkeypatch.setattr(
        extras, "is_installed", lambda module: module != package and installed(module)
    )
    with pytest.raises(ConfigError, match=rf"needs {package}: pip install 'sofdata\[{extra}\]'"):
        listed(source)


def test_a_look_that_gives_nonsense_is_a_reject(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        corpus_of_zarr,
        "store_looks",
        lambda tree, places, options: [{"videos": [{}]} for _ in places],
    )
    assert set(problems(listed(source)).values()) == {"damaged"}
