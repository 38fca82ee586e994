"""Bags go the whole way: every window right, texts and actions right to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.sequences.rosbag import REINDEXED, RosBags
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.bags import (
    FILE,
    MCAP,
    MESSAGE,
    SQLITE,
    Compression1,
    Sent,
    joints,
    jpegs,
    raw,
    texts,
    write_bag1,
    write_bag2,
)
from tests.conformance.barcode import read
from tests.helpers import hashes, ingest, sofdata
from tests.sequences import samples, wrong_frames
from tests.video.sequences.test_bags import without_index

SETTINGS = ("windows.length=4", "flow.step_s=0.1", "flow.size=96")
ACTIONS = ("with_actions=true", "sequences.actions=/arm")
ARM = SequenceConfig(actions="/arm")


def sent(first: int = 0) -> list[Sent]:
    """Two cameras of which one begins later, depth, what is done, and twenty states a second."""
    said = texts("/task", [(first, "pick the cup"), (first + 12, "put it back")])
    return [
        *jpegs("/eye", range(first, first + 24)),
        *raw("/hand", range(first + 4, first + 24), "bgr8"),
        *raw("/depth", range(first, first + 3), "16UC1"),
        *said,
        *joints("/arm", [first + each / 2 for each in range(48)]),
    ]


FIRST = {
    "one.bag/eye": 0,
    "one.bag/hand": 4,
    "two/eye": 30,
    "two/hand": 34,
    "sub/three/eye": 60,
    "sub/three/hand": 64,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bag of ROS 1, and bags of ROS 2 in both of its storages."""
    root = tmp_path / "source"
    write_bag1(root / "one.bag", sent(), Compression1.LZ4)
    write_bag2(root / "two", sent(30), SQLITE)
    write_bag2(root / "sub" / "three", sent(60), MCAP)
    (root / "two" / "notes.txt").write_text("of a bag")
    return root


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/bags/", recursive=True)
    yield "memory://bags"
    files.rm("/bags", recursive=True)


def listing(root: Path, **config: Any) -> Listing:
    return RosBags(SequenceConfig(**config)).listing(Tree(str(root)))


def only(root: Path) -> Entry:
    (entry,) = listing(root).entries
    return entry


def test_every_topic_of_pictures_is_a_video(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    found = {sample.record.source: sample for sample in samples(tmp_path / "d")}
    assert set(found) == set(FIRST)
    assert not wrong_frames(tmp_path / "d", 10, FIRST)
    assert verify(Tree(str(tmp_path / "d"))).whole
    assert all(read(sample.first).held for sample in found.values())  # red is red
    record = found["two/hand"].record
    assert record.labels == {"recording": "two", "camera": "/hand"}
    assert recording_of("rosbag", record.labels) == "recording two"


def test_texts_are_those_of_their_time(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS)
    for sample in samples(tmp_path / "d"):
        record = sample.record
        middle = FIRST[record.source] % 30 + 10 * (record.start_s + record.end_s) / 2
        assert record.text == ("pick the cup" if middle < 12 else "put it back"), record.key


def test_actions_are_those_of_the_window_to_the_sample(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "d", *SETTINGS, *ACTIONS)
    seen = 0
    for sample in samples(tmp_path / "d"):
        record = sample.record
        assert sample.actions is not None
        assert record.actions is not None
        numbers = [FIRST[record.source] + 10 * time_s for time_s in record.actions.times_s]
        values = np.asarray(sample.actions)
        assert values[:, 0] == pytest.approx(numbers)
        assert values[:, 1] == pytest.approx(-values[:, 0])
        assert len(values) == round(20 * (record.end_s - record.start_s))
        seen += 1
    assert seen >= 30
    found = RosBags(ARM).demonstrations(Tree(str(source)))
    assert found.actions is not None
    assert (found.actions.names, found.actions.fps) == (("shoulder", "elbow"), 20)


def test_the_same_bytes_wherever_it_lies_and_whatever_decodes(
    source: Path, remote: str, tmp_path: Path
) -> None:
    ingest(source, tmp_path / "here", *SETTINGS, *ACTIONS)
    ingest(source, tmp_path / "apart", *SETTINGS, *ACTIONS, "run.isolate=true")
    ingest(remote, tmp_path / "away", *SETTINGS, *ACTIONS)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "apart")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")


