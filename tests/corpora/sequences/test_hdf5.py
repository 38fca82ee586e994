"""HDF5 files of robomimic, LIBERO and ALOHA go the whole way, with texts and actions."""

from __future__ import annotations

from pathlib import Path

import fsspec
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.sequences.hdf5 import Hdf5Files
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.types import STATE_NAME
from tests.conformance.barcode import draw, read
from tests.hdf5s import actions, pictures, write_aloha, write_libero, write_robomimic
from tests.helpers import hashes, ingest
from tests.sequences import HEIGHT, WIDTH, encoded, samples, write_frames, wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
DEMOS = {"demo_0": range(20), "demo_1": range(60, 78), "demo_10": range(120, 140)}


@pytest.fixture
def robomimic(tmp_path: Path) -> Path:
    return write_robomimic(tmp_path / "lab" / "lift.hdf5", DEMOS, compression="gzip").parent


@pytest.fixture
def aloha(tmp_path: Path) -> Path:
    for number in range(2):
        first = 100 * number
        write_aloha(tmp_path / "lab" / f"episode_{number}.hdf5", range(first, first + 20))
    return tmp_path / "lab"


def firsts(dest: Path) -> dict[str, int]:
    """The number of the first picture of each video of `DEMOS`."""
    sources = {sample.record.source for sample in samples(dest)}
    return {source: DEMOS[source.split("/")[2]].start for source in sources}


def rejects(dest: Path) -> dict[str, str]:
    """Why videos are rejects, by their ids."""
    rows = pq.read_table(dest / "rejects.parquet").to_pylist()
    return {row["video"]: row["reason"] for row in rows if row["kind"] == "video"}


def problems(root: Path, *, with_actions: bool = False) -> dict[str, str]:
    """Why entries are rejects, by their ids."""
    corpus = Hdf5Files()
    tree = Tree(str(root))
    listing = corpus.demonstrations(tree) if with_actions else corpus.listing(tree)
    return {entry.id: entry.problem for entry in listing.entries}


def test_every_camera_of_every_demonstration_is_a_video(robomimic: Path, tmp_path: Path) -> None:
    ingest(robomimic, tmp_path / "d", *SETTINGS)
    first = firsts(tmp_path / "d")
    cameras = ("agentview_image", "robot0_eye_in_hand_image")
    assert set(first) == {
        f"lift.hdf5/data/{demo}/obs/{camera}" for demo in DEMOS for camera in cameras
    }
    assert not wrong_frames(tmp_path / "d", 20, first)
    assert {read(sample.first).held for sample in samples(tmp_path / "d")} == {"upright"}
    assert verify(Tree(str(tmp_path / "d"))).whole
    assert not rejects(tmp_path / "d")


def test_a_recording_is_told_by_its_labels(robomimic: Path) -> None:
    listing = Hdf5Files().listing(Tree(str(robomimic)))
    entry = next(each for each in listing.entries if "demo_10" in each.id)
    assert entry.labels == {
        "recording": "lift.hdf5 data/demo_10",
        "camera": "agentview_image",
        "episode": "10",
        "env": "Lift",
        "filters": "valid",
    }
    assert entry.span_s == (0.0, 1.0)
    assert [each.id.split("/")[2] for each in listing.entries][::2] == [*DEMOS]
    (note,) = listing.notes
    assert "3 x next_obs" in note
    assert "3 x float32 arrays" in note


def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
    robomimic: Path, tmp_path: Path
) -> None:
    files = fsspec.filesystem("memory")
    files.put(f"{robomimic}/", "/hdf5/", recursive=True)
    try:
        wanted = (*SETTINGS, "run.ranges_mib=0")
        ingest(robomimic, tmp_path / "here", *SETTINGS, "with_actions=true")
        ingest(robomimic, tmp_path / "apart", *SETTINGS, "with_actions=true", "run.isolate=true")
        ingest("memory://hdf5", tmp_path / "away", *wanted, "with_actions=true")
    finally:
        files.rm("/hdf5", recursive=True)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_actions_are_those_of_each_step(robomimic: Path, tmp_path: Path) -> None:
    ingest(robomimic, tmp_path / "d", *SETTINGS, "with_actions=true", "with_state=true")
    seen = 0
    for sample in samples(tmp_path / "d"):
        record = sample.record
        assert record.actions is not None
        assert sample.actions is not None
        state = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
        names = [f"{STATE_NAME}{name}_0" for name in state]
        assert [name for name in record.actions.names if name.endswith("_0")] == [
            "action_0",
            *names,
        ]
        steps = np.round(np.array(record.actions.times_s) * 20).astype(int)
        assert (sample.actions[:, 0] == 1000 * steps).all()
        assert (sample.actions[:, 7] == 1000 * steps + 100).all()
        seen += 1
    assert seen


