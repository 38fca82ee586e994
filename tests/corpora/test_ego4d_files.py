"""Which files of Ego4D are used, whatever folders they lie in; and that each is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.ego4d.corpus import Ego4D
from sofdata.corpora.ego4d.redaction import MARGIN_S
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from tests.ego4ds import (
    ABSENT,
    CLIP,
    GARAGE,
    HIDDEN_S,
    KITCHEN,
    SECONDS,
    grouped,
    interval,
    metadata,
    narrations,
    put,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The metadata without a video."""
    put(tmp_path / "ego4d.json", metadata())
    (tmp_path / "annotations").mkdir()
    put(tmp_path / "annotations" / "narration.json", narrations())
    return tmp_path


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def listing(root: Path) -> Listing:
    """The listing, once all files are found to be in its account."""
    found = Ego4D().listing(Tree(str(root)))
    walked = len(list(Tree(str(root)).walk()))
    assert walked == len(found.entries) + len(found.tables) + sum(found.ignored.values())
    return found


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


FOLDERS = [
    "clips_540ss",
    "full_scale_256",
    "video_540ss",
    "full_scale",
    "clips",
    "down_scaled",
    "full_scale_540ss",
    "clips_full_scale",
    "by_scenario/cooking",
    "v1/a/b/c",
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_folder_of_files_named_by_uids_is_read(folder: str, root: Path) -> None:
    touch(root, f"{folder}/{KITCHEN}.mp4", f"{folder}/{CLIP.upper()}.MP4")
    for source in (root, root / folder):
        found = {entry.id: entry for entry in Ego4D().listing(Tree(str(source))).entries}
        assert found.keys() == {KITCHEN, CLIP}
        assert found[KITCHEN].annotations.hidden_s
        assert found[KITCHEN].annotations.text_at(0.3, 1) == "picks up a cup"
        assert found[CLIP].annotations.text_at(0.6, 1.6) == "opens the box"
        assert find_corpus(Tree(str(source)))[0].name == "ego4d"


@pytest.mark.parametrize("suffix", ["mp4", "MP4", "mkv", "webm", "MOV", "avi"])
def test_any_container_is_read(suffix: str, root: Path) -> None:
    touch(root, f"full_scale/{KITCHEN}.{suffix}")
    assert entries(root)[KITCHEN].uri == f"full_scale/{KITCHEN}.{suffix}"


@pytest.mark.parametrize(
    ("paths", "used"),
    [
        (("full_scale/{}.mp4", "video_540ss/{}.mp4"), "video_540ss/{}.mp4"),
        (("full_scale/{}.mp4", "a_256/{}.mp4"), "full_scale/{}.mp4"),
        (("v1/full_scale/{}.mp4", "v2/video_540ss/{}.mp4"), "v2/video_540ss/{}.mp4"),
        (("b_256/{}.mp4", "a_256/{}.mp4", "c/{}.mp4"), "a_256/{}.mp4"),
        (("a/{}.webm", "b/{}.mp4"), "b/{}.mp4"),
        (("{}.mp4", "full_scale/{}.mkv"), "full_scale/{}.mkv"),
    ],
)
def test_of_the_files_of_a_uid_one_is_used_and_the_others_counted(
    paths: tuple[str, ...], used: str, root: Path
) -> None:
    touch(root, *(path.format(KITCHEN) for path in paths))
    found = listing(root)
    assert [entry.uri for entry in found.entries] == [used.format(KITCHEN)]
    assert found.ignored == {"other file of a uid that is here": len(paths) - 1}
    assert f"other file of a uid that is here; not used twice: {KITCHEN}" in "; ".join(found.notes)


def test_a_file_that_cannot_be_read_is_used_last(root: Path) -> None:
    touch(root, f"full_scale/{KITCHEN}.mp4", "clips/x")
    (root / "video_540ss").mkdir()
    (root / "video_540ss" / f"{KITCHEN}.mp4").symlink_to("gone.mp4")
    (root / "a").mkdir()
    (root / "a" / f"{KITCHEN}.mp4").write_bytes(b"")
    assert entries(root)[KITCHEN].uri == f"full_scale/{KITCHEN}.mp4"


@pytest.mark.parametrize("video", ["gone", "unknown"])
def test_a_clip_is_used_where_its_video_cannot_be(video: str, root: Path) -> None:
    touch(root, f"clips/{CLIP}.mp4")
    if video == "gone":
        (root / "full_scale").mkdir()
        (root / "full_scale" / f"{ABSENT}.mp4").symlink_to("gone.mp4")
    assert not entries(root)[CLIP].problem


@pytest.mark.parametrize(
    "path",
    [
        "full_scale/{}_0_300.mp4",
        "full_scale/{}_000.mp4",
        "full_scale/{}.part1.mp4",
        "full_scale/{}-crop.mkv",
        "chunks/{}/0000.mp4",
        "chunks/{}.mp4/300.mp4",
        "train/cooking/7.webm",
        "components/videos/3a1b2c3d-0000-4000-8000-000000000001.mp4",
    ],
)
def test_a_file_cut_or_named_otherwise_is_rejected_with_its_reason(path: str, root: Path) -> None:
    touch(root, path.format(KITCHEN), f"full_scale/{GARAGE}.mp4")
    (entry,) = (entry for entry in listing(root).entries if entry.id != GARAGE)
    assert entry.problem == "no_metadata"
    assert entry.uri == path.format(KITCHEN)
    assert ("part of a video" in entry.detail) == ("{}" in path)


def test_without_metadata_nothing_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, f"full_scale/{KITCHEN}.mp4")
    with pytest.raises(ConfigError, match=r"ego4d\.json"):
        Ego4D().listing(Tree(str(tmp_path)))


