"""Folders of numbered pictures, as datasets are published in them; archives: test_packed.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.corpora.sequences.frames import FrameFolders
from sofdata.corpora.sequences.frames_looks import looks_like_frames
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from sofdata.storage.walk import Item
from tests.conformance.barcode import read
from tests.epics import HEADS as EPIC_HEADS
from tests.epics import put, segment
from tests.helpers import ingest
from tests.sequences import encoded, samples, write_frames, write_frames_tar, wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
EPIC = "frame_{:010d}.jpg"


def listing(root: Path, **config: object) -> Listing:
    corpus, _ = find_corpus(
        Tree(str(root)), "frames", sequences=SequenceConfig.parse({"fps": 10, **config})
    )
    return list_source(corpus, Tree(str(root)), with_actions=False)


def by_id(found: Listing) -> dict[str, Entry]:
    return {entry.id: entry for entry in found.entries}


def rows(dest: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in pq.read_table(dest / "videos.parquet").to_pylist()}


def texts(dest: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for sample in samples(dest):
        found.setdefault(sample.record.source, set()).add(sample.record.text)
    return found


# EPIC-KITCHENS


@pytest.fixture
def epic(tmp_path: Path) -> Path:
    """A video in a folder and one in a tar, flow beside them, and the tables of the authors."""
    root = tmp_path / "epic"
    write_frames(root / "P01/rgb_frames/P01_01", range(1, 31), EPIC)
    write_frames_tar(root / "P02/rgb_frames/P02_103.tar", range(1, 25), "./P02_103/" + EPIC)
    for part in "uv":
        write_frames(root / f"P01/flow_frames/P01_01/{part}", range(1, 12), EPIC)
    write_frames_tar(root / "P02/flow_frames/P02_103.tar", range(1, 12), "./u/" + EPIC)
    info = [["video_id", "duration", "fps", "resolution"], ["P01_01", "3.0", "10.0", "1x1"]]
    put(root / "EPIC_100_video_info.csv", [*info, ["P02_103", "2.3", "5.0", "1x1"]])
    rows = [
        segment(0, "00:00:00.00", "00:00:01.00", "open door"),
        segment(1, "00:00:01.00", "00:00:02.95", "take plate"),
        segment(2, "00:00:01.50", "00:00:04.50", "close tap", "P02_103"),
    ]
    put(root / "EPIC_100_train.csv", [EPIC_HEADS, *rows])
    return root


def test_epic_kitchens_is_read_with_its_rates_and_segments(epic: Path, tmp_path: Path) -> None:
    """Neither rates nor texts have to be given: the authors' tables have them."""
    ingest(epic, tmp_path / "d", *SETTINGS, "windows.texts=cut", "flow.step_s=0.2")
    found = texts(tmp_path / "d")
    assert found["P01/rgb_frames/P01_01"] == {"open door", "take plate"}
    assert found["P02/rgb_frames/P02_103"] == {"", "close tap"}
    first = {"P01/rgb_frames/P01_01": 1}
    for sample in samples(tmp_path / "d"):
        if sample.record.source in first:
            continue
        assert sample.record.pts_s[1] - sample.record.pts_s[0] == pytest.approx(0.2)
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_flow_of_epic_kitchens_is_left_out_and_counted(epic: Path) -> None:
    found = listing(epic)
    assert set(by_id(found)) == {"P01/rgb_frames/P01_01", "P02/rgb_frames/P02_103"}
    assert found.ignored["flow picture"] == 22
    assert found.ignored["flow picture in a tar"] == 11
    assert "33 pictures show flow by their names and are left out" in " ".join(found.notes)
    assert found.tables == ("EPIC_100_train.csv", "EPIC_100_video_info.csv")
    entry = by_id(found)["P02/rgb_frames/P02_103"]
    assert parse(entry.uri).sequence == "tar:P02_103/frame_*.jpg?first=1&fps=5.0"


def test_pictures_of_epic_kitchens_that_count_from_0_are_all_there(epic: Path) -> None:
    """As where somebody made them of the videos; the authors count from 1."""
    first = epic / "P01/rgb_frames/P01_01"
    first.joinpath(EPIC.format(30)).rename(first / EPIC.format(0))
    entry = by_id(listing(epic))["P01/rgb_frames/P01_01"]
    assert parse(entry.uri).sequence == "frames:frame_*.jpg?first=0&fps=10.0"


def test_a_rate_that_the_tables_overrule_is_told(epic: Path) -> None:
    found = " ".join(listing(epic, fps=10).notes)
    assert "1 x video has its rate from EPIC_100_video_info.csv" in found
    assert "P02_103 (5)" in found