def test_all_that_lies_there_is_accounted_for(source: Path) -> None:
    (source / "one.orig.bag").write_bytes(b"as it was")
    (source / "readme.md").write_text("")
    (source / "film.mp4").write_bytes(b"")
    write_bag1(source / "silent.bag", joints("/arm", range(5)))
    found = listing(source)
    assert {entry.id for entry in found.entries} == set(FIRST)
    assert found.ignored == {
        REINDEXED: 1,
        ".md": 1,
        ".mp4": 1,
        "rosbag without pictures": 1,
    }
    assert any("topic of depth is left out" in note for note in found.notes)
    assert any("video file beside bags" in note for note in found.notes)


@pytest.mark.parametrize("compression", [FILE, MESSAGE])
@pytest.mark.parametrize("storage", [SQLITE, MCAP])
def test_packed_bags_of_ros_2_are_read(tmp_path: Path, storage: Any, compression: Any) -> None:
    bag = write_bag2(tmp_path / "s" / "bag", jpegs("/eye", range(20)), storage, compression)
    ingest(bag, tmp_path / "d", *SETTINGS)
    assert not wrong_frames(tmp_path / "d", 10, {"eye": 0})
    assert len(list(samples(tmp_path / "d"))) >= 4


def test_a_bag_is_found_alone_and_before_other_kinds(source: Path, tmp_path: Path) -> None:
    for place, why in (
        (source, "one.bag"),
        (source / "one.bag", "a bag of ROS"),
        (source / "two", "two.db3"),
        (source / "two" / "two.db3", "a bag of ROS"),
        (source / "sub", "three/metadata.yaml"),
        (source / "sub" / "three", "metadata.yaml"),
    ):
        corpus, found = find_corpus(Tree(str(place)))
        assert (corpus.name, why in found) == ("rosbag", True), (place, found)
    (source / "sub" / "three" / "metadata.yaml").unlink()
    assert find_corpus(Tree(str(source / "sub")))[0].name == "mcap"
    assert {entry.id for entry in listing(source / "two" / "two.db3").entries} == {
        "two.db3/eye",
        "two.db3/hand",
    }
    (tmp_path / "empty").mkdir()
    assert find_corpus(Tree(str(tmp_path / "empty")))[0].name == "folder"


def test_stamps_count_unless_the_log_is_asked_for(tmp_path: Path) -> None:
    """A recorder that is busy gets pictures later than they were taken, some more than others."""
    late = [*jpegs("/eye", range(20))]
    for number, each in enumerate(late):
        each.fields["stamp_ns"] = each.time_ns
        late[number] = Sent(each.topic, each.time_ns + number % 3 * 10_000_000, *each_of(each))
    write_bag1(tmp_path / "s" / "a.bag", late)
    ingest(tmp_path / "s", tmp_path / "stamp", *SETTINGS)
    times_s = [sample.record.pts_s for sample in samples(tmp_path / "stamp")]
    assert np.diff(times_s[0]) == pytest.approx([0.1] * 4)
    ingest(tmp_path / "s", tmp_path / "log", *SETTINGS, "sequences.clock=log")
    times_s = [sample.record.pts_s for sample in samples(tmp_path / "log")]
    assert np.diff(times_s[0]).tolist() != pytest.approx([0.1] * 4)


def each_of(sent: Sent) -> tuple[str, dict[str, Any]]:
    return sent.type, sent.fields


def test_a_type_of_another_layout_is_refused(tmp_path: Path) -> None:
    """The MD5 that a bag of ROS 1 states is that of another version of the type."""
    bag = write_bag1(tmp_path / "a.bag", jpegs("/eye", range(5)))
    good = b"8f7a12909da2c9d3332d540a0977563f"
    data = bag.read_bytes()
    assert data.count(good) == 2
    bag.write_bytes(data.replace(good, b"0" * 32))
    entry = only(tmp_path)
    assert (entry.id, entry.problem) == ("a.bag/eye", "damaged")
    assert "has the hash 00000000" in entry.detail
    bag.write_bytes(data.replace(b"uint8[] data", b"uint9[] data"))
    assert "has other fields in this bag" in only(tmp_path).detail


