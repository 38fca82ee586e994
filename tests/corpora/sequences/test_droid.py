"""DROID as it was recorded: cameras with the times of the robot's steps, and its actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.droid.corpus import NO_VIDEO, STEREO, Droid
from sofdata.corpora.droid.episodes import FUSED, OTHER_VIDEO, SVO, read_stamps
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.sequences import looking
from sofdata.errors import ActionError, ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse, without_sequence
from sofdata.storage.walk import Item
from tests.conformance.barcode import read
from tests.droids import (
    FAILURE,
    FIRST,
    LEFT,
    RIGHT,
    SAID,
    START_MS,
    STEPS,
    SUCCESS,
    UUIDS,
    WRIST,
    actions,
    metadata,
    put,
    put_bytes,
    received_ms,
    steps_ms,
    write_droid,
    write_episode,
    write_film,
    write_trajectory,
)
from tests.helpers import hashes, ingest
from tests.lerobots import write_grey
from tests.sequences import samples

SETTINGS = ("windows.length=4", "flow.step_s=0.07", "flow.size=96")
ONE = UUIDS[SUCCESS]


@pytest.fixture(autouse=True)
def one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests list a few files: one process for them is enough."""
    monkeypatch.setattr(looking, "READERS", 1)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return write_droid(tmp_path / "s", videos=False)


def listing(root: Path, with_state: bool | None = None) -> Listing:
    """with_state: None for the videos alone."""
    tree = Tree(str(root))
    return Droid().listing(tree) if with_state is None else Droid().demonstrations(tree, with_state)


def entries(root: Path, with_state: bool | None = None) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root, with_state).entries}


def files(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


def wrong(dest: Path, shift_ms: int = 0) -> list[str]:
    """Ends of windows whose frame is not the one of the step of that time."""
    found = []
    times_s = (steps_ms() + shift_ms) / 1000
    for sample in samples(dest):
        record = sample.record
        first = FIRST[record.source.rpartition("/")[2]]
        ends = zip((sample.first, sample.last), (record.pts_s[0], record.pts_s[-1]), strict=True)
        for rgb, time_s in ends:
            reading = read(rgb)
            step = -1 if reading.number is None else reading.number - first
            if reading.held != "upright" or abs(times_s[step] - time_s) > 1e-6:
                found.append(f"{record.key} at {time_s}: {reading}")
    return found


@pytest.mark.parametrize("isolate", ["run.isolate=false", "run.isolate=true"])
def test_each_frame_has_the_time_of_its_step(tmp_path: Path, isolate: str) -> None:
    """The MP4 says 60 frames a second; the robot took about 15 steps, unevenly."""
    ingest(write_droid(tmp_path / "s"), tmp_path / "d", *SETTINGS, isolate)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["source"] for row in rows} == {
        f"{uuid}/{serial}" for uuid in UUIDS.values() for serial in FIRST
    }
    assert not wrong(tmp_path / "d")
    assert {row["text"] for row in rows if ONE in row["source"]} == {SAID[0]}
    last_s = max(row["end_s"] for row in rows)
    assert last_s == pytest.approx(steps_ms()[-1] / 1000, abs=0.3)


def test_actions_are_those_of_the_steps_between_the_frames(tmp_path: Path) -> None:
    ingest(write_droid(tmp_path / "s"), tmp_path / "d", *SETTINGS, "with_actions=true")
    checked = 0
    times_s, wanted = steps_ms() / 1000, actions()
    for sample in samples(tmp_path / "d"):
        assert sample.actions is not None
        inside = (times_s >= sample.record.start_s) & (times_s < sample.record.end_s)
        np.testing.assert_allclose(sample.actions[:, -7:], wanted[inside], atol=1e-6)
        checked += 1
    assert checked > 10