# LIBERO and ALOHA


def test_pictures_of_libero_are_turned_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write_libero(tmp_path / "lab" / "KITCHEN_SCENE3_turn_on_the_stove_demo.hdf5", DEMOS)
    ingest(path, tmp_path / "as_stored", *SETTINGS)
    ingest(path, tmp_path / "upright", *SETTINGS, "sequences.turn=flip", "with_actions=true")
    assert {read(sample.first).held for sample in samples(tmp_path / "as_stored")} == {"flipped"}
    found = [*samples(tmp_path / "upright")]
    assert {read(sample.first).held for sample in found} == {"upright"}
    assert {sample.record.text for sample in found} == {"put the bowl away"}
    first = {key: DEMOS[key.split("/")[2]].start for key in {each.record.source for each in found}}
    assert not wrong_frames(tmp_path / "upright", 20, first)
    told = [*Hdf5Files().listing(Tree(str(path))).notes]
    assert any("upside down" in note and "sequences.turn=flip" in note for note in told)
    corpus, _ = find_corpus(Tree(str(path)), sequences=SequenceConfig(turn="flip"))
    assert not any("upside down" in note for note in corpus.listing(Tree(str(path))).notes)


def test_libero_says_what_is_done_in_its_file_or_by_its_name(tmp_path: Path) -> None:
    name = "LIVING_ROOM_SCENE2_put_both_the_soup_and_the_sauce_in_the_basket_demo.hdf5"
    path = write_libero(tmp_path / name, {"demo_0": range(8)})
    assert texts(path) == {"put the bowl away"}
    with h5py.File(path, "a") as file:
        del file["data"].attrs["problem_info"]
    assert texts(path) == {"put both the soup and the sauce in the basket"}


def test_states_of_libero_are_joined_in_their_order(tmp_path: Path) -> None:
    path = write_libero(tmp_path / "a_demo.hdf5", {"demo_0": range(8)})
    spec = Hdf5Files().demonstrations(Tree(str(path)), with_state=True).actions
    assert spec is not None
    states = [name.removeprefix(STATE_NAME) for name in spec.names if STATE_NAME in name]
    assert [name for name in states if name.endswith("_0")] == [
        "ee_states_0",
        "gripper_states_0",
        "joint_states_0",
    ]
    assert len(states) == 15


@pytest.mark.parametrize("compress", [False, True])
def test_an_episode_of_aloha_is_a_recording(tmp_path: Path, compress: bool) -> None:
    for number in range(2):
        place = tmp_path / "lab" / f"episode_{number}.hdf5"
        write_aloha(place, range(100 * number, 100 * number + 30), compress)
    channels = ["sequences.channels=bgr"] if compress else []
    settings = (*SETTINGS, *channels, "sequences.fps=50", "with_actions=true", "with_state=true")
    ingest(tmp_path / "lab", tmp_path / "d", *settings)
    found = [*samples(tmp_path / "d")]
    assert {read(sample.first).held for sample in found} == {"upright"}
    first = {each.record.source: 100 * int(each.record.labels["episode"]) for each in found}
    assert len(first) == 4
    assert not wrong_frames(tmp_path / "d", 50, first)
    for sample in found:
        assert sample.record.actions is not None
        assert sample.actions is not None
        assert sample.actions.shape[1] == 28
        steps = np.round(np.array(sample.record.actions.times_s) * 50).astype(int)
        assert (sample.actions[:, 13] == 1000 * steps + 13).all()
        assert (sample.actions[:, 14] == 1000 * steps + 100).all()


