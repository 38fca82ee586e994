"""AgiBot World: cameras of episodes, unpacked or in tars, with texts and actions of frames."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.agibot.corpus import NO_EPISODE, AgiBotWorld
from sofdata.corpora.agibot.files import AGAIN, DEPTH, DEPTH_VIDEO, EMPTY, OTHER_VIDEO, PARAMETERS
from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.sequences import looking
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from tests.agibots import (
    CAMERAS,
    EPISODES,
    FIRST,
    FPS,
    ONE,
    OTHER_TASK,
    ROWS,
    START_NS,
    TASK,
    THREE,
    TWO,
    actions,
    episode,
    pack,
    pack_folder,
    proprio,
    put,
    put_bytes,
    steps,
    task_info,
    write_agibot,
)
from tests.helpers import hashes, ingest
from tests.lerobots import write_grey
from tests.sequences import samples, wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
HEAD = f"{TASK}/{ONE}/head"
TAR = f"observations/{TASK}/648544-648649.tar"


@pytest.fixture(autouse=True)
def one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests list a few files: one process for them is enough."""
    monkeypatch.setattr(looking, "READERS", 1)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return write_agibot(tmp_path / "s", videos=False)


def listing(root: Path, with_state: bool | None = None) -> Listing:
    """with_state: None for the videos alone."""
    tree, corpus = Tree(str(root)), AgiBotWorld()
    return corpus.listing(tree) if with_state is None else corpus.demonstrations(tree, with_state)


def entries(root: Path, with_state: bool | None = None) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root, with_state).entries}


def files(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


def firsts(numbers: tuple[str, ...] = tuple(EPISODES)) -> dict[str, int]:
    return {
        f"{EPISODES[number]}/{number}/{camera}": FIRST[camera]
        for number in numbers
        for camera in CAMERAS
    }


def wrong_actions(dest: Path) -> list[str]:
    """Windows whose actions are not those of their frames."""
    found = []
    times_s, wanted = np.arange(ROWS) / FPS, actions()
    for sample in samples(dest):
        start_s, end_s = sample.record.start_s - 1e-6, sample.record.end_s - 1e-6
        inside = (times_s >= start_s) & (times_s < end_s)
        joints = None if sample.actions is None else sample.actions[:, 18:32]
        if joints is None or not np.allclose(joints, wanted[inside], atol=1e-5):
            found.append(sample.record.key)
    return found


def test_episodes_are_ingested_with_texts_and_actions_of_their_frames(tmp_path: Path) -> None:
    ingest(write_agibot(tmp_path / "s"), tmp_path / "d", *SETTINGS, "with_actions=true")
    assert verify(Tree(str(tmp_path / "d"))).whole
    assert not wrong_frames(tmp_path / "d", FPS, firsts())
    assert not wrong_actions(tmp_path / "d")
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["source"] for row in rows} == set(firsts())
    for row in rows:
        if row["source"] == HEAD and row["end_s"] <= 1.0:
            assert row["text"] == "Retrieve cucumber from the shelf."
        if row["source"] == HEAD and row["start_s"] >= 1.0 and row["end_s"] <= 1.8:
            assert row["text"] == "Place it into the bag."
        if row["source"].startswith(OTHER_TASK):
            assert row["text"] == ""


def test_tars_are_read_as_they_are_downloaded(tmp_path: Path) -> None:
    """In this process, isolated, and from a store; the same windows as unpacked."""
    plain = write_agibot(tmp_path / "s", episodes=(ONE, THREE))
    ingest(plain, tmp_path / "plain", *SETTINGS, "with_actions=true")
    root = pack(plain)
    assert find_corpus(Tree(str(root)))[0].name == "agibot"
    ingest(root, tmp_path / "packed", *SETTINGS, "with_actions=true", "run.isolate=true")
    assert not wrong_frames(tmp_path / "packed", FPS, firsts((ONE, THREE)))
    assert not wrong_actions(tmp_path / "packed")
    both = [pq.read_table(tmp_path / name / "index.parquet") for name in ("plain", "packed")]
    columns = [each.select(["source", "start_s", "end_s", "text"]).to_pylist() for each in both]
    assert sorted(map(str, columns[0])) == sorted(map(str, columns[1]))
    files = fsspec.filesystem("memory")
    files.put(f"{root}/", "/agibot/", recursive=True)
    try:
        ingest("memory://agibot", tmp_path / "away", *SETTINGS, "with_actions=true")
    finally:
        files.rm("/agibot", recursive=True)
    assert hashes(tmp_path / "packed") == hashes(tmp_path / "away")