def test_states_follow_where_they_are_asked_for(bare: Path) -> None:
    found = listing(bare, with_state=True)
    assert found.actions is not None
    names = found.actions.names
    assert names[0] == "cartesian_position_0"
    assert names[12] == "gripper_position"
    assert names[28] == "observation.state.cartesian_position_0"
    assert names[-1] == "observation.state.joint_positions_6"
    entry = found.entries[0]
    assert entry.actions is not None
    track = Droid().read_actions(Tree(str(bare)), entry.actions, found.actions)
    assert track.values.shape == (STEPS, 42)
    np.testing.assert_array_equal(track.values[5, 28:], [2] * 6 + [3] + [4] * 7)
    plain = listing(bare, with_state=False)
    assert plain.actions is not None
    assert plain.actions.names == names[:28]


def test_it_is_recognised_from_any_folder_of_it(tmp_path: Path) -> None:
    root = write_droid(tmp_path / "s" / "droid_raw" / "1.0.1", videos=False)
    places = [tmp_path / "s", root, root / "AUTOLab", root / "AUTOLab" / "success", root / SUCCESS]
    for place in places:
        corpus, why = find_corpus(Tree(str(place)))
        assert corpus.name == "droid", place
        assert "trajectory.h5" in why
    ids = [{entry.id for entry in listing(place).entries} for place in places]
    assert ids[0] == ids[1] == ids[2]
    assert ids[3] == ids[4] == {f"{ONE}/{serial}" for serial in FIRST}


def test_neighbours_are_not_taken_for_it(tmp_path: Path) -> None:
    converted = Tree(str(write_grey(tmp_path / "l" / "droid_1.0.1")))
    assert find_corpus(converted)[0].name == "lerobot"
    assert not Droid().detect(converted)
    assert not Droid().detect(Tree(str(tmp_path / "l")))
    put_bytes(tmp_path / "v" / "success" / "a.mp4")
    put_bytes(tmp_path / "v" / "success" / "trajectory.h5")
    assert not Droid().detect(Tree(str(tmp_path / "v")))
    assert not Droid().detect(Tree(str(tmp_path / "v" / "success" / "a.mp4")))


def test_every_file_is_in_the_account(bare: Path) -> None:
    for rel in ("recordings/MP4/fused.mp4", "recordings/other.mp4", "trajectory_im128.h5"):
        put_bytes(bare / SUCCESS / rel)
    put_bytes(bare / "readme.txt")
    put(bare / "AUTOLab" / "empty" / "metadata_x.json", metadata(SUCCESS))
    found = listing(bare)
    assert files(bare) == len(found.entries) + sum(found.ignored.values()) + len(found.tables)
    assert found.ignored[STEREO] == found.ignored[SVO] == 6
    assert found.ignored[FUSED] == found.ignored[OTHER_VIDEO] == 1
    assert found.unused == {NO_VIDEO: 1}


def test_cameras_of_an_episode_are_one_recording(bare: Path) -> None:
    found = entries(bare)
    one = found[f"{ONE}/{WRIST}"]
    assert one.labels["camera"] == "wrist"
    assert one.labels["outcome"] == "success"
    assert one.labels["lab"] == "AUTOLab"
    assert one.labels["instruction_2"] == SAID[1]
    recordings = {recording_of("droid", found[f"{ONE}/{serial}"].labels) for serial in FIRST}
    assert len(recordings) == 1
    other = found[f"{UUIDS[FAILURE]}/{LEFT}"]
    assert recording_of("droid", other.labels) not in recordings
    assert other.labels["outcome"] == "failure"
    assert other.text == other.labels["task"] == "Do anything you like that takes multiple steps"


def test_without_the_left_view_the_left_half_of_both_is_used(tmp_path: Path) -> None:
    folder = write_episode(tmp_path / "s", SUCCESS) / "recordings" / "MP4"
    (folder / f"{LEFT}.mp4").unlink()
    write_film(folder / f"{LEFT}-stereo.mp4", FIRST[LEFT], STEPS, stereo=True)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert f"{ONE}/{LEFT}" in {row["source"] for row in rows}
    assert not wrong(tmp_path / "d")


