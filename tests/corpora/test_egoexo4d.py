"""Ego-Exo4D: one file a colour camera of each take, with what is done when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.egoexo4d.corpus import AGAIN, CAPTURE, NO_TAKE, NO_VIDEO, EgoExo4D
from sofdata.corpora.egoexo4d.takes import COLLAGE, EYE, SLAM
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.types import TimedText
from tests.ego4ds import write_ego4d
from tests.egoexo4ds import (
    BIKE,
    DANCE,
    FIRST,
    FPS,
    UIDS,
    annotation,
    descriptions,
    put,
    put_descriptions,
    said,
    takes,
    write_egoexo4d,
)
from tests.helpers import ingest
from tests.lerobots import write_grey
from tests.sequences import wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
EGO, CAM, GP = f"{BIKE}/aria01_214-1", f"{BIKE}/cam01", f"{BIKE}/gp02"
ALIGNED = "frame_aligned_videos"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return write_egoexo4d(tmp_path / "s", videos=False)


def listing(root: Path) -> Listing:
    return EgoExo4D().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def texts(entry: Entry) -> list[tuple[float, float, str]]:
    return [(each.start_s, each.end_s, each.text) for each in entry.annotations.texts]


def files(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


@pytest.mark.parametrize("isolate", ["run.isolate=false", "run.isolate=true"])
def test_takes_are_ingested_with_the_text_of_their_time(tmp_path: Path, isolate: str) -> None:
    ingest(write_egoexo4d(tmp_path / "s"), tmp_path / "d", *SETTINGS, isolate)
    assert verify(Tree(str(tmp_path / "d"))).whole
    assert not wrong_frames(tmp_path / "d", FPS, FIRST)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["source"] for row in rows} == set(FIRST)
    for row in rows:
        middle_s = (row["start_s"] + row["end_s"]) / 2
        if row["source"] == CAM and 2.7 < middle_s < 6:
            assert row["text"] == "lifts the wheel"
        if row["source"].startswith(DANCE):
            assert row["text"] == "Remove a Wheel"


def test_it_is_recognised_and_its_neighbours_are_not(bare: Path, tmp_path: Path) -> None:
    corpus, why = find_corpus(Tree(str(bare)))
    assert corpus.name == "egoexo4d"
    assert "takes.json" in why
    assert find_corpus(Tree(str(bare / "takes" / BIKE / ALIGNED)))[0].name == "folder"
    assert not EgoExo4D().detect(Tree(str(write_ego4d(tmp_path / "e"))))
    assert not EgoExo4D().detect(Tree(str(write_grey(tmp_path / "l"))))
    put(tmp_path / "o" / "takes.json", [{"take": 1, "file": "a.mp4"}])
    assert not EgoExo4D().detect(Tree(str(tmp_path / "o")))


def test_below_a_folder_of_its_version_it_is_found(tmp_path: Path) -> None:
    write_egoexo4d(tmp_path / "s" / "v2", videos=False)
    assert find_corpus(Tree(str(tmp_path / "s")))[0].name == "egoexo4d"
    assert set(entries(tmp_path / "s")) == set(FIRST)


def test_without_takes_json_the_user_learns_what_to_give(bare: Path) -> None:
    with pytest.raises(ConfigError, match=r"no takes\.json of Ego-Exo4D at its top"):
        listing(bare / "takes")


def test_every_file_is_in_the_account(bare: Path) -> None:
    found = listing(bare)
    counted = found.ignored
    assert counted[SLAM] == 2
    assert counted[EYE] == 1
    assert counted[COLLAGE] == 1
    assert counted[AGAIN] == 3
    assert found.unused == {NO_VIDEO: 1}
    assert files(bare) == len(found.entries) + sum(counted.values()) + len(found.tables)
    assert any("1 of the 3 takes" in note for note in found.notes)


def test_of_two_sizes_of_a_camera_the_smaller_one_is_used(bare: Path) -> None:
    small = f"takes/{BIKE}/{ALIGNED}/downscaled/448/cam01.mp4"
    assert entries(bare)[CAM].uri == small
    (bare / small).write_bytes(b"")
    assert entries(bare)[CAM].uri == f"takes/{BIKE}/{ALIGNED}/cam01.mp4"


def test_ones_own_copies_come_after_those_of_the_download(bare: Path) -> None:
    own = bare / "resized" / BIKE / "cam01.mp4"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"x")
    assert "resized" not in entries(bare)[CAM].uri
    for path in (bare / "takes" / BIKE).rglob("cam01.mp4"):
        path.unlink()
    assert entries(bare)[CAM].uri == f"resized/{BIKE}/cam01.mp4"


def test_ids_stay_whatever_was_downloaded(tmp_path: Path) -> None:
    both = entries(write_egoexo4d(tmp_path / "a", videos=False))
    full = entries(write_egoexo4d(tmp_path / "b", videos=False, small=False))
    assert list(both) == list(full) == sorted(FIRST)


def test_cameras_of_a_take_are_one_recording(bare: Path) -> None:
    found = entries(bare)
    assert found[EGO].labels["view"] == "ego"
    assert found[CAM].labels["view"] == found[GP].labels["view"] == "exo"
    assert found[EGO].labels["camera"] == "aria01"
    assert found[EGO].labels["split"] == "train"
    assert found[EGO].labels["capture"] == "cmu_bike01"
    of_take = {recording_of("egoexo4d", found[id].labels) for id in (EGO, CAM, GP)}
    assert len(of_take) == 1
    assert recording_of("egoexo4d", found[f"{DANCE}/cam01"].labels) not in of_take


def test_a_description_holds_until_the_next_one_or_for_a_while(bare: Path) -> None:
    assert texts(entries(bare)[CAM]) == [
        (0.03831, 1.5, "loosens the nut with his right hand"),
        (1.5, 2.5, "The man X walks towards C"),
        (2.5, 6.5, "lifts the wheel"),
    ]


def test_what_the_glasses_do_not_show_is_no_text_of_them(bare: Path) -> None:
    assert [text for _, _, text in texts(entries(bare)[EGO])] == [
        "loosens the nut with his right hand",
        "lifts the wheel",
    ]


def test_the_first_annotator_who_was_not_rejected_counts(bare: Path) -> None:
    of_takes = descriptions()
    of_takes[UIDS[BIKE]][1]["rejected"] = "true"
    put_descriptions(bare, of_takes)
    assert texts(entries(bare)[CAM]) == [(0.1, 4.1, "turns a nut")]


def test_descriptions_of_both_files_count(bare: Path) -> None:
    put_descriptions(bare, {UIDS[DANCE]: [annotation(said(1, "C spins"))]}, split="val")
    found = entries(bare)
    assert found[f"{DANCE}/cam01"].annotations.texts == (TimedText(1.0, 5.0, "spins"),)
    assert len(found[CAM].annotations.texts) == 3


def test_descriptions_beyond_the_end_are_left_out_and_counted(bare: Path) -> None:
    put_descriptions(bare, {UIDS[BIKE]: [annotation(said(1.0, "C waits"), said(99, "C leaves"))]})
    found = listing(bare)
    assert [each.text for each in found.entries[1].annotations.texts] == ["waits"]
    assert any("beyond its end" in note and BIKE in note for note in found.notes)


def test_a_video_of_a_take_that_is_not_known_is_a_reject(bare: Path) -> None:
    other = bare / "takes" / "other_take" / ALIGNED
    other.mkdir(parents=True)
    (other / "cam01.mp4").write_bytes(b"x")
    found = entries(bare)[f"takes/other_take/{ALIGNED}/cam01.mp4"]
    assert found.problem == "no_metadata"


def test_videos_of_captures_and_of_nothing_are_counted(bare: Path) -> None:
    for rel in ("captures/cmu_bike01/videos/cam01.mp4", "mine/holiday.mp4"):
        (bare / rel).parent.mkdir(parents=True)
        (bare / rel).write_bytes(b"x")
    found = listing(bare)
    assert found.ignored[CAPTURE] == found.ignored[NO_TAKE] == 1
    assert any("holiday.mp4" in note for note in found.notes)


def test_a_dropped_take_is_a_reject(bare: Path) -> None:
    records = takes()
    records[1]["is_dropped"] = True
    put(bare / "takes.json", records)
    problems = {entry.id: entry.problem for entry in listing(bare).entries}
    assert problems[f"{DANCE}/cam01"] == "dropped_take"
    assert not problems[CAM]


def test_cameras_are_known_by_their_names_where_the_take_does_not_list_them(bare: Path) -> None:
    records = takes()
    for record in records:
        record["frame_aligned_videos"] = {}
        record["capture"] = None
    put(bare / "takes.json", records)
    found = listing(bare)
    assert {entry.id for entry in found.entries} == set(FIRST)
    assert found.ignored[SLAM] == 2
    assert {entry.labels["view"] for entry in found.entries} == {"ego", "exo"}


def _twice(records: list[dict[str, Any]]) -> None:
    records.append(records[0])


def _no_uid(records: list[dict[str, Any]]) -> None:
    del records[0]["take_uid"]


def _no_seconds(records: list[dict[str, Any]]) -> None:
    records[0]["duration_sec"] = "6 s"


def _videos_as_list(records: list[dict[str, Any]]) -> None:
    records[0]["frame_aligned_videos"] = []


def _number(records: list[Any]) -> None:
    records[0] = 7


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_twice, "there twice"),
        (_no_uid, "needs 'take_uid'"),
        (_no_seconds, "'duration_sec' should be seconds"),
        (_videos_as_list, "'frame_aligned_videos' should be object"),
        (_number, "needs 'take_uid'"),
    ],
)
def test_a_malformed_take_is_named(
    bare: Path, spoil: Callable[[list[Any]], None], message: str
) -> None:
    records = takes()
    spoil(records)
    put(bare / "takes.json", records)
    with pytest.raises(ConfigError, match=message):
        listing(bare)


@pytest.mark.parametrize(
    ("passes", "message"),
    [
        ({}, "should be a list of annotations"),
        ([7], "an annotation should be an object"),
        ([{"descriptions": {}}], "'descriptions' should be list"),
        ([annotation(said(-5.0, "C waits"))], "needs 'timestamp' in seconds"),
        ([{"descriptions": ["C waits"]}], "needs 'timestamp' in seconds"),
        ([{"descriptions": [{"text": "C waits", "timestamp": None}]}], "needs 'timestamp'"),
    ],
)
def test_a_malformed_description_is_named(bare: Path, passes: Any, message: str) -> None:
    put_descriptions(bare, {UIDS[BIKE]: passes})
    with pytest.raises(ConfigError, match=message):
        listing(bare)


def test_broken_json_names_the_place(bare: Path) -> None:
    whole = (bare / "takes.json").read_text()
    (bare / "takes.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"takes\.json.*no valid JSON at line 1"):
        listing(bare)


def test_splits_of_neither_form_are_refused(bare: Path) -> None:
    put(bare / "annotations" / "splits.json", {"train": []})
    with pytest.raises(ConfigError, match="neither 'take_uid_to_split'"):
        listing(bare)
    put(bare / "annotations" / "splits.json", {"split_to_take_uids": {"val": [UIDS[BIKE]]}})
    assert entries(bare)[CAM].labels["split"] == "val"
