"""Ego4D: videos with the narrations of their time, without what is redacted, one eye of two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.ego4d.corpus import Ego4D
from sofdata.corpora.ego4d.redaction import MARGIN_S
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from tests.ego4ds import (
    ABSENT,
    CLIP,
    GARAGE,
    HIDDEN_S,
    KITCHEN,
    SECRET,
    interval,
    metadata,
    moving,
    narrations,
    put,
    write_ego4d,
)
from tests.helpers import hashes, ingest, sofdata
from tests.videos import write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ego4d(tmp_path_factory.mktemp("ego4d") / "v2")


@pytest.fixture(scope="module")
def ingested(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ego4d-dataset") / "d"
    ingest(root, folder, *SETTINGS)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The layout with files that are no videos: enough to be listed."""
    (tmp_path / "full_scale").mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "full_scale" / f"{KITCHEN}.mp4").write_bytes(b"x")
    put(tmp_path / "ego4d.json", metadata())
    put(tmp_path / "annotations" / "narration.json", narrations())
    return tmp_path


def listing(root: Path) -> Listing:
    return Ego4D().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def windows(dest: Path, video: str) -> list[DecodedSample]:
    found = []
    for path in sorted((dest / "shards").glob("*.tar")):
        with path.open("rb") as stream:
            for key, _, members in read_samples(stream, path.name):
                found.append(decode_sample(key, members))
    return [each for each in found if each.record.source == video]


def magenta(rgb: Any) -> float:
    """The largest share of a frame's pixels that are nearly of the redacted colour."""
    far = np.abs(rgb.astype(int) - np.array(SECRET)).max(axis=-1)
    return float((far < 90).mean())


def test_it_is_recognised_and_the_reason_told(root: Path) -> None:
    for source in (root, root.parent):
        corpus, why = find_corpus(Tree(str(source)))
        assert corpus.name == "ego4d"
        assert "ego4d.json" in why


def test_a_dataset_is_whole_and_accounts_for_every_file(ingested: Path) -> None:
    assert verify(Tree(str(ingested))).whole
    rows = pq.read_table(ingested / "videos.parquet").to_pylist()
    assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(
        (KITCHEN, GARAGE, CLIP), "done"
    )


def test_no_redacted_frame_reaches_a_window(ingested: Path) -> None:
    found = windows(ingested, KITCHEN)
    assert len(found) > 5
    for each in found:
        assert not [t for t in each.record.pts_s if HIDDEN_S[0] <= t <= HIDDEN_S[1]]
        assert not each.record.pts_s[0] < HIDDEN_S[0] < each.record.pts_s[-1]
        assert magenta(each.first) == magenta(each.last) == 0
        assert np.abs(each.flow).max() < 16  # the texture's 3 px a frame, no jump to magenta
    assert "redacted" in {each.record.cut for each in found}


def test_redaction_is_what_keeps_them_out(root: Path, tmp_path: Path) -> None:
    """The same video as a folder of videos shows the colour: the test above can fail."""
    seen = ("windows.shots=false", "windows.static_px=0")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(root / "full_scale" / f"{KITCHEN}.mp4", tmp_path / "elsewhere")
    ingest(tmp_path / "elsewhere", tmp_path / "d", *SETTINGS, *seen, corpus="folder")
    found = windows(tmp_path / "d", f"{KITCHEN}.mp4")
    assert max(max(magenta(each.first), magenta(each.last)) for each in found) > 0.9


def test_a_redacted_stretch_is_a_counted_reject(ingested: Path) -> None:
    rows = pq.read_table(ingested / "rejects.parquet").to_pylist()
    (row,) = [row for row in rows if row["reason"] == "redacted"]
    assert (row["kind"], row["video"]) == ("window", KITCHEN)
    assert row["start_s"] < HIDDEN_S[0] < HIDDEN_S[1] < row["end_s"]


def test_only_the_left_eye_of_a_stereo_video_is_seen(ingested: Path) -> None:
    found = windows(ingested, GARAGE)
    assert found
    for each in found:
        inside = each.first[:, :-2].astype(int)  # the last column is blended
        assert not (inside[..., 1] - inside[..., 0] > 150).any()
        assert 2 < np.abs(each.flow[:, :, 2:-4, 0]).mean() < 8


def test_windows_carry_the_narration_of_their_time(ingested: Path) -> None:
    texts = {each.record.start_s: each.record.text for each in windows(ingested, KITCHEN)}
    assert {text for start, text in texts.items() if start < 0.6} == {"picks up a cup"}
    assert {text for start, text in texts.items() if 1.2 < start < 2} == {"man X talks"}
    assert {text for start, text in texts.items() if start > 4} == {"pours"}
    assert {each.record.text for each in windows(ingested, CLIP)} >= {"opens the box"}
    assert {each.record.labels["scenarios"] for each in windows(ingested, CLIP)} == {"Cooking"}