def test_tables_of_epic_kitchens_beside_videos_are_for_the_videos(epic: Path) -> None:
    assert find_corpus(Tree(str(epic)))[0].name == "frames"
    (epic / "P01/videos").mkdir()
    assert find_corpus(Tree(str(epic)))[0].name == "epic"


# Bridge


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    root = tmp_path / "bridge"
    for number, text in enumerate(("put the pot\nmove pot\nconfidence: 0.7\n", "confidence: 1")):
        traj = root / f"datacol/toykitchen/00/raw/traj_group0/traj{number}"
        for camera in range(2):
            first = 100 * number + 50 * camera
            write_frames(traj / f"images{camera}", range(first, first + 12), "im_{}.jpg")
            for at in range(12):  # numbers from 0, as im_0.jpg
                name = f"images{camera}/im_{first + at}.jpg"
                (traj / name).rename(traj / f"images{camera}/im_{at}.jpg")
        write_frames(traj / "depth_images0", range(12), "im_{}.png", "PNG")
        (traj / "lang.txt").write_text(text)
        for name in ("policy_out.pkl", "obs_dict.pkl", "agent_data.pkl"):
            (traj / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    return root


def test_bridge_is_read_with_its_language_and_no_pickle(bridge: Path, tmp_path: Path) -> None:
    ingest(bridge, tmp_path / "d", *SETTINGS, "sequences.fps=5", "flow.step_s=0.2")
    head = "datacol/toykitchen/00/raw/traj_group0"
    found = texts(tmp_path / "d")
    assert found == {
        f"{head}/traj0/images0": {"put the pot"},
        f"{head}/traj0/images1": {"put the pot"},
        f"{head}/traj1/images0": {""},
        f"{head}/traj1/images1": {""},
    }
    first = {f"{head}/traj{n}/images{c}": 100 * n + 50 * c for n in range(2) for c in range(2)}
    assert not wrong_frames(tmp_path / "d", 5, first)
    account = listing(bridge)
    assert account.ignored == {".pkl": 6, "depth picture": 24}
    assert len(account.tables) == 2


def test_cameras_of_a_trajectory_are_one_recording(bridge: Path) -> None:
    found = {
        id: recording_of("frames", entry.labels) for id, entry in by_id(listing(bridge)).items()
    }
    head = "datacol/toykitchen/00/raw/traj_group0"
    assert set(found.values()) == {f"recording {head}/traj0", f"recording {head}/traj1"}
    assert by_id(listing(bridge))[f"{head}/traj1/images1"].labels["camera"] == "images1"


# 20BN


def test_clips_of_20bn_have_their_labels(tmp_path: Path) -> None:
    for id in ("12", "345", "6"):
        write_frames(tmp_path / "20bn-jester-v1" / id, range(1, 13), "{:05d}.jpg")
    (tmp_path / "jester-v1-train.csv").write_text("12;Swiping Left\n99;Stop Sign\n")
    (tmp_path / "jester-v1-test.csv").write_text("6\n")
    found = listing(tmp_path)
    texts = {id: entry.text for id, entry in by_id(found).items()}
    head = "20bn-jester-v1"
    assert texts == {f"{head}/12": "Swiping Left", f"{head}/345": "", f"{head}/6": ""}
    assert found.unused == {"label of no folder": 1}
    assert found.tables == ("jester-v1-test.csv", "jester-v1-train.csv")
    (tmp_path / "jester-v1-train.csv").write_text("id,label\n12,x\n")
    with pytest.raises(ConfigError, match=r"jester-v1-train\.csv.*line 1: 'id,label'"):
        listing(tmp_path)


def test_labels_of_something_something_v2_are_those_of_its_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames" / "42", range(12), "{:05d}.jpg")
    (tmp_path / "labels").mkdir()
    record = {"id": "42", "label": "folding a cloth", "template": "Folding [x]", "placeholders": []}
    (tmp_path / "labels/train.json").write_text(json.dumps([record]))
    found = listing(tmp_path)
    assert by_id(found)["frames/42"].text == "folding a cloth"
    assert "labels/train.json" in found.tables


# Texts


def test_a_text_lies_in_the_folder_or_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_frames(tmp_path / name, range(10))
    write_frames_tar(tmp_path / "e.tar", range(10))
    (tmp_path / "a/caption.txt").write_text(" pour tea ")
    (tmp_path / "b.json").write_text('{"caption": "cut bread"}')
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "e.txt").write_text("stir")
    (tmp_path / "notes.txt").write_text("not of any")
    (tmp_path / "d" / "frame_000003.txt").write_text("of one picture")
    found = listing(tmp_path)
    texts = {id: entry.text for id, entry in by_id(found).items()}
    assert texts == {"a": "pour tea", "b": "cut bread", "c": "", "d": "", "e": "stir"}
    assert found.ignored == {".txt": 2}
    assert "1 x text cannot be read" in " ".join(found.notes)