def test_every_file_and_record_is_accounted_for(root: Path) -> None:
    touch(
        root,
        f"full_scale/{KITCHEN}.mp4",
        f"video_540ss/{KITCHEN}.mp4",
        f"clips/{CLIP}.mp4",
        "full_scale/readme.txt",
        ".cache/x.mp4",
        "annotations/nlq_train.json",
    )
    (root / "full_scale" / "manifest.csv").write_text(
        f"video_uid,s3_path\n{KITCHEN},s3://a\n{GARAGE},s3://b\n"
    )
    found = listing(root)
    assert found.tables == (
        "annotations/narration.json",
        "ego4d.json",
        "full_scale/manifest.csv",
    )
    assert found.ignored == {
        ".json": 1,
        ".txt": 1,
        "hidden": 1,
        "other file of a uid that is here": 1,
    }
    assert found.unused == {"videos of ego4d.json": 1, "rows of full_scale/manifest.csv": 1}


# Grouped videos of version 2.1


GROUP = f"grp-{KITCHEN[:-2]}99"


def test_a_grouped_video_is_known_by_its_uid(root: Path) -> None:
    put(root / "ego4d.json", grouped(metadata(), GROUP))
    record = narrations()
    record["videos"][GROUP] = record["videos"].pop(KITCHEN)
    put(root / "annotations" / "narration.json", record)
    touch(root, f"full_scale/{GROUP}.mp4")
    (root / "full_scale" / "manifest.csv").write_text(f"video_uid,s3_path\n{GROUP},s3://a\n")
    (entry,) = listing(root).entries
    assert entry.id == GROUP
    assert not entry.problem
    assert entry.annotations.text_at(0.3, 1) == "picks up a cup"


def test_a_grouped_video_has_what_its_videos_have_one_behind_the_other(root: Path) -> None:
    """GARAGE, then KITCHEN, which is redacted: six seconds later in the group."""
    put(root / "ego4d.json", grouped(metadata(), GROUP))
    touch(root, f"full_scale/{GROUP}.mp4")
    said = entries(root)[GROUP].annotations
    (hidden,) = said.hidden_s
    assert hidden[0] < SECONDS + HIDDEN_S[0] - MARGIN_S
    assert SECONDS + HIDDEN_S[1] + MARGIN_S < hidden[1] < SECONDS + HIDDEN_S[1] + 2
    assert said.text_at(0.6, 1) == "turns a screw"
    assert said.text_at(SECONDS + 0.3, SECONDS + 1) == "picks up a cup"
    assert said.eye == "left"
    assert said.lasts_s == 2 * SECONDS


@pytest.mark.parametrize(
    "change",
    [
        {"group_video_uids": [GARAGE, ABSENT.replace("3", "7"), KITCHEN]},
        {"duration_sec": 30.0},
        {"redacted_intervals": "all"},
    ],
)
def test_a_grouped_video_whose_parts_do_not_fit_is_rejected(
    change: dict[str, Any], root: Path
) -> None:
    changed = grouped(metadata(), GROUP)
    changed["videos"][-1].update(change)
    put(root / "ego4d.json", changed)
    touch(root, f"full_scale/{GROUP}.mp4")
    assert entries(root)[GROUP].problem == "bad_redaction"


def test_a_grouped_video_is_not_used_beside_its_videos(root: Path) -> None:
    put(root / "ego4d.json", grouped(metadata(), GROUP))
    touch(root, f"full_scale/{GROUP}.mp4", f"full_scale/{KITCHEN}.mp4")
    found = listing(root)
    assert [entry.id for entry in found.entries] == [GROUP]
    assert found.ignored == {"video is part of a grouped video that is here": 1}
    touch(root, f"full_scale/{GARAGE}.mp4")
    found = listing(root)
    assert [entry.id for entry in found.entries] == [KITCHEN, GARAGE]
    assert found.ignored == {"grouped video whose videos are all here": 1}