def test_a_hash_of_ros_2_that_is_another_is_refused(tmp_path: Path) -> None:
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(5)))
    file = bag / "a.db3"
    file.write_bytes(file.read_bytes().replace(b"RIHS01_1564", b"RIHS01_0000"))
    assert "has the hash RIHS01_0000" in only(tmp_path).detail


def test_a_recording_that_was_interrupted_is_salvaged(tmp_path: Path) -> None:
    bag = write_bag1(tmp_path / "s" / "a.bag.active", jpegs("/eye", range(20)))
    data = without_index(bag.read_bytes())
    bag.write_bytes(data[: len(data) * 3 // 4])
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    assert not wrong_frames(tmp_path / "d", 10, {"a.bag.active/eye": 0})
    assert len(list(samples(tmp_path / "d"))) >= 2
    assert "file is damaged" in "".join(listing(tmp_path / "s").notes)


def test_what_is_no_bag_is_a_reject_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "zero.bag").write_bytes(b"")
    (tmp_path / "text.bag").write_text("not a bag")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V1.2\n")
    cut = write_bag1(tmp_path / "cut.bag", jpegs("/eye", range(5)))
    cut.write_bytes(cut.read_bytes()[:4200])
    (tmp_path / "odd.db3").write_bytes(b"SQLite format 3\x00" + bytes(84))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.yaml").write_text("a: 1")
    (tmp_path / "folder" / "x.db3").write_bytes(b"")
    found = {entry.id: (entry.problem, entry.detail) for entry in listing(tmp_path).entries}
    assert {id: problem for id, (problem, _) in found.items()} == {
        "zero.bag": "damaged",
        "text.bag": "damaged",
        "old.bag": "unsupported",
        "cut.bag": "damaged",
        "odd.db3": "damaged",
        "folder": "damaged",
    }
    assert "rosbag filter" in found["old.bag"][1]
    assert "no topic can be found: the bag is cut off" in found["cut.bag"][1]


def test_a_database_with_messages_beside_it_is_a_reject_also_in_a_store(tmp_path: Path) -> None:
    bag = write_bag2(tmp_path / "s" / "a", jpegs("/eye", range(5)))
    (bag / "metadata.yaml").unlink()
    (bag / "a.db3-wal").write_bytes(b"messages")
    files = fsspec.filesystem("memory")
    files.put(f"{tmp_path / 's'}/", "/unfinished/", recursive=True)
    for root in (str(tmp_path / "s"), "memory://unfinished"):
        (entry,) = RosBags().listing(Tree(root)).entries
        assert (entry.id, entry.problem) == ("a/a.db3", "unfinished")
        assert "a.db3-wal beside it holds messages" in entry.detail
    files.rm("/unfinished", recursive=True)


def test_what_is_told_of_a_bag_names_no_place(tmp_path: Path) -> None:
    """That of a copy is another one each time, and it would be part of the dataset."""
    root = tmp_path / "s"
    write_bag1(root / "a.bag", jpegs("/eye", range(5))).write_bytes(b"none")
    for name, damage in (("packed", b"none"), ("plain", b""), ("told", b"")):
        packing = FILE if name == "packed" else None
        bag = write_bag2(root / name, jpegs("/eye", range(5)), compression=packing)
        file = bag / "metadata.yaml" if name == "told" else next(bag.glob(f"{name}.*"))
        file.write_bytes(damage)
    half = write_bag2(root / "half", jpegs("/eye", range(20)))
    data = (half / "half.db3").read_bytes()
    (half / "half.db3").write_bytes(data[: len(data) * 2 // 3 // 4096 * 4096])
    files = fsspec.filesystem("memory")
    files.put(f"{root}/", "/told/", recursive=True)
    here, away = listing(root), RosBags().listing(Tree("memory://told"))
    files.rm("/told", recursive=True)
    assert [each.detail for each in here.entries] == [each.detail for each in away.entries]
    assert here.notes == away.notes
    assert "/tmp" not in f"{[each.detail for each in here.entries]} {here.notes}"


def test_pictures_that_are_missing_or_damaged_cost_themselves(tmp_path: Path) -> None:
    pictures = [*jpegs("/eye", [*range(12), *range(22, 36)])]
    pictures[5].fields["data"] = pictures[5].fields["data"][:700]
    write_bag2(tmp_path / "s" / "a", pictures)
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    assert not wrong_frames(tmp_path / "d", 10, {"a/eye": 0})
    spans = [(each.record.start_s, each.record.end_s) for each in samples(tmp_path / "d")]
    assert not [span for span in spans if span[0] < 1.6 < span[1]]


def test_recordings_with_another_rate_or_without_actions_are_rejects(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bag1(tmp_path / f"{name}.bag", sent())
    slow = [each for each in sent() if each.topic != "/arm"]
    write_bag1(tmp_path / "slow.bag", [*slow, *joints("/arm", range(24))])
    write_bag1(tmp_path / "without.bag", slow)
    found = RosBags(ARM).demonstrations(Tree(str(tmp_path)))
    problems = {entry.id.split("/")[0]: entry.problem for entry in found.entries}
    assert problems == {
        "a.bag": "",
        "b.bag": "",
        "slow.bag": "other_actions",
        "without.bag": "no_actions_topic",
    }
    with pytest.raises(ConfigError, match=r"sequences\.actions=/cmd_vel; topics of numbers: /arm"):
        RosBags().demonstrations(Tree(str(tmp_path)))


def test_bags_that_were_split_are_one_recording(tmp_path: Path) -> None:
    """As `rosbag record --split` makes them."""
    write_bag1(tmp_path / "run_0.bag", jpegs("/eye", range(10)))
    write_bag1(tmp_path / "run_1.bag", jpegs("/eye", range(10, 20)))
    write_bag1(tmp_path / "run_2.bag", jpegs("/eye", range(90, 99)))
    names = {entry.id: entry.labels["recording"] for entry in listing(tmp_path).entries}
    assert names == {
        "run_0.bag/eye": "run_0.bag",
        "run_1.bag/eye": "run_0.bag",
        "run_2.bag/eye": "run_2.bag",
    }


def test_split_bags_whose_names_say_when_each_began_are_one_recording(tmp_path: Path) -> None:
    """As `rosbag record --split -o run` names them; two recordings by turns, and a later one."""
    for name, topic, numbers in (
        ("run_2026-01-31-12-00-00_0.bag", "/eye", range(10)),
        ("run_2026-01-31-12-00-01_1.bag", "/eye", range(10, 20)),
        ("run_2026-01-31-12-10-00_0.bag", "/eye", range(6000, 6010)),
        ("run_2026-01-31-12-10-01_1.bag", "/eye", range(6010, 6020)),
    ):
        write_bag1(tmp_path / name, jpegs(topic, numbers))
    names = {entry.id: entry.labels["recording"] for entry in listing(tmp_path).entries}
    assert names == {
        "run_2026-01-31-12-00-00_0.bag/eye": "run_2026-01-31-12-00-00_0.bag",
        "run_2026-01-31-12-00-01_1.bag/eye": "run_2026-01-31-12-00-00_0.bag",
        "run_2026-01-31-12-10-00_0.bag/eye": "run_2026-01-31-12-10-00_0.bag",
        "run_2026-01-31-12-10-01_1.bag/eye": "run_2026-01-31-12-10-00_0.bag",
    }


def test_of_several_topics_of_texts_the_one_that_speaks_first_counts(tmp_path: Path) -> None:
    said = [*texts("/instruction", [(3, "late")]), *texts("/task", [(1, "first")])]
    write_bag1(tmp_path / "a.bag", [*jpegs("/eye", range(5)), *said])
    assert only(tmp_path).text == "first"


def test_a_bag_of_ros_1_in_the_folder_of_one_of_ros_2_is_read_as_well(tmp_path: Path) -> None:
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(5)))
    write_bag1(bag / "before.bag", jpegs("/hand", range(5)))
    assert {entry.id for entry in listing(tmp_path).entries} == {"a/eye", "a/before.bag/hand"}


def test_the_command_says_what_it_took_it_for(source: Path, tmp_path: Path) -> None:
    done = sofdata("ingest", source, tmp_path / "d", "--set", "windows.length=4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "corpus: rosbag (bag of ROS: one.bag)" in done.stderr