def test_a_camera_that_only_its_makers_software_reads_is_a_reject(bare: Path) -> None:
    for name in (f"{RIGHT}.mp4", f"{RIGHT}-stereo.mp4"):
        (bare / SUCCESS / "recordings" / "MP4" / name).unlink()
    found = entries(bare)[f"{ONE}/{RIGHT}"]
    assert found.problem == "unsupported"
    assert "convert it to MP4" in found.detail
    assert found.uri.endswith(".svo") or ".svo" in parse(found.uri).file


@pytest.mark.parametrize(("frames", "said"), [(STEPS - 1, "39 frames"), (STEPS + 3, "43 frames")])
def test_a_video_of_another_length_than_the_trajectory_is_told(
    tmp_path: Path, frames: int, said: str
) -> None:
    write_episode(tmp_path / "s", SUCCESS, frames=frames)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    assert not wrong(tmp_path / "d")
    tables = [pq.read_table(path).to_pylist() for path in (tmp_path / "d").glob("*.parquet")]
    assert any(said in str(row) and "times of 40" in str(row) for rows in tables for row in rows)


def test_times_of_frames_beside_a_video_come_first(tmp_path: Path) -> None:
    """They are on the clock of the trajectory, so that actions stay with their frames."""
    root = write_episode(tmp_path / "s", SUCCESS)
    stamps = (received_ms(WRIST)[1:] + 10).tolist()  # the first step has no frame
    put(root / "recordings" / "MP4" / f"{WRIST}_timestamps.json", stamps)
    write_film(root / "recordings" / "MP4" / f"{WRIST}.mp4", FIRST[WRIST] + 1, STEPS - 1)
    found = listing(tmp_path / "s", with_state=False)
    entry = found.entries[0]
    assert entry.id == f"{ONE}/{WRIST}"
    assert entry.actions is not None
    assert found.actions is not None
    track = Droid().read_actions(Tree(str(tmp_path / "s")), entry.actions, found.actions)
    np.testing.assert_allclose(track.times_s, (received_ms(WRIST) - stamps[0]) / 1000)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    own = [text for text in wrong(tmp_path / "d", -int(steps_ms()[1])) if WRIST in text]
    assert not own


def test_actions_on_another_clock_than_the_frames_are_no_actions(tmp_path: Path) -> None:
    """As where a camera counts from when it was switched on."""
    root = write_episode(tmp_path / "s", SUCCESS, videos=False)
    put(root / f"recordings/MP4/{WRIST}_timestamps.json", steps_ms().tolist())
    by_id = entries(tmp_path / "s", with_state=False)
    assert by_id[f"{ONE}/{WRIST}"].problem == "other_clock"
    assert "their clocks are not one" in by_id[f"{ONE}/{WRIST}"].detail
    assert not by_id[f"{ONE}/{LEFT}"].problem
    assert not entries(tmp_path / "s")[f"{ONE}/{WRIST}"].problem  # as a video it is right


def test_actions_that_cannot_be_read_are_told(bare: Path) -> None:
    """Compressed by a plugin of HDF5, say: they are not left out as if they were not there."""
    import h5py

    with h5py.File(bare / SUCCESS / "trajectory.h5", "a") as file:
        del file["action/joint_velocity"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((STEPS, 7))
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((STEPS, 7))
        name = b"action/joint_velocity"
        h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F64LE, space, plist)
    found = entries(bare, with_state=False)[f"{ONE}/{WRIST}"]
    assert found.problem == "no_actions_file"
    assert "Blosc" in found.detail


def test_stamps_that_make_no_sense_are_not_heeded(tmp_path: Path) -> None:
    in_ns = [10**6 * (START_MS + at) for at in (0, 66, 132)]
    for value in ({"a": 1}, [3, 2, 1], ["x"], [True, 2], [], [1, 10**30], in_ns, [0, 66_000]):
        put(tmp_path / "1_timestamps.json", value)
        assert read_stamps(Tree(str(tmp_path)), Item("1_timestamps.json", 9)) == []


