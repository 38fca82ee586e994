"""LeRobot v2.0 and v2.1, and the oddities of what is passed around as LeRobot datasets."""

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
from sofdata.corpora.entry import Entry
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ActionError, ConfigError
from sofdata.ingest.verify import verify
from sofdata.shards.sample import decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from sofdata.types import ActionTrack
from tests.helpers import ingest
from tests.lerobots import (
    DATA,
    EPISODES,
    LENGTHS,
    TOP,
    WRIST,
    edit_info,
    edit_table,
    grey_episodes,
    jumping_episodes,
    put_lines,
    spoil_column,
    write_grey,
    write_jumping,
    write_v2,
)

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
LINES = "meta/episodes.jsonl"


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return write_v2(tmp_path / "grey", grey_episodes())


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of v2.1 whose picture moves by the action of each frame."""
    return write_v2(tmp_path_factory.mktemp("v2") / "jumping", jumping_episodes(2), fps=20)


def listing(root: Path) -> Listing:
    return LeRobot().listing(Tree(str(root)))


def by_id(found: Listing) -> dict[str, Entry]:
    return {entry.id: entry for entry in found.entries}


def track(root: Path, id: str) -> ActionTrack:
    found = LeRobot().demonstrations(Tree(str(root)))
    ref = by_id(found)[id].actions
    assert ref is not None
    assert found.actions is not None
    return LeRobot().read_actions(Tree(str(root)), ref, found.actions)


def members(dest: Path) -> set[str]:
    """Kinds of members in the shards of a dataset, such as 'first.jpg'."""
    kinds = set()
    for shard in sorted((dest / "shards").glob("*.tar")):
        with shard.open("rb") as stream:
            for _, _, found in read_samples(stream, shard.name):
                kinds |= set(found)
    return kinds


# v2.0 and v2.1


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "2.1"])
def test_each_camera_of_each_episode_is_a_whole_file(grey: Path, version: str) -> None:
    edit_info(grey, lambda info: info.update(codebase_version=version))
    corpus, why = find_corpus(Tree(str(grey)))
    assert (corpus.name, why) == ("lerobot", "LeRobot: meta/info.json")
    found = listing(grey)
    assert (len(found.entries), found.ignored, found.notes) == (6, {}, ())
    entry = by_id(found)[f"{WRIST}/episode-000002"]
    assert entry.uri == f"videos/chunk-001/{WRIST}/episode_000002.mp4"
    assert (entry.text, entry.span_s, entry.problem, entry.actions) == ("task 0", None, "", None)
    assert entry.labels == {"camera": WRIST, "episode": "2"}


def test_it_ingests_verifies_and_carries_its_text(jumping: Path, tmp_path: Path) -> None:
    ingest(jumping, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["source"] for row in rows} == {f"{TOP}/episode-{n:06d}" for n in (0, 1)}
    assert {row["text"] for row in rows} == {"jump about"}


def test_its_actions_stand_on_the_clock_of_its_own_video(grey: Path) -> None:
    found = track(grey, f"{TOP}/episode-000001")
    count = np.arange(12)
    np.testing.assert_array_equal(found.values, np.stack([10 + count, -count], axis=1))
    np.testing.assert_allclose(found.times_s, count / 10, atol=1e-6)


def test_the_actions_of_a_window_are_what_moved_its_picture(jumping: Path, tmp_path: Path) -> None:
    ingest(jumping, tmp_path / "d", "with_actions=true")
    assert verify(Tree(str(tmp_path / "d"))).whole
    checked = 0
    for shard in sorted((tmp_path / "d" / "shards").glob("*.tar")):
        with shard.open("rb") as stream:
            for key, _, found in read_samples(stream, shard.name):
                sample = decode_sample(key, found)
                assert sample.actions is not None
                scale = sample.record.video_size[0] / sample.flow.shape[1]
                moved = np.median(sample.flow[:, 8:-8, 8:-8], axis=(1, 2)).sum(0) * scale
                np.testing.assert_allclose(moved, sample.actions.sum(0), atol=1.5)
                checked += 1
    assert checked > 4


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ({"tasks": ["open it", "look in"]}, "open it; look in"),
        ({"tasks": "open it"}, "open it"),
        ({"tasks": [1]}, "task 1"),
        ({"task": "open it"}, "open it"),
        ({}, ""),
    ],
)
def test_tasks_are_text_however_they_are_given(
    grey: Path, tasks: dict[str, Any], text: str
) -> None:
    put_lines(grey / LINES, [{"episode_index": 0, "length": 7, **tasks}])
    assert by_id(listing(grey))[f"{TOP}/episode-000000"].text == text


@pytest.mark.parametrize("info", [["h264"], "h264", 3, {"is_depth_map": False}])
def test_whatever_is_said_of_a_camera_it_is_read_unless_it_shows_depth(
    grey: Path, info: object
) -> None:
    edit_info(grey, lambda values: values["features"][TOP].update(info=info))
    assert len(listing(grey).entries) == 6
    edit_info(grey, lambda values: values["features"][TOP].update(info={"is_depth_map": True}))
    assert len(listing(grey).entries) == 3


def test_a_template_may_leave_out_the_chunk(grey: Path) -> None:
    place = grey / "videos" / "chunk-000"
    for camera in (TOP, WRIST):
        shutil.copytree(grey / "videos" / "chunk-001" / camera, place / camera, dirs_exist_ok=True)
        shutil.move(place / camera, grey / "videos" / camera)
    shutil.rmtree(grey / "videos" / "chunk-001")
    path = "videos/{video_key}/episode_{episode_index:06d}.mp4"
    edit_info(grey, lambda info: info.update(video_path=path))
    assert [entry.problem for entry in listing(grey).entries] == [""] * 6


# Oddities of all versions


def test_a_folder_video_is_found_where_the_template_says_videos(tmp_path: Path) -> None:
    old = write_v2(tmp_path / "old", grey_episodes(), videos="video")
    new = write_grey(tmp_path / "new")
    (new / "videos").rename(new / "video")
    for root in (old, new):
        found = listing(root)
        assert {entry.problem for entry in found.entries} == {""}
        assert all(entry.uri.startswith("video/") for entry in found.entries)
        assert found.notes == ()


def test_files_that_end_early_give_what_they_have(tmp_path: Path) -> None:
    """An MP4 with a frame less than there are rows: windows end with it, and keep their actions."""
    root = write_v2(tmp_path / "s", jumping_episodes(1), fps=20, short=1)
    ingest(root, tmp_path / "d", "with_actions=true")
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert rows
    assert max(row["end_s"] for row in rows) < 39 / 20
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in videos] == ["done"]


def test_the_last_episode_of_a_shared_file_may_lack_a_frame(tmp_path: Path) -> None:
    root = write_jumping(tmp_path / "s", episodes=2)
    longer = {f"videos/{TOP}/to_timestamp": (40 + 41 + 1) / 20, "length": 42}
    edit_table(root, EPISODES, lambda rows: rows[1].update(longer))
    ingest(root, tmp_path / "d", *SETTINGS)
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in videos] == ["done", "done"]


def test_actions_and_state_are_known_by_their_other_names(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "s", grey_episodes(), action="actions", state="state")
    count = np.arange(7)
    found = track(root, f"{TOP}/episode-000000")
    np.testing.assert_array_equal(found.values, np.stack([count, -count], axis=1))
    (root / "data" / "chunk-000" / "episode_000000.parquet").unlink()
    problems = {e.id: e.problem for e in LeRobot().demonstrations(Tree(str(root))).entries}
    assert problems[f"{TOP}/episode-000000"] == "no_actions_file"
    assert problems[f"{TOP}/episode-000001"] == ""


def test_what_is_said_of_codecs_is_not_believed(jumping: Path, tmp_path: Path) -> None:
    """The fixture says av1 and holds H.264."""
    said = json.loads((jumping / "meta/info.json").read_text())["features"][TOP]["info"]
    assert said["video.codec"] == "av1"
    ingest(jumping, tmp_path / "d", *SETTINGS)
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["status"] for row in videos} == {"done"}


# No byte of the actions


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_no_byte_of_the_actions_is_read_or_stored_unless_they_are_asked_for(
    tmp_path: Path, version: str
) -> None:
    """What is stored of them is made unreadable, and the dataset is that of an untouched source."""
    root = tmp_path / "s"
    if version == "v3.0":
        write_jumping(root, episodes=2)
    else:
        write_v2(root, jumping_episodes(2), fps=20)
    ingest(root, tmp_path / "before", *SETTINGS)
    for path in root.glob("data/*/*.parquet"):
        spoil_column(path, "action")
        with pytest.raises(OSError, match=r"."):
            pq.read_table(path, columns=["action"])
    for statistics in ("episodes_stats.jsonl", "stats.json"):
        if (root / "meta" / statistics).exists():
            (root / "meta" / statistics).write_bytes(b"\xff")
    ingest(root, tmp_path / "after", *SETTINGS)
    assert verify(Tree(str(tmp_path / "after"))).whole
    assert not any("action" in kind for kind in members(tmp_path / "after"))
    names = ("index.parquet", "plan.parquet", "dataset.json")
    for name in names:
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    with pytest.raises(ActionError, match="no readable Parquet"):
        track(root, f"{TOP}/episode-000000")
    for path in root.glob("data/*/*.parquet"):  # and no byte of any other column, either
        path.unlink()
    ingest(root, tmp_path / "without", *SETTINGS)
    assert (tmp_path / "without" / "index.parquet").read_bytes() == (
        tmp_path / "before" / "index.parquet"
    ).read_bytes()


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1].update(length="12"), r"episodes\.jsonl.*line 2: 'length' is '12'"),
        (lambda rows: rows[0].pop("length"), r"line 1: 'length' is None"),
        (lambda rows: rows[2].update(episode_index=True), r"line 3: 'episode_index' is True"),
        (lambda rows: rows[0].update(episode_index=-1), r"line 1: 'episode_index' is -1"),
        (lambda rows: rows[0].update(tasks=[None]), r"line 1: 'tasks' holds None"),
        (lambda rows: rows[0].update(tasks=[9]), r"line 1: task 9 is not in meta/tasks\.jsonl"),
        (lambda rows: rows.clear(), "its table of episodes is empty"),
    ],
)
def test_a_row_that_is_wrong_is_named(
    grey: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    rows = [json.loads(line) for line in (grey / LINES).read_text().splitlines()]
    change(rows)
    put_lines(grey / LINES, rows)
    with pytest.raises(ConfigError, match=message):
        listing(grey)


def test_an_episode_that_comes_twice_counts_once_and_is_a_reject(tmp_path: Path) -> None:
    old = write_v2(tmp_path / "old", grey_episodes())
    lines = (old / LINES).read_text().splitlines(keepends=True)
    (old / LINES).write_text("".join([*lines, lines[0]]))
    new = write_grey(tmp_path / "new")
    edit_table(new, EPISODES, lambda rows: rows.append(dict(rows[0])))
    for root, place in ((old, f"{LINES}, line 4"), (new, f"{EPISODES}, row 4")):
        found = [entry for entry in listing(root).entries if entry.problem]
        assert [entry.problem for entry in found] == ["duplicate_id"] * 2
        assert all(place in entry.detail for entry in found)


def test_missing_and_extra_files_are_told(grey: Path) -> None:
    folder = grey / "videos" / "chunk-000" / TOP
    (folder / "episode_000000.mp4").rename(folder / "episode_000077.mp4")
    found = listing(grey)
    problems = {entry.id: entry.problem for entry in found.entries if entry.problem}
    assert problems == {f"{TOP}/episode-000000": "no_file"}
    assert f"{LINES}, line 1" in by_id(found)[f"{TOP}/episode-000000"].detail
    assert "1 x video belongs to no episode" in " ".join(found.notes)


def test_a_byte_order_mark_is_read_and_another_encoding_is_refused(grey: Path) -> None:
    data = (grey / LINES).read_bytes()
    (grey / LINES).write_bytes(b"\xef\xbb\xbf" + data)
    assert len(listing(grey).entries) == 6
    (grey / LINES).write_bytes(data.replace(b"task 1", b"t\xe2che"))
    with pytest.raises(ConfigError, match=r"episodes\.jsonl.*line 2 is not UTF-8 \(byte 0xe2\)"):
        listing(grey)
    (grey / LINES).write_bytes(data + b'{"episode_index": 3,\n')
    with pytest.raises(ConfigError, match=r"episodes\.jsonl.*line 4 is no JSON"):
        listing(grey)


def test_metadata_of_another_version_is_named(tmp_path: Path) -> None:
    old = write_v2(tmp_path / "old", grey_episodes())
    new = write_grey(tmp_path / "new")
    keys = ("codebase_version", "data_path", "video_path")
    infos = [json.loads((root / "meta/info.json").read_text()) for root in (old, new)]
    for root, info, other in ((old, *infos), (new, *reversed(infos))):
        (root / "meta/info.json").write_text(json.dumps(info | {key: other[key] for key in keys}))
    with pytest.raises(ConfigError, match=r"no episode is listed in .*jsonl is there, as in v2\.1"):
        listing(old)
    with pytest.raises(ConfigError, match=r"it is of v2\.1, and .*episodes is there, as in v3\.0"):
        listing(new)


def test_times_that_do_not_increase_are_named(grey: Path) -> None:
    rel = "data/chunk-000/episode_000000.parquet"
    edit_table(grey, rel, lambda rows: rows[3].update(timestamp=0.0))
    with pytest.raises(ActionError, match=r"episode 0 in data/.*timestamps do not increase"):
        track(grey, f"{TOP}/episode-000000")
    edit_table(grey, rel, lambda rows: rows.pop())
    with pytest.raises(ActionError, match=rf"episode 0 .*6 rows, .*tells of {LENGTHS[0]}"):
        track(grey, f"{TOP}/episode-000000")


def test_a_span_outside_the_file_costs_its_episode_only(tmp_path: Path) -> None:
    root = write_jumping(tmp_path / "s", episodes=2)
    outside = {f"videos/{TOP}/from_timestamp": 90.0, f"videos/{TOP}/to_timestamp": 92.0}
    edit_table(root, EPISODES, lambda rows: rows[1].update(outside))
    ingest(root, tmp_path / "d", *SETTINGS)
    videos = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in videos] == ["done", "rejected"]
    assert "no frame is shown between 89.975 s and 91.975 s" in videos[1]["detail"]
    assert (root / DATA).exists()