# What is a sequence, and what is none


def test_kinds_of_names_in_a_folder_are_sequences_of_their_own(tmp_path: Path) -> None:
    write_frames(tmp_path / "x", range(10), "cam0_{}.jpg")
    write_frames(tmp_path / "x", range(10, 20), "cam1_{}.jpg")
    write_frames(tmp_path / "y", range(10), "{:03d}.jpg")
    write_frames(tmp_path / "y", range(10, 14), "{:03d}.PNG", "PNG")
    write_frames(tmp_path / "z", range(10), "{:03d}.jpg")
    write_frames(tmp_path / "z", range(10), "{:03d}.png", "PNG")  # masks, or copies
    found = by_id(listing(tmp_path))
    assert set(found) == {"x/cam0_*.jpg", "x/cam1_*.jpg", "y", "z/*.jpg", "z/*.png"}
    assert parse(found["y"].uri).sequence == "frames:*.*?fps=10.0"
    assert {found[id].labels["recording"] for id in ("x/cam0_*.jpg", "x/cam1_*.jpg")} == {"x"}


def test_cameras_at_the_top_of_a_source_are_one_recording(tmp_path: Path) -> None:
    for camera in range(2):
        write_frames(tmp_path, range(10), f"cam{camera}_{{}}.jpg")
    found = by_id(listing(tmp_path))
    assert set(found) == {"cam0_*.jpg", "cam1_*.jpg"}
    assert {recording_of("frames", entry.labels) for entry in found.values()} == {"recording ."}