def test_it_is_recognised_and_its_neighbours_are_not(bare: Path, tmp_path: Path) -> None:
    corpus, why = find_corpus(Tree(str(bare)))
    assert corpus.name == "agibot"
    assert f"observations/{TASK}" in why
    write_agibot(tmp_path / "t" / "sample_dataset", videos=False, episodes=(ONE,))
    assert find_corpus(Tree(str(tmp_path / "t")))[0].name == "agibot"
    assert set(entries(tmp_path / "t")) == set(firsts((ONE,)))
    converted = Tree(str(write_grey(tmp_path / "l" / "agibotworld" / "task_327")))
    assert find_corpus(converted)[0].name == "lerobot"
    assert not AgiBotWorld().detect(converted)
    assert not AgiBotWorld().detect(Tree(str(tmp_path / "l" / "agibotworld")))
    put_bytes(tmp_path / "o" / "observations" / "kitchen" / "a.mp4")
    (tmp_path / "o" / "task_info").mkdir()
    assert not AgiBotWorld().detect(Tree(str(tmp_path / "o")))
    assert not AgiBotWorld().detect(
        Tree(str(tmp_path / "o" / "observations" / "kitchen" / "a.mp4"))
    )


def test_every_file_is_in_the_account(bare: Path) -> None:
    videos = bare / "observations" / TASK / ONE / "videos"
    put_bytes(videos / "head_depth.mp4")
    put_bytes(videos.parent / "extra.mp4")
    put_bytes(bare / "README.md")
    found = listing(bare)
    assert files(bare) == len(found.entries) + sum(found.ignored.values()) + len(found.tables)
    counted = found.ignored
    assert counted[DEPTH] == counted[PARAMETERS] == 3
    assert counted[DEPTH_VIDEO] == counted[OTHER_VIDEO] == 1
    assert found.unused == {NO_EPISODE: 1}
    assert any(f"{OTHER_TASK}/{THREE}" in note for note in found.notes)


def test_what_is_in_a_tar_is_counted_apart(bare: Path) -> None:
    root = pack(bare)
    found = listing(root)
    assert set(firsts()) == {entry.id for entry in found.entries}
    inside = sum(number for why, number in found.ignored.items() if why.endswith("in a tar"))
    tars = {parse(entry.uri).file for entry in found.entries}
    assert files(root) == len(tars | {*found.tables}) + sum(found.ignored.values()) - inside
    assert found.ignored[".png in a tar"] == 3


def test_of_a_video_and_the_tar_that_it_came_in_the_video_is_used(tmp_path: Path) -> None:
    root = write_agibot(tmp_path / "s", videos=False, episodes=(ONE,))
    pack(root)
    write_agibot(root, videos=False, episodes=(ONE,))
    found = listing(root)
    assert {parse(entry.uri).part for entry in found.entries} == {None}
    assert found.ignored[f"{AGAIN}, in a tar"] == 3
    assert found.ignored["tar of what is here already"] == 1
    assert not any(entry.problem for entry in found.entries)