def test_without_a_trajectory_the_rate_has_to_be_given(tmp_path: Path) -> None:
    root = write_droid(tmp_path / "s")
    (root / FAILURE / "trajectory.h5").unlink()
    found = entries(root)[f"{UUIDS[FAILURE]}/{LEFT}"]
    assert found.problem == "no_times"
    assert "there is no trajectory.h5" in found.detail
    assert "sequences.fps=15" in found.detail
    configured = Droid().configured(SequenceConfig(fps=15))
    by_id = {entry.id: entry for entry in configured.listing(Tree(str(root))).entries}
    assert parse(by_id[found.id].uri).sequence == "film:?fps=15.0"
    assert "times=" in parse(by_id[f"{ONE}/{LEFT}"].uri).sequence  # which states its times
    ingest(root, tmp_path / "d", *SETTINGS, "sequences.fps=15", "with_actions=true")
    rejects = pq.read_table(tmp_path / "d" / "rejects.parquet").to_pylist()
    assert {row["reason"] for row in rejects if row["video"] == found.id} == {"no_actions_file"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"action/joint_position": None}, "no_times"),
        ({"action/joint_position": np.array([b"a"] * STEPS)}, "no_times"),
    ],
)
def test_a_trajectory_without_steps_gives_no_times(
    bare: Path, more: dict[str, Any], problem: str
) -> None:
    write_trajectory(bare / SUCCESS / "trajectory.h5", **more)
    found = entries(bare)
    assert {found[f"{ONE}/{serial}"].problem for serial in FIRST} == {problem}
    assert not found[f"{UUIDS[FAILURE]}/{LEFT}"].problem


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_a_trajectory_that_is_cut_off_costs_its_episode(bare: Path, share: float) -> None:
    path = bare / SUCCESS / "trajectory.h5"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    found = entries(bare)
    assert {found[f"{ONE}/{serial}"].problem for serial in FIRST} == {"no_times"}
    assert "trajectory.h5" in found[f"{ONE}/{LEFT}"].detail
    assert not found[f"{UUIDS[FAILURE]}/{LEFT}"].problem


@pytest.mark.parametrize(
    "stamps", [None, received_ms(LEFT)[:-1], np.full(STEPS, np.nan), received_ms(LEFT)[::-1]]
)
def test_times_of_a_camera_that_are_none_give_way_to_others(bare: Path, stamps: Any) -> None:
    place = f"observation/timestamp/cameras/{LEFT}"
    path = bare / SUCCESS / "trajectory.h5"
    whole = entries(bare)[f"{ONE}/{LEFT}"].uri
    write_trajectory(path, **{f"{place}_frame_received": stamps})
    assert entries(bare)[f"{ONE}/{LEFT}"].uri == whole  # by the estimated capture, as far apart
    write_trajectory(
        path, **{f"{place}_frame_received": stamps, f"{place}_estimated_capture": None}
    )
    found = listing(bare)
    assert not {entry.id: entry for entry in found.entries}[f"{ONE}/{LEFT}"].problem
    assert any("those of the steps are used" in note for note in found.notes)


def test_actions_of_another_kind_are_rejects(bare: Path) -> None:
    without: dict[str, Any] = {"action/gripper_velocity": None}
    write_trajectory(bare / FAILURE / "trajectory.h5", **without)
    third = "AUTOLab/success/2023-07-09/Sun_Jul__9_10:00:00_2023"
    UUIDS[third] = "AUTOLab+84bd5053+2023-07-09-10h-00m-00s"
    try:
        write_episode(bare, third, videos=False)
        found = entries(bare, with_state=False)
    finally:
        del UUIDS[third]
    odd = found[f"{UUIDS[FAILURE]}/{LEFT}"]
    assert odd.problem == "other_actions"
    assert odd.actions is None
    assert "gripper_velocity" in odd.detail
    assert found[f"{ONE}/{LEFT}"].actions is not None


def test_without_any_state_the_user_learns_what_to_leave_out(bare: Path) -> None:
    names = ("cartesian_position", "gripper_position", "joint_positions")
    none: dict[str, Any] = {f"observation/robot_state/{name}": None for name in names}
    for episode in (SUCCESS, FAILURE):
        write_trajectory(bare / episode / "trajectory.h5", **none)
    assert listing(bare, with_state=False).actions is not None
    with pytest.raises(ConfigError, match=r"observation/robot_state/cartesian_position.*leave out"):
        listing(bare, with_state=True)


