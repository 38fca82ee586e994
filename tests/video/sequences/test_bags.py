"""How messages are found in bags, also in damaged ones and in ones that were made to do harm."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from backports import zstd

from sofdata.errors import InputError
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences import rosbag
from sofdata.video.sequences.bags.bag1 import Bag1
from sofdata.video.sequences.bags.bag2 import Bag2, natural
from sofdata.video.sequences.bags.db3 import Db3
from sofdata.video.sequences.bags.store import Bag
from sofdata.video.sequences.place import SequencePlace
from tests.bags import (
    FILE,
    MESSAGE,
    NS,
    Compression1,
    Sent,
    at,
    joints,
    jpegs,
    raw,
    texts,
    write_bag1,
    write_bag2,
)
from tests.mcaps import Say, write
from tests.robots import proto
from tests.sequences import encoded

EYE = list(range(20))


def sent() -> list[Sent]:
    """Two cameras, a text and states."""
    said = texts("/task", [(0, "a"), (10, "b")])
    return [*jpegs("/eye", EYE), *raw("/hand", range(5, 25)), *said, *joints("/arm", EYE)]


def lengths(bag: Bag) -> dict[str, int]:
    """How many messages of each topic can be read."""
    found = {}
    for topic, index in bag.index(bag.topics).items():
        messages = bag.read(index, range(len(index.times_ns)))
        found[topic] = sum(message is not None for message in messages)
    return found


ALL = {"/eye": 20, "/hand": 20, "/task": 2, "/arm": 20}


@pytest.mark.parametrize("compression", [None, Compression1.BZ2, Compression1.LZ4])
def test_a_bag_of_ros_1_gives_every_message_in_order(tmp_path: Path, compression: object) -> None:
    bag = Bag1(str(write_bag1(tmp_path / "a.bag", sent(), compression)))
    assert lengths(bag) == ALL
    index = bag.index(["/eye"])["/eye"]
    assert index.times_ns.tolist() == [at(number) for number in EYE]
    assert (index.lost, index.words) == (0, ())
    assert {name: topic.type for name, topic in bag.topics.items()} == {
        "/eye": "sensor_msgs/CompressedImage",
        "/hand": "sensor_msgs/Image",
        "/task": "std_msgs/String",
        "/arm": "sensor_msgs/JointState",
    }
    assert bag.topics["/hand"].digests == {"060021388200f6f0f447d0fcd9c64743"}
    bag.close()


def test_the_head_of_a_message_is_read_alone(tmp_path: Path) -> None:
    bag = Bag1(str(write_bag1(tmp_path / "a.bag", sent())))
    index = bag.index(["/hand"])["/hand"]
    heads = list(bag.read(index, [0, 7], head_bytes=16))
    whole = list(bag.read(index, [0, 7]))
    assert [len(head or b"") for head in heads] == [16, 16]
    assert [(message or b"")[:16] for message in whole] == heads


def test_a_bag_is_read_in_ranges(tmp_path: Path) -> None:
    data = write_bag1(tmp_path / "a.bag", sent(), Compression1.LZ4).read_bytes()
    file = RangeFile("a.bag", len(data), lambda start, end: data[start:end])
    assert lengths(Bag1(file)) == ALL


@pytest.mark.parametrize("compression", [None, Compression1.BZ2])
def test_a_bag_that_was_never_closed_is_read_and_says_so(
    tmp_path: Path, compression: object
) -> None:
    path = write_bag1(tmp_path / "a.bag", sent(), compression)
    path.write_bytes(without_index(path.read_bytes()))
    bag = Bag1(str(path))
    assert lengths(bag) == ALL
    assert "was never closed" in bag.index(["/eye"])["/eye"].words[0]


def test_a_chunk_that_is_being_written_is_read_to_where_it_ends(tmp_path: Path) -> None:
    """As in a .bag.active, the last chunk does not yet say how long it is."""
    path = write_bag1(tmp_path / "a.bag", jpegs("/eye", EYE), chunk_bytes=1 << 15)
    data = without_index(path.read_bytes())
    at_chunk = max(places(data, b"compression="))
    size = data.index(b"size=", at_chunk) + 5
    data_size = size + 4
    end = data_size + 4 + struct.unpack_from("<I", data, data_size)[0] - 700  # and a cut message
    path.write_bytes(data[:size] + bytes(8) + data[data_size + 4 : end])
    found = lengths(Bag1(str(path)))["/eye"]
    assert found == len(EYE) - 1


def test_a_bag_that_is_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = write_bag1(tmp_path / "a.bag", sent())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    bag = Bag1(str(path))
    found = lengths(bag)
    assert 10 < found["/eye"] < 20
    assert "is cut off" in bag.index(["/eye"])["/eye"].words[0]


def test_a_damaged_chunk_costs_its_own_messages(tmp_path: Path) -> None:
    path = write_bag1(tmp_path / "a.bag", jpegs("/eye", EYE), Compression1.BZ2, 1 << 14)
    data = bytearray(path.read_bytes())
    second = list(places(bytes(data), b"BZh9"))[1]
    data[second + 30 : second + 60] = bytes(30)
    path.write_bytes(data)
    bag = Bag1(str(path))
    index = bag.index(["/eye"])["/eye"]
    messages = list(bag.read(index, range(20)))
    assert 2 <= messages.count(None) < 10
    assert messages[0] is not None
    assert messages[-1] is not None


def test_a_chunk_larger_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    path = write_bag1(tmp_path / "a.bag", jpegs("/eye", range(3)), Compression1.BZ2)
    data = bytearray(path.read_bytes())
    size = data.index(b"size=") + 5
    data[size : size + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    assert lengths(Bag1(str(path))) == {"/eye": 0}


def test_what_is_no_bag_of_this_version_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V1.2\n" + bytes(100))
    (tmp_path / "none.bag").write_bytes(b"\x00\x00\x00 ftypisom")
    (tmp_path / "empty.bag").write_bytes(b"")
    with pytest.raises(Unusable, match="rosbag filter"):
        Bag1(str(tmp_path / "old.bag"))
    with pytest.raises(Unusable, match="does not begin as a bag"):
        Bag1(str(tmp_path / "none.bag"))
    with pytest.raises(Unusable, match="holds no byte"):
        Bag1(str(tmp_path / "empty.bag"))


@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_wrong_anywhere_cost_messages_at_most(tmp_path: Path, seed: int) -> None:
    """Fields of headers, lengths, offsets: nothing else than messages or a reason comes of it."""
    chance = random.Random(seed)
    good = write_bag1(tmp_path / "a.bag", [*jpegs("/eye", range(4)), *joints("/arm", EYE)])
    data = good.read_bytes()
    headers = [at for mark in (b"op=", b"conn=", b"size=", b"count=") for at in places(data, mark)]
    for _ in range(60):
        broken = bytearray(data)
        for place in chance.sample(headers, 3):
            broken[place + chance.randrange(-8, 12)] = chance.randrange(256)
        good.write_bytes(broken)
        try:
            lengths(Bag1(str(good)))
        except InputError:
            continue


@pytest.mark.parametrize("compression", [None, FILE, MESSAGE])
def test_a_bag_of_ros_2_gives_every_message_in_order(tmp_path: Path, compression: object) -> None:
    bag = Bag2(f"{write_bag2(tmp_path / 'a', sent(), compression=compression)}/")
    assert lengths(bag) == ALL
    index = bag.index(["/eye"])["/eye"]
    assert index.times_ns.tolist() == [at(number) for number in EYE]
    assert (index.lost, index.words) == (0, ())
    (head,) = bag.read(index, [3], head_bytes=16)
    assert (head or b"")[:4] == b"\x00\x01\x00\x00"
    bag.close()


def split(folder: Path) -> Path:
    """A bag of three files, as rosbag2 splits them."""
    (folder / "bag").mkdir()
    for number, numbers in enumerate((range(8), range(8, 15), range(15, 20))):
        part = write_bag2(folder / f"part{number}", jpegs("/eye", numbers))
        (part / f"part{number}.db3").rename(folder / "bag" / f"bag_{number}.db3")
    about = yaml.safe_load((folder / "part0" / "metadata.yaml").read_text())
    inner = about["rosbag2_bagfile_information"]
    inner["relative_file_paths"] = [f"bag_{number}.db3" for number in range(3)]
    inner["topics_with_message_count"][0]["message_count"] = 20
    (folder / "bag" / "metadata.yaml").write_text(yaml.safe_dump(about))
    return folder / "bag"


def test_files_that_a_bag_is_split_in_are_one(tmp_path: Path) -> None:
    bag = Bag2(f"{split(tmp_path)}/")
    assert lengths(bag) == {"/eye": 20}
    assert bag.index(["/eye"])["/eye"].words == ()


def test_a_file_that_is_missing_is_told_with_what_it_costs(tmp_path: Path) -> None:
    folder = split(tmp_path)
    (folder / "bag_1.db3").unlink()
    index = Bag2(f"{folder}/").index(["/eye"])["/eye"]
    assert (len(index.times_ns), index.lost) == (13, 7)
    assert "bag_1.db3" in index.words[0]


def test_a_file_that_is_damaged_costs_itself(tmp_path: Path) -> None:
    folder = split(tmp_path)
    (folder / "bag_1.db3").write_bytes(b"nothing at all")
    index = Bag2(f"{folder}/").index(["/eye"])["/eye"]
    assert (len(index.times_ns), index.lost) == (13, 7)
    assert "bag_1.db3" in index.words[0]


def test_a_folder_without_metadata_is_read_file_by_file(tmp_path: Path) -> None:
    folder = split(tmp_path)
    (folder / "metadata.yaml").unlink()
    assert lengths(Bag2(f"{folder}/")) == {"/eye": 20}
    assert lengths(Bag2(str(folder / "bag_2.db3"))) == {"/eye": 5}
    assert sorted(["b_10.db3", "b_2.db3"], key=natural) == ["b_2.db3", "b_10.db3"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "does not describe a bag"),
        ("rosbag2_bagfile_information: 3", "does not describe a bag"),
        ("!!python/object/apply:os.system ['touch harm']", "does not describe a bag"),
        (
            "rosbag2_bagfile_information: {relative_file_paths: [a.db3], storage_identifier: odd}",
            "storage 'odd'",
        ),
        (
            "rosbag2_bagfile_information: {relative_file_paths: [a.db3], storage_identifier:"
            " sqlite3, compression_format: lz4}",
            "compression 'lz4'",
        ),
    ],
)
def test_metadata_that_is_wrong_is_a_reason(tmp_path: Path, text: str, why: str) -> None:
    folder = write_bag2(tmp_path / "a", jpegs("/eye", range(2)))
    (folder / "metadata.yaml").write_text(text)
    with pytest.raises(Unusable, match=why):
        Bag2(f"{folder}/")


def changed(path: Path, *statements: str) -> str:
    """A database of a bag after some statements."""
    folder = write_bag2(path, jpegs("/eye", range(5)))
    file = folder / f"{path.name}.db3"
    with sqlite3.connect(file) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    return str(file)


def test_a_view_is_no_table(tmp_path: Path) -> None:
    path = changed(
        tmp_path / "a",
        "ALTER TABLE messages RENAME TO others",
        "CREATE VIEW messages AS SELECT id, topic_id, timestamp, randomblob(9) AS data FROM others",
    )
    with pytest.raises(Unusable, match="'messages' is a view"):
        Db3(path)


def test_a_virtual_table_is_no_table(tmp_path: Path) -> None:
    path = changed(
        tmp_path / "a", "DROP TABLE messages", "CREATE VIRTUAL TABLE messages USING fts5(data)"
    )
    with pytest.raises(Unusable, match="'messages' is a virtual table"):
        Db3(path)


def test_computed_columns_are_not_computed(tmp_path: Path) -> None:
    path = changed(
        tmp_path / "a",
        "DROP TABLE messages",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,"
        " data BLOB AS (zeroblob(1000000000)))",
        "INSERT INTO messages(topic_id, timestamp) VALUES (1, 1)",
    )
    with pytest.raises(Unusable, match="computed columns"):
        Db3(path)


def test_triggers_lie_there_and_nothing_runs(tmp_path: Path) -> None:
    path = changed(
        tmp_path / "a",
        "CREATE TRIGGER harm AFTER INSERT ON messages BEGIN DELETE FROM topics; END",
        "CREATE INDEX odd ON messages(abs(timestamp))",
    )
    before = Path(path).read_bytes()
    assert lengths(Db3(path)) == {"/eye": 5}
    assert Path(path).read_bytes() == before
    assert sorted(each.name for each in Path(path).parent.iterdir()) == ["a.db3", "metadata.yaml"]


def test_values_of_other_kinds_cost_themselves(tmp_path: Path) -> None:
    path = changed(
        tmp_path / "a",
        "UPDATE messages SET data = 7 WHERE id = 2",
        "UPDATE messages SET data = zeroblob(600000000) WHERE id = 3",
    )
    assert lengths(Db3(path)) == {"/eye": 3}
    odd = Db3(changed(tmp_path / "b", "UPDATE messages SET timestamp = 'noon' WHERE id = 2"))
    assert "cannot be read to its end" in odd.index(["/eye"])["/eye"].words[0]


def test_a_database_that_was_not_closed_says_how_to_finish_it(tmp_path: Path) -> None:
    path = changed(tmp_path / "a")
    Path(f"{path}-wal").write_bytes(b"7\x7f\x06\x82" + bytes(100))
    with pytest.raises(Unusable, match=r"sqlite3 a\.db3 'PRAGMA journal_mode=DELETE'") as caught:
        Db3(path)
    assert caught.value.reason == "unfinished"


def test_a_malformed_database_costs_what_cannot_be_read(tmp_path: Path) -> None:
    path = Path(changed(tmp_path / "a"))
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 2, len(data), 4096):
        data[page : page + 4096] = b"\xff" * min(4096, len(data) - page)
    path.write_bytes(data)
    db = Db3(str(path))
    assert lengths(db)["/eye"] < 5
    assert "malformed" in db.index(["/eye"])["/eye"].words[0]


def test_names_that_mean_something_in_a_uri_are_names(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=rwc&x=#%41.db3"
    Path(changed(tmp_path / "a")).rename(path)
    assert lengths(Db3(str(path))) == {"/eye": 5}


def test_an_index_without_a_chunk_before_it_is_damage(tmp_path: Path) -> None:
    path = write_bag1(tmp_path / "a.bag", jpegs("/eye", range(5)))
    data = without_index(path.read_bytes())
    chunk = data.index(b"compression=") - 8 - len(b"....op=.")
    index = data[data.index(b"op=\x04") - 8 :]
    path.write_bytes(data[:chunk] + index)
    assert lengths(Bag1(str(path))) == {}


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_was_unpacked_since_is_read_for_the_packed_one(
    tmp_path: Path, keep: bool
) -> None:
    """metadata.yaml goes on to name a.db3.zstd."""
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(5)), compression=FILE)
    packed = bag / "a.db3.zstd"
    (bag / "a.db3").write_bytes(zstd.decompress(packed.read_bytes()))
    if not keep:
        packed.unlink()
    found = Bag2(f"{bag}/")
    assert lengths(found) == {"/eye": 5}
    assert found.words == []


def test_a_file_that_was_packed_since_is_read_for_the_plain_one(tmp_path: Path) -> None:
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(5)))
    (bag / "a.db3.zstd").write_bytes(zstd.compress((bag / "a.db3").read_bytes()))
    (bag / "a.db3").unlink()
    found = Bag2(f"{bag}/")
    assert lengths(found) == {"/eye": 5}
    assert found.words == []


def test_a_first_message_that_cannot_be_had_is_the_start_all_the_same(tmp_path: Path) -> None:
    """Texts are put on the clock of the pictures, which counts from it."""
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(5), late_ns=7))
    with sqlite3.connect(bag / "a.db3") as db:
        db.execute("UPDATE messages SET data = 7 WHERE id = 1")
    db.close()
    (eye,) = rosbag.look(f"{bag}/", {})["topics"]
    assert (eye["first_ns"], eye["codec"]) == ((at(0) + 7, None), "jpeg")


def test_foxgloves_pictures_in_protobuf_are_read_in_bags_too(tmp_path: Path) -> None:
    """A lone .mcap beside bags is read as one. One stamp is 36 thousand million years from now."""
    given = []
    for number in range(6):
        stamp_ns = (1 << 60) * NS if number == 3 else at(number)
        data = proto("CompressedImage", stamp_ns, format="jpeg", data=encoded(number))
        kind = "foxglove.CompressedImage"
        given.append(Say("/cam", kind, data.SerializeToString(), at(number)))
    path = str(write(tmp_path / "a.mcap", given))
    assert rosbag.look(path, {})["topics"][0]["codec"] == "jpeg"
    sequence = rosbag.open_sequence(path, SequencePlace.of("rosbag", "/cam"))
    assert sequence.codec == "jpeg by log times"
    assert list(sequence.images([0, 3, 5])) == [encoded(0), encoded(3), encoded(5)]
    assert sequence.damage[1][0].startswith("of its 6 stamps 1 are not set")


def test_a_bag_whose_clock_was_set_back_says_so(tmp_path: Path) -> None:
    bag = write_bag2(tmp_path / "a", jpegs("/eye", range(30)))
    with sqlite3.connect(bag / "a.db3") as db:
        db.execute("UPDATE messages SET timestamp = timestamp - 1500000000 WHERE id > 20")
    db.close()
    index = Bag2(f"{bag}/").index(["/eye"])["/eye"]
    assert index.words[0].startswith("a.db3: its messages lie in the file up to 1.4 s out of the ")


def without_index(data: bytes) -> bytes:
    """A bag as it is while it is recorded."""
    where = data.index(b"index_pos=") + len("index_pos=")
    return data[:where] + bytes(8) + data[where + 8 :]


def places(data: bytes, mark: bytes) -> Iterator[int]:
    """Where some bytes occur."""
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)
