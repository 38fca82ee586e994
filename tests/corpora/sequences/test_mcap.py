"""MCAP recordings go the whole way: every window right, texts and actions right to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.corpora.sequences.mcap import McapRecordings
from sofdata.errors import ActionError, ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from sofdata.video.sequences.mcaps.records import CHUNK, Record, records
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest, sofdata
from tests.mcaps import (
    BARE,
    IMAGE,
    File,
    Say,
    by_time,
    image,
    images,
    numbers,
    said,
    twists,
    video,
    write,
)
from tests.robots import array, ros_message, twist
from tests.sequences import samples, wrong_frames

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
CMD = SequenceConfig(actions="/cmd_vel")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two cameras in one file, one of them video; one in another, which says what is done."""
    root = tmp_path / "source"
    write(root / "a.mcap", by_time(images(range(20)), video("h264", 60, 25), twists(40)))
    texts = [said("/instruction", "pick the cup", 0.0), said("/instruction", "put it back", 1.2)]
    write(root / "sub" / "b.mcap", by_time(images(range(30, 54), "/eye"), texts, twists(48)))
    return root


FIRST = {"a.mcap/cam": 0, "a.mcap/video": 60, "sub/b.mcap/eye": 30}


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/mcaps/", recursive=True)
    yield "memory://mcaps"
    files.rm("/mcaps", recursive=True)


def listing(root: Path, config: SequenceConfig | None = None) -> Listing:
    return McapRecordings(config or SequenceConfig()).listing(Tree(str(root)))


def test_every_topic_of_pictures_is_a_video(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    assert {sample.record.source for sample in samples(tmp_path / "d")} == set(FIRST)
    assert not wrong_frames(tmp_path / "d", 10, FIRST)
    assert verify(Tree(str(tmp_path / "d"))).whole
    found = {sample.record.source: sample.record for sample in samples(tmp_path / "d")}
    assert found["a.mcap/cam"].labels == {"recording": "a.mcap", "camera": "/cam"}
    names = {recording_of("mcap", found[id].labels) for id in ("a.mcap/cam", "a.mcap/video")}
    assert names == {"recording a.mcap"}


def test_texts_are_those_of_their_time(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    texts = {
        (sample.record.start_s + sample.record.end_s) / 2 > 1.2: sample.record.text
        for sample in samples(tmp_path / "d")
        if sample.record.source == "sub/b.mcap/eye"
    }
    assert texts == {False: "pick the cup", True: "put it back"}


def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
    source: Path, remote: str, tmp_path: Path
) -> None:
    actions = ("with_actions=true", "sequences.actions=/cmd_vel")
    ingest(source, tmp_path / "here", *SETTINGS, *actions)
    ingest(source, tmp_path / "apart", *SETTINGS, *actions, "run.isolate=true")
    ingest(remote, tmp_path / "away", *SETTINGS, *actions)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_actions_are_those_of_the_window_to_the_sample(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS, "with_actions=true", "sequences.actions=/cmd_vel")
    seen = 0
    for sample in samples(tmp_path / "d"):
        assert sample.actions is not None
        assert sample.record.actions is not None
        times_s = sample.record.actions.times_s
        start_s, end_s = sample.record.start_s - 0.025, sample.record.end_s - 0.025
        wanted = [each for each in range(60) if start_s <= each / 20 < end_s]
        assert np.asarray(sample.actions)[:, 0].tolist() == wanted
        assert times_s == pytest.approx([each / 20 for each in wanted])
        seen += 1
    assert seen >= 12


def test_actions_have_names_and_their_rate(source: Path) -> None:
    found = McapRecordings(CMD).demonstrations(Tree(str(source)))
    assert found.actions is not None
    assert found.actions.names[:2] == ("linear.x", "linear.y")
    assert found.actions.fps == pytest.approx(20)
    assert {entry.actions.rows for entry in found.entries if entry.actions} == {40, 48}


def test_the_topic_of_actions_has_to_be_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequences\.actions=/cmd_vel; topics of numbers: /cmd"):
        McapRecordings().demonstrations(Tree(str(source)))
    with pytest.raises(ConfigError, match="has actions on the topic '/arm' that can be read"):
        McapRecordings(SequenceConfig(actions="/arm")).demonstrations(Tree(str(source)))
    with pytest.raises(ConfigError, match="state of the robot is not read"):
        McapRecordings(CMD).demonstrations(Tree(str(source)), with_state=True)


def test_recordings_with_other_actions_or_none_are_rejects(source: Path) -> None:
    write(source / "c.mcap", images(range(9)))
    write(source / "d.mcap", by_time(images(range(9)), twists(9, hz=10)))

    def joints(place: int) -> tuple[str, bytes]:
        values = {"position": np.array([1.0]), "velocity": np.zeros(0), "effort": np.zeros(0)}
        kind = "sensor_msgs/msg/JointState"
        return kind, ros_message(2, kind, name=["arm"], **values)

    write(source / "e.mcap", by_time(images(range(9)), numbers(joints, 18, "/cmd_vel")))
    found = McapRecordings(CMD).demonstrations(Tree(str(source)))
    problems = {entry.id: (entry.problem, entry.detail) for entry in found.entries}
    assert problems["a.mcap/cam"] == ("", "")
    assert problems["c.mcap/cam"][0] == "no_actions_topic"
    assert problems["d.mcap/cam"] == (
        "other_actions",
        "it has 10 actions a second, where most have 20",
    )
    assert problems["e.mcap/cam"][0] == "other_actions"
    assert "its actions are arm, not linear.x" in problems["e.mcap/cam"][1]


def test_actions_that_were_lost_since_they_were_counted_are_an_error(source: Path) -> None:
    tree = Tree(str(source))
    found = McapRecordings(CMD).demonstrations(tree)
    (entry,) = [each for each in found.entries if each.id == "a.mcap/cam"]
    assert entry.actions is not None
    assert found.actions is not None
    whole = McapRecordings().read_actions(tree, entry.actions, found.actions)
    assert whole.values.shape == (40, 6)
    path = source / "a.mcap"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ActionError, match=r"where 40 were counted: the file is cut off"):
        McapRecordings().read_actions(tree, entry.actions, found.actions)