# What ego4d.json may say in odd ways


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({"redacted_intervals": [{"start_sec": "2.0", "end_sec": "3.5"}]}, [(2.0, 3.5)]),
        ({"redacted_intervals": [interval(4, 5), interval(1, 2)]}, [(1.0, 2.0), (4.0, 5.0)]),
        ({"redacted_intervals": [interval(1, 3), interval(2, 5)]}, [(1.0, 5.0)]),
        ({"redacted_intervals": [interval(2, 2)]}, [(2.0, 2.0)]),
        ({"redacted_intervals": [interval(1, 2)], "has_redacted_regions": False}, [(1.0, 2.0)]),
        ({"redacted_intervals": [], "has_redacted_regions": False}, []),
        ({"redacted_intervals": None, "has_redacted_regions": None}, []),
        ({"redacted_intervals": [], "has_redacted_regions": "false"}, []),
        ({"redacted_intervals": [], "has_redacted_regions": True}, None),
        ({"redacted_intervals": None, "has_redacted_regions": True}, None),
        ({"redacted_intervals": [], "has_redacted_regions": "true"}, None),
        ({"redacted_intervals": [{"start_sec": None, "end_sec": None, "start_frame": 1}]}, None),
        ({"redacted_intervals": [{"start_sec": True, "end_sec": 3}]}, None),
        ({"redacted_intervals": [{"start_sec": "nan", "end_sec": 3}]}, None),
        ({"redacted_intervals": {"start_sec": 1, "end_sec": 3}}, None),
    ],
)
def test_redacted_intervals_are_understood_or_the_video_is_rejected(
    change: dict[str, Any], hidden: list[tuple[float, float]] | None, root: Path
) -> None:
    changed = metadata()
    changed["videos"][0].update(change)
    put(root / "ego4d.json", changed)
    touch(root, f"full_scale/{KITCHEN}.mp4")
    entry = entries(root)[KITCHEN]
    if hidden is None:
        assert entry.problem == "bad_redaction"
        return
    assert not entry.problem
    wanted = [pytest.approx((start - MARGIN_S, end + MARGIN_S)) for start, end in hidden]
    assert list(entry.annotations.hidden_s) == wanted


def test_records_of_one_uid_hide_what_any_of_them_hides(root: Path) -> None:
    changed = metadata()
    changed["videos"].append({"video_uid": KITCHEN, "redacted_intervals": [interval(5, 5.5)]})
    put(root / "ego4d.json", changed)
    touch(root, f"full_scale/{KITCHEN}.mp4")
    starts = [start + MARGIN_S for start, _ in entries(root)[KITCHEN].annotations.hidden_s]
    assert starts == pytest.approx([2.0, 5.0])


def test_clips_of_one_uid_that_begin_at_different_times_are_rejected(root: Path) -> None:
    changed = metadata()
    changed["clips"].append(changed["clips"][0] | {"video_start_sec": 3.0})
    put(root / "ego4d.json", changed)
    touch(root, f"clips/{CLIP}.mp4")
    assert entries(root)[CLIP].problem == "bad_redaction"


def test_intervals_of_a_clips_own_are_hidden_on_either_clock(root: Path) -> None:
    changed = metadata()
    changed["clips"][0]["redacted_intervals"] = [interval(4.5, 5)]
    put(root / "ego4d.json", changed)
    touch(root, f"clips/{CLIP}.mp4")
    starts = [start + MARGIN_S for start, _ in entries(root)[CLIP].annotations.hidden_s]
    assert starts == pytest.approx([0.5, 4.5])


def test_a_clip_of_which_the_video_is_not_understood_is_rejected(root: Path) -> None:
    changed = metadata()
    changed["videos"][2]["has_redacted_regions"] = True
    put(root / "ego4d.json", changed)
    touch(root, f"clips/{CLIP}.mp4")
    assert entries(root)[CLIP].problem == "bad_redaction"


def test_times_that_were_written_as_text_are_read(root: Path) -> None:
    changed = metadata()
    changed["videos"][2].update(duration_sec="6.0", redacted_intervals=[interval(5, 5.5)])
    changed["clips"][0].update(video_start_sec="4.0", video_end_sec="6")
    put(root / "ego4d.json", changed)
    touch(root, f"clips/{CLIP}.mp4")
    (hidden,) = entries(root)[CLIP].annotations.hidden_s
    assert hidden == pytest.approx((1.0 - MARGIN_S, 1.5 + MARGIN_S))


@pytest.mark.parametrize(
    ("value", "eye"),
    [(True, "left"), ("true", "left"), (1, "left"), (False, ""), ("false", ""), (None, "")],
)
def test_stereo_is_read_however_it_is_written(value: Any, eye: str, root: Path) -> None:
    changed = metadata()
    changed["videos"][0]["is_stereo"] = value
    put(root / "ego4d.json", changed)
    touch(root, f"full_scale/{KITCHEN}.mp4")
    assert entries(root)[KITCHEN].annotations.eye == eye