def test_a_trajectory_that_changed_since_it_was_listed_is_an_error(bare: Path) -> None:
    found = listing(bare, with_state=False)
    entry = found.entries[0]
    assert entry.actions is not None
    assert found.actions is not None
    write_trajectory(bare / parse(entry.actions.uri).file, steps=STEPS - 5)
    with pytest.raises(ActionError, match="35 x 28 numbers"):
        Droid().read_actions(Tree(str(bare)), entry.actions, found.actions)
    (bare / parse(entry.actions.uri).file).unlink()
    with pytest.raises(ActionError):
        Droid().read_actions(Tree(str(bare)), entry.actions, found.actions)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "no_metadata"),
        ([], "bad_metadata"),
        ({"uuid": 7}, "bad_metadata"),
        ({**metadata(SUCCESS), "success": "yes"}, "bad_metadata"),
    ],
)
def test_an_episode_without_whole_metadata_is_a_reject(
    bare: Path, value: Any, problem: str
) -> None:
    path = bare / SUCCESS / f"metadata_{ONE}.json"
    if value is None:
        path.unlink()
    else:
        put(path, value)
    found = listing(bare).entries
    assert sorted(entry.problem for entry in found) == ["", "", "", *[problem] * 3]


def test_two_episodes_of_one_uuid_are_told(bare: Path) -> None:
    put(bare / FAILURE / f"metadata_{UUIDS[FAILURE]}.json", metadata(SUCCESS))
    found = listing(bare)
    assert sorted(entry.problem for entry in found.entries) == ["", "", ""] + ["duplicate_id"] * 3
    assert any("another folder than its outcome" in note for note in found.notes)


def test_malformed_instructions_name_the_episode(bare: Path) -> None:
    put(bare / "aggregated-annotations-030724.json", {ONE: "Put the marker in the cup"})
    with pytest.raises(ConfigError, match=f"{ONE.partition('+')[0]}.*should be an object"):
        listing(bare)


def test_a_folder_without_recordings_says_what_was_looked_for(tmp_path: Path) -> None:
    put_bytes(tmp_path / "a" / "b.txt")
    with pytest.raises(ConfigError, match=r"no recordings of DROID: looked for trajectory\.h5"):
        listing(tmp_path / "a")


def test_the_same_bytes_from_a_store(tmp_path: Path) -> None:
    root = write_episode(tmp_path / "s", SUCCESS).parents[3]
    files = fsspec.filesystem("memory")
    files.put(f"{root}/", "/droid/", recursive=True)
    try:
        ingest(root, tmp_path / "here", *SETTINGS, "with_actions=true")
        ingest("memory://droid", tmp_path / "away", *SETTINGS, "with_actions=true")
    finally:
        files.rm("/droid", recursive=True)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_other_times_make_another_video(tmp_path: Path) -> None:
    root = write_episode(tmp_path / "s", SUCCESS)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    place = f"observation/timestamp/cameras/{LEFT}_frame_received"
    other: dict[str, Any] = {place: received_ms(LEFT) + np.arange(STEPS)}
    write_trajectory(root / "trajectory.h5", **other)
    with pytest.raises(ConfigError, match="update"):
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)


def test_settings_of_pictures_are_heeded_or_refused(bare: Path, tmp_path: Path) -> None:
    (entry, *_) = Droid().configured(SequenceConfig(turn="rotate")).listing(Tree(str(bare))).entries
    assert "turn=rotate" in parse(entry.uri).sequence
    with pytest.raises(ConfigError, match=r"sequences\.times is set"):
        ingest(bare, tmp_path / "d", "sequences.times=times.txt")


def test_the_place_of_a_video_is_its_file(bare: Path) -> None:
    uri = entries(bare)[f"{ONE}/{WRIST}"].uri
    assert parse(without_sequence(uri)).file == f"{SUCCESS}/recordings/MP4/{WRIST}.mp4"
    assert START_MS > 0