def test_narrations_may_drive_the_cuts(root: Path, tmp_path: Path) -> None:
    ingest(root, tmp_path / "d", *SETTINGS, "windows.texts=only")
    found = windows(tmp_path / "d", KITCHEN)
    assert "text" in {each.record.cut for each in found}
    begins = (0.2, 1.1, 4.0)
    for each in found:
        assert each.record.text
        first, last = each.record.pts_s[0], each.record.pts_s[-1]
        assert not [at for at in begins if first < at <= last]
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_both_engines_and_a_replay_see_the_same(root: Path, ingested: Path, tmp_path: Path) -> None:
    settings = [f"--set={each}" for each in SETTINGS]
    done = sofdata("ingest", root, tmp_path / "d", "--workers", "1", *settings)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "d") == hashes(ingested)
    output = sofdata("replay", tmp_path / "d", KITCHEN).stdout
    assert "rejected: redacted" in output


def test_what_is_not_here_is_told(root: Path) -> None:
    notes = "; ".join(listing(root).notes)
    assert "1 of the 3 videos of ego4d.json have no file here" in notes
    assert f"uid of full_scale/manifest.csv has no file there: {ABSENT}" in notes
    assert "video has redacted intervals" in notes


def test_the_small_video_is_taken_and_clips_of_it_are_not(bare: Path) -> None:
    for folder, name in (("video_540ss", KITCHEN), ("full_scale", ABSENT), ("clips", CLIP)):
        (bare / folder).mkdir(exist_ok=True)
        (bare / folder / f"{name}.mp4").write_bytes(b"y")
    found = entries(bare)
    assert found[KITCHEN].uri == f"video_540ss/{KITCHEN}.mp4"
    assert CLIP not in found
    assert f"clip is part of a video that is here; not used twice: {CLIP}" in "; ".join(
        listing(bare).notes
    )


def test_a_clip_has_the_times_of_its_video_on_its_own_clock(bare: Path) -> None:
    changed = metadata()
    changed["videos"][2]["redacted_intervals"] = [interval(1, 2), interval(5, 5.5)]
    put(bare / "ego4d.json", changed)
    (bare / "clips").mkdir()
    (bare / "clips" / f"{CLIP}.mp4").write_bytes(b"y")
    found = entries(bare)[CLIP].annotations
    (hidden,) = found.hidden_s
    assert hidden == pytest.approx((1.0 - MARGIN_S, 1.5 + MARGIN_S))
    assert found.text_at(0.6, 1.6) == "opens the box"


@pytest.mark.parametrize("intervals", [[interval(3, 2)], ["all"], None, 7, [{"start_sec": 1}]])
def test_a_video_of_which_nobody_can_tell_what_is_redacted_is_rejected(
    bare: Path, intervals: Any
) -> None:
    changed = metadata()
    changed["videos"][0]["redacted_intervals"] = intervals
    put(bare / "ego4d.json", changed)
    assert entries(bare)[KITCHEN].problem == "bad_redaction"