def test_a_tar_that_is_cut_off_gives_what_is_before_the_cut(bare: Path) -> None:
    path = pack(bare) / TAR
    data = path.read_bytes()
    path.write_bytes(data[:1536])
    found = listing(bare)
    mine = [entry for entry in found.entries if entry.uri.startswith(TAR)]
    assert mine
    assert any("may be cut off" in note for note in found.notes)
    for rubbish in (b"", b"rubbish" * 200):
        path.write_bytes(rubbish)
        by_id = {entry.id: entry.problem for entry in listing(bare).entries}
        assert by_id.get(TAR, "bad_archive") == "bad_archive"
        assert f"{OTHER_TASK}/{THREE}/head" in by_id


def test_a_tar_with_hostile_headers_or_names_costs_itself(bare: Path) -> None:
    path = pack(bare) / TAR
    first, bad = (tarfile.TarInfo(f"{number}/videos/head_color.mp4") for number in (ONE, "5"))
    header = bytearray(bad.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + (-512 % (1 << 88)).to_bytes(11, "big")  # back to itself
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(first.tobuf(tarfile.GNU_FORMAT) + bytes(header) + bytes(1024))
    found = listing(bare)
    assert [entry.id for entry in found.entries if entry.uri.startswith(TAR)] == [HEAD]
    assert any("may be cut off" in note for note in found.notes)
    odd = tarfile.TarInfo(f"{ONE}/videos/h\udce9ad_color.mp4")
    path.write_bytes(odd.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape") + bytes(1024))
    ids = [entry.id for entry in listing(bare).entries if entry.uri.startswith(TAR)]
    assert ids == [HEAD.replace("head", "h?ad")]


def test_a_tar_without_videos_is_counted(bare: Path) -> None:
    root = pack(bare)
    for path in (root / "observations" / TASK).iterdir():
        path.unlink()
    put_bytes(root / "observations" / TASK / "a.png")
    pack_folder(root / TAR, root / "observations" / TASK)
    assert listing(root).ignored[EMPTY] == 1


def test_cameras_of_an_episode_are_one_recording(bare: Path) -> None:
    found = entries(bare)
    assert found[HEAD].labels["camera"] == "head"
    assert found[HEAD].labels["skills"] == "Pick, Place"
    assert found[HEAD].labels["scene"] == "The robot is in front of the fruit stand."
    assert found[HEAD].text == "Pickup items in the supermarket"
    mine = {recording_of("agibot", found[f"{TASK}/{ONE}/{name}"].labels) for name in CAMERAS}
    assert len(mine) == 1
    assert recording_of("agibot", found[f"{TASK}/{TWO}/head"].labels) not in mine


def test_states_follow_where_they_are_asked_for(bare: Path) -> None:
    found = listing(bare, with_state=True)
    assert found.actions is not None
    names = found.actions.names
    assert names[:2] == ("effector.position_0", "effector.position_1")
    assert names[36] == "observation.state.effector.position_0"
    assert names[-1] == "observation.state.joint.position_13"
    entry = {each.id: each for each in found.entries}[HEAD]
    assert entry.actions is not None
    track = AgiBotWorld().read_actions(Tree(str(bare)), entry.actions, found.actions)
    assert track.values.shape == (ROWS, 60)
    np.testing.assert_array_equal(track.values[3, 36:38], [5, 5])
    np.testing.assert_allclose(track.times_s, np.arange(ROWS) / FPS, atol=1e-6)


def _stats(root: Path, number: str = ONE) -> Path:
    return root / "proprio_stats" / EPISODES[number] / number / "proprio_stats.h5"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"timestamp": None}, "no_actions_file"),
        ({"timestamp": np.zeros(ROWS, np.int64)}, "no_actions_file"),
        ({"timestamp": np.array([b"a"] * ROWS)}, "no_actions_file"),
        ({"timestamp": START_NS + np.arange(ROWS) * 100_000_000}, "other_rate"),
        ({"action/end/position": np.zeros((ROWS - 3, 2, 3))}, "other_actions"),
        ({"action/effector/position": np.zeros((ROWS, 12))}, "other_actions"),
    ],
)
def test_rows_that_do_not_fit_are_rejects_of_their_episode(
    bare: Path, more: dict[str, Any], problem: str
) -> None:
    proprio(_stats(bare), **more)
    found = entries(bare, with_state=False)
    assert {found[f"{TASK}/{ONE}/{name}"].problem for name in CAMERAS} == {problem}
    assert not found[f"{TASK}/{TWO}/head"].problem
    assert not entries(bare)[HEAD].problem  # without its actions it can be used


