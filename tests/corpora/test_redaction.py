"""No window of any ingest shows what Ego4D redacts, in whatever folders its files lie."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.ego4d.redaction import MARGIN_S, RESAMPLED_S
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.ego4ds import (
    CLIP,
    FPS,
    HIDDEN_S,
    KITCHEN,
    SECRET,
    interval,
    metadata,
    moving,
    put,
)
from tests.helpers import ingest
from tests.videos import write_video

SETTINGS = (
    "windows.length=3",
    "windows.stride=2",
    "flow.size=64",
    "windows.size=32",
    "windows.shots=false",  # without these two, colour alone would keep windows apart
    "windows.static_px=0",
)
CLIP_S = (4.0, 10.0)  # of ABSENT, of which is hidden:
CLIP_HIDDEN_S = (7.0, 7.5)
SPARE = "free.mp4"


def redacted_metadata() -> dict[str, Any]:
    """ego4d.json in which the video here and the video of the clip here are redacted."""
    changed = metadata()
    changed["videos"][2].update(duration_sec=12.0, redacted_intervals=[interval(*CLIP_HIDDEN_S)])
    changed["clips"][0].update(video_start_sec=CLIP_S[0], video_end_sec=CLIP_S[1])
    return changed


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A redacted video, a clip of one, and a video that has nothing to do with Ego4D."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / f"{KITCHEN}.mp4", moving(hidden=True), FPS)
    clip = moving(CLIP_S[1] - CLIP_S[0])
    first, last = (round((each - CLIP_S[0]) * FPS) for each in CLIP_HIDDEN_S)
    clip[first : last + 1] = SECRET
    write_video(folder / f"{CLIP}.mp4", clip, FPS)
    write_video(folder / SPARE, moving(3.0), FPS)
    return folder


@pytest.fixture
def ego4d(tmp_path: Path) -> Path:
    """Where the metadata lie, without any video."""
    root = tmp_path / "data" / "ego4d" / "v2"
    root.mkdir(parents=True)
    put(root / "ego4d.json", redacted_metadata())
    return root


Layout = tuple[Path, str]  # the source, and what --corpus says
NAMES = (f"{KITCHEN}.mp4", f"{CLIP}.mp4")


def _in(folder: Path, videos: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        shutil.copy(videos / name, folder / name)
    return folder


def _standard(root: Path, videos: Path) -> Layout:
    _in(root / "full_scale", videos, NAMES[0])
    _in(root / "clips", videos, NAMES[1])
    return root, "auto"


def _folder_itself(root: Path, videos: Path) -> Layout:
    return _in(root / "clips_540ss", videos), "auto"


def _resized(root: Path, videos: Path) -> Layout:
    return _in(root / "full_scale_256" / "part_3", videos), "auto"


def _flat(root: Path, videos: Path) -> Layout:
    return _in(root, videos), "auto"


def _other_suffix(root: Path, videos: Path) -> Layout:
    folder = _in(root / "down_scaled", videos)
    for name in NAMES:
        os.rename(folder / name, folder / name.upper().replace(".MP4", ".MKV"))
    return root, "auto"


def _scenarios(root: Path, videos: Path, corpus: str) -> Layout:
    _in(root / "train" / "cooking", videos, NAMES[0])
    _in(root / "train" / "repair", videos, NAMES[1])
    return root, corpus


def _below_scenarios(root: Path, videos: Path, corpus: str) -> Layout:
    return _scenarios(root, videos, corpus)[0] / "train", corpus


def _single(root: Path, videos: Path, corpus: str) -> Layout:
    return _in(root / "full_scale", videos) / NAMES[0], corpus


def _parent(root: Path, videos: Path, corpus: str) -> Layout:
    _in(root / "video_540ss", videos)
    return _in(root.parents[1] / "others", videos, SPARE).parent, corpus


def _manifest(root: Path, videos: Path, rows: Callable[[Path, str], list[str]]) -> Layout:
    _in(root / "full_scale", videos)
    table = root.parents[2] / "clips.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "id", "start_s", "end_s"])
        writer.writerows(rows(root / "full_scale", name) for name in NAMES)
    return table, "auto"


def _relative(folder: Path, name: str) -> list[str]:
    return [f"data/ego4d/../ego4d/v2/{folder.name}/{name}", name[:3] + name[-6:], "", ""]


def _absolute(folder: Path, name: str) -> list[str]:
    return [str(folder / name), f"mine-{name}", "", ""]


def _urls(folder: Path, name: str) -> list[str]:
    return [f"file://{folder / name}", f"mine-{name}", "", ""]


def _spans(folder: Path, name: str) -> list[str]:
    return [str(folder / name), f"mine-{name}", "0.5", "5.5"]


def _linked_folder(root: Path, videos: Path) -> Layout:
    _in(root / "full_scale", videos)
    (root.parents[2] / "link").symlink_to(root / "full_scale")
    return root.parents[2] / "link", "folder"


def _linked_files(root: Path, videos: Path) -> Layout:
    """By names that tell nothing, and the files that they lead to are links again."""
    source, store = root.parents[2] / "mine", _in(root.parents[2] / "store", videos)
    (root / "full_scale").mkdir()
    source.mkdir()
    for number, name in enumerate(NAMES):
        (root / "full_scale" / name).symlink_to(store / name)
        (source / f"{number}.mp4").symlink_to(root / "full_scale" / name)
    return source, "folder"


LAYOUTS: dict[str, Callable[[Path, Path], Layout]] = {
    "as it is downloaded": _standard,
    "clips_540ss as the source": _folder_itself,
    "a folder in a folder of resized files as the source": _resized,
    "beside ego4d.json": _flat,
    "another suffix, in capitals": _other_suffix,
    "folders of classes": lambda root, videos: _scenarios(root, videos, "auto"),
    "folders of classes as a folder": lambda root, videos: _scenarios(root, videos, "folder"),
    "folders of classes as Kinetics": lambda root, videos: _scenarios(root, videos, "kinetics"),
    "classes below the metadata": lambda root, videos: _below_scenarios(root, videos, "auto"),
    "classes below, as Kinetics": lambda root, videos: _below_scenarios(root, videos, "kinetics"),
    "one file": lambda root, videos: _single(root, videos, "auto"),
    "one file as a folder": lambda root, videos: _single(root, videos, "folder"),
    "a folder far above": lambda root, videos: _parent(root, videos, "auto"),
    "a folder far above as Ego4D": lambda root, videos: _parent(root, videos, "ego4d"),
    "a table of relative paths": lambda root, videos: _manifest(root, videos, _relative),
    "a table of absolute paths": lambda root, videos: _manifest(root, videos, _absolute),
    "a table of file URLs": lambda root, videos: _manifest(root, videos, _urls),
    "a table of spans": lambda root, videos: _manifest(root, videos, _spans),
    "a link to the folder": _linked_folder,
    "links to links": _linked_files,
}


def windows(dest: Path, source: Path) -> dict[str, list[tuple[float, float]]]:
    """The windows (start, end) of each uid, on the clock of its video."""
    base = source.parent if source.is_file() else source
    plan = pq.read_table(dest / "plan.parquet").to_pylist()
    names = {row["id"]: _uid(base, row["uri"].removeprefix("file://")) for row in plan}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in pq.read_table(dest / "index.parquet").to_pylist():
        uid = names[row["source"]]
        begin_s = CLIP_S[0] if uid == CLIP else 0.0
        times = (row["start_s"] + begin_s, row["end_s"] + begin_s)
        found.setdefault(uid, []).append(times)
    return found


def _uid(base: Path, uri: str) -> str:
    stem = Path(os.path.realpath(base / uri)).stem.lower()
    return stem if stem in (KITCHEN, CLIP) else uri


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_window_overlaps_a_redacted_interval(
    name: str, ego4d: Path, videos: Path, tmp_path: Path
) -> None:
    source, corpus = LAYOUTS[name](ego4d, videos)
    ingest(source, tmp_path / "d", *SETTINGS, corpus=corpus)
    found = windows(tmp_path / "d", source)
    wanted = {KITCHEN} if source.suffix == ".mp4" else {KITCHEN, CLIP}
    assert wanted <= found.keys()
    for uid, (begin_s, end_s) in ((KITCHEN, HIDDEN_S), (CLIP, CLIP_HIDDEN_S)):
        for first, last in found.get(uid, ()):
            assert last < begin_s or first > end_s
        if uid in wanted:  # windows on either side: it is not for want of them
            assert {first > end_s for first, _ in found[uid]} == {True, False}
    assert verify(Tree(str(tmp_path / "d"))).whole


@pytest.mark.parametrize("corpus", ["auto", "folder", "kinetics", "manifest"])
def test_what_has_no_uid_as_its_name_is_never_used(
    corpus: str, ego4d: Path, videos: Path, tmp_path: Path
) -> None:
    for cut in ("a/b/0000.mp4", f"{KITCHEN}/000.mp4", f"x/{KITCHEN}_0_300.mp4"):
        (ego4d / "train" / cut).parent.mkdir(parents=True)
        shutil.copy(videos / f"{KITCHEN}.mp4", ego4d / "train" / cut)
    table = ego4d / "manifest.csv"
    if corpus == "manifest":
        table.write_text(f"uri\ntrain/{KITCHEN}/000.mp4\n")
    if corpus == "auto":
        with pytest.raises(ConfigError, match="knows none of them by name"):
            ingest(ego4d / "train", tmp_path / "d", *SETTINGS)
        ingest(ego4d, tmp_path / "d", *SETTINGS)
        rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
        assert {row["reason"] for row in rows} == {"no_metadata"}
        assert len(rows) == 3
        return
    with pytest.raises(ConfigError, match="knows none of them by name") as error:
        ingest(ego4d, tmp_path / "d", *SETTINGS, corpus=corpus)
    assert str(ego4d) in str(error.value)


def test_videos_in_an_archive_have_no_uid_and_are_not_used(ego4d: Path, videos: Path) -> None:
    with tarfile.open(ego4d / "00000.tar", "w") as tar:
        tar.add(videos / NAMES[0], NAMES[0])
    with pytest.raises(ConfigError, match="knows none of them by name"):
        _listing(ego4d, "video2dataset")


def test_of_a_mixed_folder_only_what_is_unknown_is_rejected(
    ego4d: Path, videos: Path, tmp_path: Path
) -> None:
    _in(ego4d / "train", videos, *NAMES, SPARE)
    ingest(ego4d / "train", tmp_path / "d", *SETTINGS, corpus="folder")
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: row["reason"] for row in rows} == {
        NAMES[0]: "",
        NAMES[1]: "",
        SPARE: "no_metadata",
    }


def test_a_part_of_a_video_under_its_uid_is_known_by_its_length(
    ego4d: Path, videos: Path, tmp_path: Path
) -> None:
    """Cut from the middle, the file would show at 0.5 s what is redacted at 2.5 s."""
    (ego4d / "first").mkdir()
    write_video(ego4d / "first" / f"{KITCHEN}.mp4", moving(hidden=True)[2 * FPS :], FPS)
    for corpus in ("auto", "folder"):
        ingest(ego4d / "first", tmp_path / corpus, *SETTINGS, corpus=corpus)
        (row,) = pq.read_table(tmp_path / corpus / "videos.parquet").to_pylist()
        assert (row["status"], row["reason"]) == ("rejected", "bad_redaction")
        assert "4.00 s" in row["detail"]
        assert "6.00 s" in row["detail"]


def _listing(source: Path | str, corpus: str = "auto") -> Listing:
    tree = Tree(str(source))
    return list_source(find_corpus(tree, corpus)[0], tree, False)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": "v9", "videos": []}', None])
@pytest.mark.parametrize("corpus", ["auto", "folder", "kinetics"])
def test_metadata_that_cannot_be_read_stop_every_corpus(
    data: bytes | None, corpus: str, ego4d: Path
) -> None:
    (ego4d / "train" / "cooking").mkdir(parents=True)
    (ego4d / "train" / "cooking" / NAMES[0]).write_bytes(b"x")
    (ego4d / "ego4d.json").unlink()
    if data is None:
        (ego4d / "ego4d.json").symlink_to("gone.json")
    else:
        (ego4d / "ego4d.json").write_bytes(data)
    with pytest.raises(ConfigError, match=r"ego4d\.json") as error:
        _listing(ego4d / "train", corpus)
    assert "--corpus folder" not in str(error.value)


def test_folders_of_ego4d_hide_less_beside_an_interval_than_others(ego4d: Path) -> None:
    for folder in ("full_scale", "mine"):
        (ego4d / folder).mkdir()
        (ego4d / folder / NAMES[0]).write_bytes(b"x")
    hidden = {
        entry.uri.split("/")[0]: entry.annotations.hidden_s[0]
        for entry in _listing(ego4d, "folder").entries
    }
    begin_s, end_s = HIDDEN_S
    assert hidden["full_scale"] == pytest.approx((begin_s - MARGIN_S, end_s + MARGIN_S))
    assert hidden["mine"] == pytest.approx((begin_s - RESAMPLED_S, end_s + RESAMPLED_S))


def test_all_metadata_above_a_file_count(ego4d: Path) -> None:
    """Version 1 lies in the folder of version 2, say, and knows of another interval."""
    old = redacted_metadata()
    old["videos"][0]["redacted_intervals"] = [interval(5, 5.5)]
    (ego4d / "v1" / "mine").mkdir(parents=True)
    put(ego4d / "v1" / "ego4d.json", old)
    (ego4d / "v1" / "mine" / NAMES[0]).write_bytes(b"x")
    for corpus in ("folder", "ego4d"):
        for source in (ego4d, ego4d / "v1" / "mine"):
            (entry,) = _listing(source, corpus).entries
            assert [round(start + RESAMPLED_S, 3) for start, _ in entry.annotations.hidden_s] == [
                2.0,
                5.0,
            ]


def test_a_source_that_has_nothing_to_do_with_ego4d_is_left_alone(
    ego4d: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "others").mkdir()
    (tmp_path / "data" / "others" / NAMES[0]).write_bytes(b"x")
    (entry,) = _listing(tmp_path / "data" / "others").entries
    assert not entry.annotations
    assert not entry.problem


@pytest.mark.parametrize("corpus", ["auto", "folder", "manifest"])
def test_in_a_store_metadata_above_are_found_as_well(corpus: str) -> None:
    store, root = fsspec.filesystem("memory"), f"memory://bucket-{corpus}/ego4d/v2"
    store.pipe_file(f"{root}/ego4d.json", json.dumps(redacted_metadata()).encode())
    store.pipe_file(f"{root}/full_scale/deep/{NAMES[0]}", b"x")
    source, number = f"{root}/full_scale", 1
    if corpus == "manifest":
        source, number = f"memory://bucket-{corpus}/clips.csv", 3
        file = f"ego4d/v2/full_scale/deep/{NAMES[0]}"
        rows = (file, f"memory://bucket-{corpus}/{file}", f"ego4d/../{file}")
        store.pipe_file(source, "\n".join(("uri", *rows)).encode())
    entries = _listing(source, corpus).entries
    assert len(entries) == number
    for entry in entries:
        assert entry.annotations.hidden_s


def test_a_table_in_a_store_may_name_files_on_this_machine(ego4d: Path) -> None:
    (ego4d / NAMES[0]).write_bytes(b"x")
    source = "memory://bucket-local/clips.csv"
    fsspec.filesystem("memory").pipe_file(source, f"uri\nfile://{ego4d}/{NAMES[0]}\n".encode())
    (entry,) = _listing(source).entries
    assert entry.annotations.hidden_s


def test_a_path_back_out_of_a_link_is_followed_as_the_machine_does(
    ego4d: Path, tmp_path: Path
) -> None:
    """mine/link/../UID.mp4 lies beside where the link leads, and not in mine."""
    (ego4d / "full_scale").mkdir()
    (ego4d / NAMES[0]).write_bytes(b"x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link").symlink_to(ego4d / "full_scale")
    (tmp_path / "clips.csv").write_text(f"uri\nmine/link/../{NAMES[0]}\n")
    (entry,) = _listing(tmp_path / "clips.csv").entries
    assert entry.annotations.hidden_s