def test_verify_finds_a_window_that_reaches_into_what_is_redacted(
    ingested: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "d"
    shutil.copytree(ingested, copy)
    for path in (copy / "ledger").glob("*.json"):
        record = json.loads(path.read_bytes())
        for window in record["windows"]:
            if window["source"] == KITCHEN and window["start_s"] > HIDDEN_S[1]:
                window["start_s"] = HIDDEN_S[1] - 0.1
        path.write_text(json.dumps(record))
    findings = " ".join(finding.what for finding in verify(Tree(str(copy))).findings)
    assert f"{KITCHEN}: window" in findings
    assert "reaches into" in findings


def test_a_hidden_folder_gives_no_videos(bare: Path) -> None:
    (bare / ".trash" / "full_scale").mkdir(parents=True)
    (bare / ".trash" / "full_scale" / f"{KITCHEN}.mp4").write_bytes(b"y")
    assert f"full_scale/{KITCHEN}.mp4" in {entry.uri for entry in listing(bare).entries}


def test_a_file_that_the_metadata_does_not_know_is_not_looked_at(bare: Path) -> None:
    stranger = KITCHEN.replace("1", "9")
    (bare / "full_scale" / f"{stranger}.mp4").write_bytes(b"x")
    assert entries(bare)[stranger].problem == "no_metadata"


@pytest.mark.parametrize("name", ["narrations.json", "all_narrations_redacted.json"])
def test_narrations_of_other_names_shapes_and_passes_are_read(bare: Path, name: str) -> None:
    (bare / "annotations" / "narration.json").unlink()
    put(bare / "annotations" / name, narrations("narration_pass_2")["videos"])
    assert entries(bare)[KITCHEN].annotations.text_at(0.3, 1) == "picks up a cup"


def test_without_narrations_videos_are_ingested_and_that_is_told(bare: Path) -> None:
    (bare / "annotations" / "narration.json").unlink()
    assert entries(bare)[KITCHEN].annotations.texts == ()
    assert "no narrations" in "; ".join(listing(bare).notes)
    put(bare / "annotations" / "narration.json", {"videos": {KITCHEN: {"status": "redacted"}}})
    assert entries(bare)[KITCHEN].annotations.texts == ()
    assert f"video has no narration: {KITCHEN}" in "; ".join(listing(bare).notes)


def test_narrations_out_of_order_are_sorted_and_late_ones_told(bare: Path) -> None:
    changed = narrations()
    moments = changed["videos"][KITCHEN]["narration_pass_1"]["narrations"]
    moments.reverse()
    moments.append({"timestamp_sec": 99.0, "narration_text": "#C C leaves"})
    put(bare / "annotations" / "narration.json", changed)
    texts = entries(bare)[KITCHEN].annotations.texts
    assert [text.start_s for text in texts] == sorted(text.start_s for text in texts)
    assert "leaves" not in {text.text for text in texts}
    assert "narrations beyond its end" in "; ".join(listing(bare).notes)


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(top: dict[str, Any]) -> None:
        for key in path[:-1]:
            top = top[key]
        top[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", value="v7"), r"version 'v7'"),
        (_set("videos", value={}), r"'videos' should be list"),
        (_set("videos", 1, value=3), r"videos\[1\] needs a video_uid"),
        (_set("videos", 0, "video_uid", value="../x"), r"videos\[0\] needs a video_uid"),
        (_set("videos", 0, "duration_sec", value="long"), r"'duration_sec' should be seconds"),
        (_set("videos", 0, "scenarios", value="Cooking"), "'scenarios' should be list"),
        (_set("clips", 0, "video_uid", value="gone"), r"clips\[0\]"),
        (_set("clips", 0, "video_end_sec", value=1.0), r"clips\[0\]"),
    ],
)
def test_wrong_metadata_stops_with_the_place(
    bare: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    wrong = metadata()
    change(wrong)
    put(bare / "ego4d.json", wrong)
    with pytest.raises(ConfigError, match=message) as error:
        listing(bare)
    assert "ego4d.json" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("videos", KITCHEN, value=[]), KITCHEN),
        (_set("videos", KITCHEN, "narration_pass_1", value=[]), "narration_pass_1"),
        (_set("videos", KITCHEN, "narration_pass_1", "narrations", value={}), "narrations"),
        (
            _set(
                "videos", KITCHEN, "narration_pass_1", "narrations", 0, "timestamp_sec", value="1"
            ),
            "timestamp_sec",
        ),
    ],
)
def test_wrong_narrations_stop_with_the_place(
    bare: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    wrong = narrations()
    change(wrong)
    put(bare / "annotations" / "narration.json", wrong)
    with pytest.raises(ConfigError, match=message) as error:
        listing(bare)
    assert "narration.json" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"video_uid,s3_path\n%s,s3://b/x\n" % ABSENT.encode(), ""),
        (b"\xef\xbb\xbfexported_clip_uid,canonical_s3_location\n%s,s3://b\n" % CLIP.encode(), ""),
        (b"name,place\n", "line 1 needs one of"),
        (b"video_uid,s3_path\nno uid,x\n", "line 2"),
        (b"video_uid,s3_path\n%s\n" % ABSENT.encode(), "line 2 has 1 cells"),
        (b"video_uid,s3_path\nK\xfcche,x\n", "line 2 is not UTF-8"),
    ],
)
def test_manifests_of_both_styles_are_read_and_others_refused(
    bare: Path, data: bytes, message: str
) -> None:
    (bare / "full_scale" / "manifest.csv").write_bytes(data)
    if not message:
        assert "manifest.csv has no file there" in "; ".join(listing(bare).notes)
        return
    with pytest.raises(ConfigError, match=message):
        listing(bare)


def test_a_video_that_is_redacted_from_end_to_end_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "s" / "full_scale").mkdir(parents=True)
    changed = metadata()
    changed["videos"] = changed["videos"][:1]
    changed["videos"][0].update(duration_sec=1.0, redacted_intervals=[interval(0, 60)])
    changed["clips"] = []
    put(tmp_path / "s" / "ego4d.json", changed)
    write_video(tmp_path / "s" / "full_scale" / f"{KITCHEN}.mp4", moving(1.0), 12)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    (row,) = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert (row["status"], row["reason"]) == ("rejected", "redacted")