def test_pictures_that_are_no_sequence_are_counted(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", range(10))
    write_frames(tmp_path / "a", [7], "cover{}.jpg")
    (tmp_path / "a/poster.jpg").write_bytes(encoded(0))
    (tmp_path / "a/clip.mp4").write_bytes(b"x")
    (tmp_path / "a/._frame_000001.jpg").write_bytes(b"x")
    found = listing(tmp_path)
    assert set(by_id(found)) == {"a"}
    counts = {".jpg": 1, "hidden": 1, "single picture": 1, "video beside pictures": 1}
    assert found.ignored == counts
    assert "--corpus folder reads those" in " ".join(found.notes)


def test_where_no_sequence_is_there_it_says_why(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", range(10), "frame_{}_640x480.jpg")
    with pytest.raises(ConfigError, match="of 10 pictures the last number in the name comes once"):
        listing(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match=r"holds no two pictures that differ in a number alone"):
        listing(tmp_path / "b")


def test_photos_beside_films_are_left_out_and_told(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", range(10))
    write_frames(tmp_path / "setup", range(12), "IMG_{}.JPG")
    found = listing(tmp_path)
    assert set(by_id(found)) == {"a"}
    assert found.ignored == {"photo": 12}
    assert "1 x folder has photos by their names" in " ".join(found.notes)


def test_gaps_are_noted_in_the_listing(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", [*range(10), *range(15, 20)])
    write_frames(tmp_path / "b", range(10))
    assert "1 x sequence has fewer or more pictures than numbers" in " ".join(
        listing(tmp_path).notes
    )


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["clip/frame_{:06d}.jpg"], True),
        (["clip/{:05d}.png"], True),
        (["clip/img_{:05d}.jpg"], True),
        (["clip/P01_01_{:05d}.jpg"], True),
        (["album/IMG_{:04d}.JPG"], False),
        (["album/DSC{:05d}.jpg"], False),
        (["album/IMG-20260101-WA{:04d}.jpg"], False),
        (["album/P10100{:02d}.JPG"], False),
        (["album/PXL_20260101_{:09d}.jpg"], False),
        (["album/holiday ({}).jpg"], False),
        (["photos/{:05d}7.jpg"], False),  # far apart: ids rather than numbers
        (["d/depth_{:05d}.png"], False),
    ],
)
def test_a_film_is_told_from_photos_by_its_names(
    tmp_path: Path, names: list[str], taken: bool
) -> None:
    for pattern in names:
        for number in range(20):
            path = tmp_path / pattern.format(number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
    found = find_corpus(Tree(str(tmp_path)))[0].name
    assert found == ("frames" if taken else "folder")


def test_a_few_pictures_are_no_film(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", range(5))
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"
    assert set(by_id(listing(tmp_path))) == {"a"}  # if it is asked for


def test_videos_with_thumbnails_stay_videos(tmp_path: Path) -> None:
    write_frames(tmp_path / "thumbnails", range(30), "{}.jpg")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"x")
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"


def test_a_rate_for_what_is_no_film_says_how_to_ask_for_it(tmp_path: Path) -> None:
    source = tmp_path / "s"
    write_frames(source / "album", range(20), "IMG_{}.jpg")
    with pytest.raises(ConfigError, match=r"sequences\.\* is set, .* --corpus"):
        ingest(source, tmp_path / "d", "sequences.fps=10")
    ingest(source, tmp_path / "d", *SETTINGS, "sequences.fps=10", corpus="frames")
    assert not wrong_frames(tmp_path / "d", 10, {"album": 0})


# Times


def test_each_folder_has_its_list_of_times(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for name, step in (("a", 0.1), ("b", 0.2)):
        write_frames(source / name, range(1, 16))
        lines = "".join(f"{1000 * step * at}\n" for at in range(15))
        (source / name / "stamps.txt").write_text(lines)
    write_frames(source / "c", range(15))
    times = ("sequences.times=stamps.txt", "sequences.unit=ms")
    ingest(source, tmp_path / "d", *SETTINGS, *times, "flow.step_s=0.2")
    for sample in samples(tmp_path / "d"):
        fps = {"a": 10, "b": 5}[sample.record.source]
        ends = sample.record.pts_s[0], sample.record.pts_s[-1]
        shown = [read(rgb).number for rgb in (sample.first, sample.last)]
        assert shown == [1 + round(fps * time_s) for time_s in ends]
    found = rows(tmp_path / "d")
    assert found["c"]["reason"] == "no_times"
    assert found["c"]["detail"] == "there is no stamps.txt beside its pictures"
    both = listing(source, times="stamps.txt", fps=10)
    assert parse(by_id(both)["c"].uri).sequence == "frames:frame_*.jpg?fps=10.0"
    assert both.tables == ("a/stamps.txt", "b/stamps.txt")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("index,time\n", "is 'index,time'; it has to be one number"),
        ("".join(f"{33 * at}\n" for at in range(15)), "say so, as by --set sequences.unit=ms"),
        ("0\n1\n", "has 2 times for 15 pictures"),
    ],
)
def test_what_is_no_list_of_times_is_a_reject(tmp_path: Path, lines: str, message: str) -> None:
    write_frames(tmp_path / "s/a", range(15))
    (tmp_path / "s/a/times.txt").write_text(lines)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "sequences.times=times.txt")
    found = rows(tmp_path / "d")["a"]
    assert (found["status"], found["reason"]) == ("rejected", "no_times")
    assert message in found["detail"]


# Ego4D


def test_frames_of_ego4d_are_redacted_by_the_name_of_their_folder(tmp_path: Path) -> None:
    source = tmp_path / "s"
    uid = "0a3097fc-baed-4d11-a4c9-30f07eb91af6"
    write_frames(source / "frames" / uid, range(100))
    write_frames(source / "frames" / "nobody", range(20))
    video = {
        "video_uid": uid,
        "duration_sec": 10.0,
        "has_redacted_regions": True,
        "redacted_intervals": [{"start_sec": 4.0, "end_sec": 5.0}],
    }
    (source / "ego4d.json").write_text(json.dumps({"videos": [video], "clips": []}))
    found = by_id(listing(source))
    assert found[f"frames/{uid}"].annotations.hidden_s == ((3.5, 5.5),)
    assert found["frames/nobody"].problem == "no_metadata"


# Many


class Many(Tree):
    """A tree of a million pictures, none of which exists."""

    def walk(self, rel: str = "", folders: bool = False) -> Iterator[Item]:
        for clip in range(100):
            for number in range(2000):
                yield Item(f"clips/{clip:03d}/{number:06d}.jpg", 1000)


def test_nothing_is_kept_of_a_picture(tmp_path: Path) -> None:
    import tracemalloc

    tracemalloc.start()
    found = FrameFolders(SequenceConfig(fps=10)).listing(Many(str(tmp_path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.entries) == 100
    assert peak < 4 << 20  # 200,000 pictures
    assert looks_like_frames(Many(str(tmp_path))).startswith("a folder of numbered pictures")