def test_an_array_named_bgr_is_turned_to_rgb(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["front_bgr"] = pictures(range(12))[..., ::-1]
        file["front"] = pictures(range(12))
        packed = file.create_dataset("wrist_bgr", (12,), h5py.vlen_dtype(np.uint8))
        for number in range(12):  # encoded ones have true colours, whatever they were called
            packed[number] = np.frombuffer(encoded(number, "PNG"), np.uint8)
    ingest(tmp_path / "a.h5", tmp_path / "d", *SETTINGS, "sequences.fps=10")
    found = {(each.record.source, read(each.first).held) for each in samples(tmp_path / "d")}
    cameras = ("front_bgr", "front", "wrist_bgr")
    assert found == {(f"a.h5/{camera}", "upright") for camera in cameras}


def test_actions_are_those_of_the_numbers_of_single_pictures(tmp_path: Path) -> None:
    """A picture is missing, the action of its step is not."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in [*range(8), *range(10, 20)]:
            file[f"steps/{number}/rgb"] = draw(number, WIDTH, HEIGHT)
        file["action"] = actions(20)
    settings = (*SETTINGS, "sequences.fps=10", "with_actions=true")
    ingest(tmp_path / "a.h5", tmp_path / "d", *settings)
    assert not wrong_frames(tmp_path / "d", 10, {"a.h5/steps/*/rgb": 0})
    found = [*samples(tmp_path / "d")]
    assert max(sample.record.end_s for sample in found) > 1.8
    for sample in found:
        assert sample.record.actions is not None
        assert sample.actions is not None
        steps = np.round(np.array(sample.record.actions.times_s) * 10).astype(int)
        assert (sample.actions[:, 0] == 1000 * steps).all()
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["action"]
        file["action"] = actions(18)  # of which pictures?
    with pytest.raises(ConfigError, match=r"18 of action for 20 .*, 2 of them missing"):
        Hdf5Files(SequenceConfig(fps=10)).demonstrations(Tree(str(tmp_path / "a.h5")))


def test_exchanged_colours_of_aloha_are_told(tmp_path: Path) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(8), compress=True)
    corpus = Hdf5Files(SequenceConfig(fps=50))
    assert any("sequences.channels=bgr" in note for note in corpus.listing(tree(tmp_path)).notes)
    ingest(tmp_path / "lab", tmp_path / "d", *SETTINGS, "sequences.fps=50", "flow.step_s=0.02")
    assert {read(sample.first).held for sample in samples(tmp_path / "d")} == {"unreadable"}


def test_a_rate_is_needed_where_no_file_says_one(aloha: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequences\.fps=50"):
        ingest(aloha, tmp_path / "d", *SETTINGS)
    write_robomimic(aloha / "lift.hdf5", {"demo_0": range(8)})
    assert sorted(set(problems(aloha).values())) == ["", "no_times"]


# What is broken


def test_a_broken_file_costs_itself_alone(robomimic: Path, tmp_path: Path) -> None:
    good = (robomimic / "lift.hdf5").read_bytes()
    (robomimic / "cut.hdf5").write_bytes(good[: len(good) // 2])
    (robomimic / "empty.h5").write_bytes(b"")
    (robomimic / "text.hdf5").write_text("not found\n")
    ingest(robomimic, tmp_path / "d", *SETTINGS)
    told = pq.read_table(tmp_path / "d" / "rejects.parquet")["detail"].to_pylist()
    assert not any(str(tmp_path) in detail for detail in told)  # it may lie elsewhere
    broken = {"cut.hdf5": "damaged", "empty.h5": "damaged", "text.hdf5": "damaged"}
    assert rejects(tmp_path / "d") == broken
    assert len({sample.record.source for sample in samples(tmp_path / "d")}) == 6


def test_other_lengths_and_other_actions_are_rejects(robomimic: Path) -> None:
    with h5py.File(robomimic / "lift.hdf5", "a") as file:
        short, other = file["data/demo_1"], file["data/demo_10"]
        del short["actions"], other["actions"]
        short["actions"], other["actions"] = actions(12), actions(20, size=6)
    found = problems(robomimic, with_actions=True)
    by_demo = {id.split("/")[2]: problem for id, problem in found.items()}
    assert by_demo == {"demo_0": "", "demo_1": "other_length", "demo_10": "other_actions"}


def test_a_picture_more_than_actions_is_the_last(robomimic: Path, tmp_path: Path) -> None:
    with h5py.File(robomimic / "lift.hdf5", "a") as file:
        del file["data/demo_0/actions"]
        file["data/demo_0/actions"] = actions(19)
    listing = Hdf5Files().demonstrations(Tree(str(robomimic)))
    assert {entry.problem for entry in listing.entries} == {""}
    assert any("a picture more than actions" in note for note in listing.notes)


def test_two_rates_are_a_reject_unless_the_user_settles_them(robomimic: Path) -> None:
    with h5py.File(robomimic / "lift.hdf5", "a") as file:
        file["data/demo_1"].attrs["fps"] = 30
    by_demo = {id.split("/")[2]: each for id, each in problems(robomimic).items()}
    assert by_demo == {"demo_0": "", "demo_1": "two_rates", "demo_10": ""}
    settled = Hdf5Files(SequenceConfig(fps=30)).listing(Tree(str(robomimic)))
    assert {entry.problem for entry in settled.entries} == {""}
    assert {entry.span_s for entry in settled.entries if "demo_1/" in entry.id} == {(0.0, 0.6)}


def test_recordings_of_another_rate_have_other_actions(aloha: Path) -> None:
    for number in range(2, 4):
        write_aloha(aloha / f"episode_{number}.hdf5", range(8))
    for number, fps in enumerate((50, 50, 50, 25)):
        with h5py.File(aloha / f"episode_{number}.hdf5", "a") as file:
            file.attrs["fps"] = fps
    found = problems(aloha, with_actions=True)
    assert {id.split("/")[0] for id, each in found.items() if each == "other_actions"} == {
        "episode_3.hdf5"
    }


def test_there_must_be_actions_where_they_are_asked_for(aloha: Path) -> None:
    for path in aloha.iterdir():
        with h5py.File(path, "a") as file:
            del file["action"], file["observations/qpos"]
    with pytest.raises(ConfigError, match="no actions beside"):
        Hdf5Files(SequenceConfig(fps=50)).demonstrations(Tree(str(aloha)))


def test_a_sample_count_that_is_wrong_is_told(robomimic: Path) -> None:
    with h5py.File(robomimic / "lift.hdf5", "a") as file:
        file["data/demo_1"].attrs["num_samples"] = 19
    notes = Hdf5Files().listing(Tree(str(robomimic))).notes
    assert any(note.startswith("2 x its num_samples is not") for note in notes)


def test_episodes_one_behind_the_other_are_told(tmp_path: Path) -> None:
    """As D4RL keeps them: flat arrays, with a flag where an episode ends."""
    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        file["observations"] = file["next_observations"] = pictures(range(12))
        file["actions"] = actions(12)
        file["terminals"] = np.arange(12) == 5
        file["timeouts"] = (np.arange(12) == 11)[:, None]
    listing = Hdf5Files(SequenceConfig(fps=10)).demonstrations(Tree(str(tmp_path)))
    assert [entry.id for entry in listing.entries] == ["all.hdf5/observations"]
    (note,) = [note for note in listing.notes if "several episodes" in note]
    assert note.endswith("windows may span two: all.hdf5/observations")
    with h5py.File(tmp_path / "all.hdf5", "a") as file:
        file["terminals"][5] = False
        file["terminals"][9:] = True  # and stays so to the end of the one episode
    notes = Hdf5Files(SequenceConfig(fps=10)).listing(Tree(str(tmp_path))).notes
    assert not any("several episodes" in note for note in notes)


def test_nothing_outside_of_a_file_is_an_input(robomimic: Path) -> None:
    """A file that links demonstrations of others together, and one whose pictures lie elsewhere."""
    with h5py.File(robomimic / "all.hdf5", "w") as file:
        file["data/demo_0"] = h5py.ExternalLink("lift.hdf5", "/data/demo_0")
        shape = (4, 32, 32, 3)
        file.create_dataset("stored", shape, "u1", external=[("/etc/passwd", 0, 4 * 32 * 32 * 3)])
        layout = h5py.VirtualLayout(shape, "u1")
        layout[...] = h5py.VirtualSource("lift.hdf5", "data/demo_0/obs/agentview_image", shape)
        file.create_virtual_dataset("virtual", layout)
        file["alias"] = h5py.SoftLink("/data/demo_0/obs/agentview_image")
    found = problems(robomimic)
    outside = {id: why for id, why in found.items() if id.startswith("all.hdf5")}
    assert outside == {"all.hdf5/stored": "unsupported", "all.hdf5/virtual": "unsupported"}
    notes = " ".join(Hdf5Files().listing(Tree(str(robomimic))).notes)
    assert "1 x link into another file, not followed" in notes


def test_a_file_without_pictures_is_counted_and_told(robomimic: Path, tmp_path: Path) -> None:
    """robomimic's files of states alone lie beside those of pictures."""
    with h5py.File(robomimic / "low_dim.hdf5", "w") as file:
        file["data/demo_0/actions"] = actions(20)
        file["data/demo_0/obs/object"] = np.zeros((20, 10))
    ingest(robomimic, tmp_path / "d", *SETTINGS)
    listing = Hdf5Files().listing(Tree(str(robomimic)))
    assert listing.ignored == {"HDF5 file without pictures": 1}
    assert any("low_dim.hdf5" in note for note in listing.notes)


def test_files_are_found_among_others_by_their_number(tmp_path: Path) -> None:
    write_aloha(tmp_path / "lab" / "episode_0.hdf5", range(4))
    write_frames(tmp_path / "lab" / "preview", range(1))
    assert find_corpus(tree(tmp_path))[0].name == "hdf5"
    assert find_corpus(Tree(str(tmp_path / "lab" / "episode_0.hdf5")))[0].name == "hdf5"
    write_frames(tmp_path / "lab" / "preview", range(20))
    assert find_corpus(tree(tmp_path))[0].name == "frames"


def test_where_h5py_is_missing_the_extra_is_named(
    aloha: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.system.extras.is_installed", lambda module: False)
    with pytest.raises(ConfigError, match=r"sofdata\[hdf5\]"):
        Hdf5Files(SequenceConfig(fps=50)).listing(Tree(str(aloha)))


def tree(tmp_path: Path) -> Tree:
    return Tree(str(tmp_path / "lab"))


def texts(path: Path) -> set[str]:
    return {entry.text for entry in Hdf5Files().listing(Tree(str(path))).entries}