def test_missing_and_broken_rows_are_rejects_of_their_episode(bare: Path) -> None:
    data = _stats(bare).read_bytes()
    _stats(bare).write_bytes(data[: len(data) // 2])
    _stats(bare, TWO).unlink()
    found = entries(bare, with_state=False)
    assert found[HEAD].problem == found[f"{TASK}/{TWO}/head"].problem == "no_actions_file"
    assert "there is no proprio_stats.h5" in found[f"{TASK}/{TWO}/head"].detail
    assert found[f"{OTHER_TASK}/{THREE}/head"].actions is not None
    _stats(bare, THREE).unlink()
    with pytest.raises(ConfigError, match=r"action/effector/position.*leave out --with-actions"):
        listing(bare, with_state=False)


def test_timestamps_that_depart_from_the_rate_are_told(bare: Path) -> None:
    times = START_NS + np.arange(ROWS) * 33_333_333
    times[30:] += 40_000_000
    proprio(_stats(bare), timestamp=times)
    found = listing(bare, with_state=False)
    assert not any(entry.problem for entry in found.entries)
    assert any(f"{ONE} (0.04 s)" in note for note in found.notes)


def test_texts_beyond_the_rows_are_told(bare: Path) -> None:
    records = task_info()
    records[0]["label_info"]["action_config"] = steps((0, ROWS + 40, "Wait.", "Wait"))
    put(bare / "task_info" / f"task_{TASK}.json", records)
    assert any("beyond its rows" in note for note in listing(bare, with_state=False).notes)


def test_an_action_without_length_says_nothing(bare: Path) -> None:
    records = task_info()
    config = steps((5, 5, "Blink.", "Blink"), (9, 3, "Turn.", "Turn"), (0, 9, " ", "Pick"))
    records[0]["label_info"]["action_config"] = config
    records[1]["label_info"] = None
    put(bare / "task_info" / f"task_{TASK}.json", records)
    found = entries(bare)
    assert not found[HEAD].annotations.texts
    assert not found[f"{TASK}/{TWO}/head"].annotations.texts


def _twice(records: list[Any]) -> None:
    records.append(records[0])


def _no_number(records: list[Any]) -> None:
    del records[0]["episode_id"]


def _text_as_frame(records: list[Any]) -> None:
    records[0]["label_info"]["action_config"][0]["start_frame"] = "0"


def _no_list(records: list[Any]) -> None:
    records[0]["label_info"]["action_config"] = "none"


def _no_object(records: list[Any]) -> None:
    records[0] = 7


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_twice, "is there twice"),
        (_no_number, "needs an 'episode_id'"),
        (_text_as_frame, "needs 'start_frame'"),
        (_no_list, "'action_config' should be a list"),
        (_no_object, "should be an object"),
    ],
)
def test_a_malformed_task_is_named(
    bare: Path, spoil: Callable[[list[Any]], None], message: str
) -> None:
    records = task_info()
    spoil(records)
    put(bare / "task_info" / f"task_{TASK}.json", records)
    with pytest.raises(ConfigError, match=message):
        listing(bare)


def test_an_episode_of_another_task_is_not_this_one(bare: Path) -> None:
    other = episode(ONE, steps((0, 9, "Fold.", "Fold")))
    put(bare / "task_info" / f"task_{OTHER_TASK}.json", [other])
    assert entries(bare)[HEAD].annotations.texts[0].text == "Retrieve cucumber from the shelf."


def test_a_folder_without_videos_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match="no video of AgiBot World: looked for observations"):
        listing(tmp_path / "a")