def test_actions_of_a_remote_file_are_read_in_ranges(
    source: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording of many GiB is not copied for some numbers in it."""
    tree = Tree(remote)
    found = McapRecordings(CMD).demonstrations(tree)
    assert found.actions is not None
    monkeypatch.setattr(Tree, "local_copy", lambda *_: pytest.fail("a copy is made"))
    for entry in found.entries:
        assert entry.actions is not None
        track = McapRecordings().read_actions(tree, entry.actions, found.actions)
        assert len(track) == entry.actions.rows


def test_a_demonstration_that_has_lost_actions_is_a_reject(tmp_path: Path) -> None:
    """A window would not show that some of its actions lay in a chunk that is broken."""
    root = tmp_path / "s"
    path = write(root / "a.mcap", by_time(images(range(20)), twists(40)))
    with path.open("r+b") as file:
        places = [
            each.start + each.length // 2
            for each in records(file, 8, path.stat().st_size)
            if isinstance(each, Record) and each.kind == CHUNK
        ]
        file.seek(places[2])
        file.write(b"\xff\x00\xff")
    named = ("with_actions=true", "sequences.actions=/cmd_vel")
    ingest(root, tmp_path / "d", *SETTINGS, *named)
    assert not list(samples(tmp_path / "d"))
    ingest(root, tmp_path / "e", *SETTINGS)
    assert list(samples(tmp_path / "e"))


def test_stamped_commands_and_pictures_share_the_clock_of_the_stamps(tmp_path: Path) -> None:
    """The log of both is off by 100 s, as where a bag was played and recorded again."""

    def one(place: int) -> tuple[str, bytes]:
        kind = "geometry_msgs/msg/TwistStamped"
        stamp_ns = 1_700_000_000 * 10**9 + place * 50_000_000
        return kind, ros_message(2, kind, time_ns=stamp_ns, twist=twist([place] * 6))

    late = 100 * 10**9
    given = by_time(images(range(20)), numbers(one, 40, "/cmd_vel"))
    moved = [Say(each.topic, each.type, each.data, each.ns + late) for each in given]
    root = tmp_path / "s"
    write(root / "a.mcap", moved)
    ingest(root, tmp_path / "d", *SETTINGS, "with_actions=true", "sequences.actions=/cmd_vel")
    for sample in samples(tmp_path / "d"):
        first_s = sample.record.start_s
        assert np.asarray(sample.actions)[0, 0] == pytest.approx(first_s * 20)


def test_a_clock_that_the_two_do_not_share_is_told(tmp_path: Path) -> None:
    late = 100 * 10**9
    moved = [
        Say(each.topic, each.type, each.data, each.ns + late)
        for each in by_time(images(range(20)), twists(40))
    ]
    root = tmp_path / "s"
    write(root / "a.mcap", moved)
    named = ("with_actions=true", "sequences.actions=/cmd_vel")
    summary = ingest(root, tmp_path / "d", *SETTINGS, *named)
    assert not list(samples(tmp_path / "d"))
    assert summary.dataset
    ingest(root, tmp_path / "e", *SETTINGS, *named, "sequences.clock=log")
    assert list(samples(tmp_path / "e"))


def test_broken_files_are_rejects_with_their_reason(source: Path, tmp_path: Path) -> None:
    data = (source / "a.mcap").read_bytes()
    (source / "cut.mcap").write_bytes(data[: 2 * len(data) // 3])
    (source / "empty.mcap").write_bytes(b"")
    (source / "text.mcap").write_bytes(b"this is no recording")
    (source / "link.mcap").symlink_to("nowhere")
    wrong = [Say("/cam", IMAGE, each.data[:40], each.ns) for each in images(range(5))]
    write(source / "wrong.mcap", wrong)
    write(source / "bare.mcap", twists(5))
    (source / "notes.txt").write_text("x")
    found = listing(source)
    problems = {entry.id: entry.problem for entry in found.entries if entry.problem}
    assert problems == {
        "empty.mcap": "damaged",
        "link.mcap": "dangling_link",
        "text.mcap": "damaged",
        "wrong.mcap/cam": "damaged",
    }
    details = {entry.id: entry.detail for entry in found.entries}
    assert details["empty.mcap"] == "is no MCAP file: it begins with nothing"
    assert dict(found.ignored) == {".txt": 1, "mcap without pictures": 1}
    notes = " ".join(found.notes)
    assert "1 x file is damaged; what is whole in it is used: cut.mcap (the file is cut" in notes
    ingest(source, tmp_path / "d", *SETTINGS)
    first = {**FIRST, "cut.mcap/cam": 0, "cut.mcap/video": 60}
    assert not wrong_frames(tmp_path / "d", 10, first)
    assert verify(Tree(str(tmp_path / "d"))).whole


def test_pictures_may_be_turned(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.mcap", images(range(12)))
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "sequences.turn=rotate")
    assert {read(sample.first).held for sample in samples(tmp_path / "d")} == {"upside down"}


def test_depth_and_what_is_not_read_is_left_out_and_noted(tmp_path: Path) -> None:
    depth = [
        Say(
            "/depth",
            IMAGE,
            ros_message(2, IMAGE, format="16UC1; compressedDepth", data=array(b"1")),
            each.ns,
        )
        for each in images(range(5))
    ]
    write(tmp_path / "a.mcap", by_time(images(range(5)), depth))
    found = listing(tmp_path)
    assert [entry.id for entry in found.entries] == ["a.mcap/cam"]
    assert found.notes == ("1 x topic of depth is left out: a.mcap /depth",)


def test_files_of_which_one_goes_on_where_another_ends_are_one_recording(tmp_path: Path) -> None:
    write(tmp_path / "run_0.mcap", images(range(10)))
    write(tmp_path / "run_1.mcap", images(range(10, 20), start_s=1.0))
    write(tmp_path / "run_2.mcap", images(range(20, 30), start_s=2.0))
    write(tmp_path / "run_3.mcap", images(range(30, 40), start_s=60.0))
    write(tmp_path / "run_4.mcap", images(range(10), "/other", start_s=61.0))
    found = {entry.id: entry.labels["recording"] for entry in listing(tmp_path).entries}
    assert found == {
        "run_0.mcap/cam": "run_0.mcap",
        "run_1.mcap/cam": "run_0.mcap",
        "run_2.mcap/cam": "run_0.mcap",
        "run_3.mcap/cam": "run_3.mcap",
        "run_4.mcap/other": "run_4.mcap",
    }


def test_metadata_says_what_is_done_where_no_topic_does(tmp_path: Path) -> None:
    File(tmp_path / "a.mcap").write(images(range(5)), {"episode": {"task": "fold", "x": "y"}})
    File(tmp_path / "b.mcap").write(
        by_time(images(range(5)), [said("/task", "wipe", 0.3)]), {"episode": {"task": "fold"}}
    )
    texts = {entry.id: entry.text for entry in listing(tmp_path).entries}
    assert texts == {"a.mcap/cam": "fold", "b.mcap/cam": "wipe"}


def test_one_file_is_a_source_and_bags_are_left_to_theirs(source: Path, tmp_path: Path) -> None:
    tree = Tree(str(source / "a.mcap"))
    corpus, why = find_corpus(tree)
    assert (corpus.name, why) == ("mcap", "an MCAP file")
    ids = [entry.id for entry in list_source(corpus, tree, with_actions=False).entries]
    assert ids == ["a.mcap/cam", "a.mcap/video"]
    ingest(source / "a.mcap", tmp_path / "d", *SETTINGS)
    assert not wrong_frames(tmp_path / "d", 10, FIRST)
    assert McapRecordings().detect(Tree(str(source))) == "MCAP: a.mcap"
    (source / "metadata.yaml").write_text("rosbag2_bagfile_information:")
    assert McapRecordings().detect(Tree(str(source))) == "MCAP: sub/b.mcap"


def test_odd_topics_and_names_are_told_apart(tmp_path: Path) -> None:
    odd = ["/a b?fps=3&x#y", "no/slash", "/ünï/код", "/a%20b"]
    root = tmp_path / "s"
    given = [image(5 * number + place, topic, at=place / 10 + number / 100)
             for number, topic in enumerate(odd) for place in range(12)]  # fmt: skip
    write(root / "sp ace#1.mcap", sorted(given, key=lambda say: say.ns), **BARE)
    ingest(root, tmp_path / "d", *SETTINGS)
    first = {f"sp ace#1.mcap/{topic.lstrip('/')}": 5 * number for number, topic in enumerate(odd)}
    assert {sample.record.source for sample in samples(tmp_path / "d")} == set(first)
    assert not wrong_frames(tmp_path / "d", 10, first)


def test_the_command_line_reads_them(source: Path, tmp_path: Path) -> None:
    done = sofdata("ingest", source, tmp_path / "d", *(f"--set={each}" for each in SETTINGS))
    assert done.returncode == 0, done.stderr
    assert "mcap" in done.stdout + done.stderr
