"""What a look into MCAP files tells, and the actions in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import Writer

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences import mcap
from sofdata.video.sequences.isolated import RecordReader
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.topics import MOST_TEXTS
from tests.mcaps import (
    BARE,
    IMAGE,
    MCAP_SETTINGS,
    START_NS,
    File,
    Say,
    by_time,
    images,
    numbers,
    opened,
    register,
    said,
    shown,
    topic,
    twists,
    write,
)
from tests.robots import array, numbers_array, ros, ros_message, written


def test_a_look_at_a_whole_file_reads_little_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(250), noise=30_000), chunk_size=200_000)
    size = path.stat().st_size
    data = path.read_bytes()
    blocks: set[int] = set()

    def fetch(start: int, end: int) -> bytes:
        blocks.add(start)
        return data[start:end]

    found = mcap.look(RangeFile("a.mcap", size, fetch), {})
    assert found["topics"][0]["count"] == 250
    assert len(blocks) <= 2 < size >> 20


def test_depth_is_told_from_pictures(tmp_path: Path) -> None:
    depth = [
        Say(
            "/depth",
            IMAGE,
            ros_message(2, IMAGE, format="16UC1; compressedDepth png", data=array(b"1")),
            each.ns,
        )
        for each in images(range(5))
    ]
    path = write(tmp_path / "a.mcap", by_time(images(range(5)), depth))
    assert topic(path, "/depth")["left_out"] == "depth"
    assert topic(path)["left_out"] == ""


@pytest.mark.parametrize("settings", MCAP_SETTINGS)
def test_texts_and_metadata_are_found(tmp_path: Path, settings: dict[str, Any]) -> None:
    texts = [said("/instruction", "pick", 0.0), said("/instruction", "pick", 0.5)]
    texts += [said("/instruction", "place", 1.05), said("/chatter", "no", 0.2)]
    path = File(tmp_path / "a.mcap", dict(settings)).write(
        by_time(images(range(20)), texts), {"episode": {"task": "tidy up", "operator": "x"}}
    )
    found = mcap.look(str(path), {})
    assert [(each["text"], each["log_ns"] - START_NS) for each in found["texts"]] == [
        ("pick", 0),
        ("place", 1_050_000_000),
    ]
    assert found["metadata"] == ["tidy up"]


@pytest.mark.parametrize("settings", MCAP_SETTINGS)
def test_actions_are_looked_at_and_read_on_the_clock_of_the_pictures(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.mcap", by_time(images(range(20)), twists(40)), **settings)
    found = mcap.look(str(path), {"actions": "/cmd_vel"})
    assert [each["topic"] for each in found["topics"]] == ["/cam"]
    assert found["numbers"] == ["/cmd_vel"]
    assert found["actions"]["count"] == 40
    assert found["actions"]["fps"] == pytest.approx(20)
    assert found["actions"]["names"][0] == "linear.x"
    place = SequencePlace.of("mcap", "/cam", actions="/cmd_vel", rows=40)
    rows = mcap.read_rows(str(path), place)
    assert rows.values[:, 0].tolist() == list(range(40))
    assert rows.times_s.tolist() == pytest.approx((np.arange(40) / 20).tolist())
    with pytest.raises(Unusable, match="40 messages of '/cmd_vel', where 41 were counted"):
        mcap.read_rows(str(path), SequencePlace.of("mcap", "/cam", actions="/cmd_vel", rows=41))


def joints(order: Iterable[str], values: dict[str, float]) -> bytes:
    names = list(order)
    return ros_message(
        2,
        "sensor_msgs/msg/JointState",
        time_ns=START_NS,
        name=names,
        position=np.array([values[name] for name in names], np.float64),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )


def test_joints_may_come_in_any_order_but_not_others(tmp_path: Path) -> None:
    def one(place: int) -> tuple[str, bytes]:
        order = "ab" if place % 2 == 0 else "ba"
        return "sensor_msgs/msg/JointState", joints(order, {"a": place, "b": -place})

    given = by_time(images(range(20)), numbers(one, 40, "/joints"))
    path = write(tmp_path / "a.mcap", given)
    place = SequencePlace.of("mcap", "/cam", actions="/joints")
    rows = mcap.read_rows(str(path), place)
    assert rows.values.tolist() == [[each, -each] for each in range(40)]

    def other(place: int) -> tuple[str, bytes]:
        return "sensor_msgs/msg/JointState", joints("ac"[: 1 + place // 20], {"a": 1, "c": 2})

    path = write(tmp_path / "b.mcap", by_time(images(range(20)), numbers(other, 40, "/joints")))
    with pytest.raises(
        Unusable, match="message 20 has the numbers a, c, where the first one has a"
    ):
        mcap.read_rows(str(path), place)


def test_arrays_of_another_length_are_an_error(tmp_path: Path) -> None:
    def one(place: int) -> tuple[str, bytes]:
        return "std_msgs/msg/Float64MultiArray", written(2, numbers_array([1.0] * (2 + place // 9)))

    path = write(tmp_path / "a.mcap", by_time(images(range(9)), numbers(one, 18, "/a")))
    with pytest.raises(Unusable, match="message 9 has the numbers action_0, action_1, action_2"):
        mcap.read_rows(str(path), SequencePlace.of("mcap", "/cam", actions="/a"))


def test_the_decoding_process_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", by_time(images(range(20)), twists(40)))
    place = SequencePlace.of("mcap", "/cam", actions="/cmd_vel", rows=40)
    with RecordReader() as reader:
        found = reader.look(str(path), "mcap", {"actions": "/cmd_vel"})
        rows = reader.rows(str(path), place)
    here = mcap.look(str(path), {"actions": "/cmd_vel"})
    assert found["topics"][0]["count"] == here["topics"][0]["count"] == 20
    assert rows.values.tolist() == mcap.read_rows(str(path), place).values.tolist()


def test_topics_of_texts_may_take_turns(tmp_path: Path) -> None:
    """Each says the same again and again, more often than there may be texts."""
    texts = [
        said("/task" if place % 2 else "/instruction", "ab"[place % 2], place / 5000)
        for place in range(MOST_TEXTS + 10)
    ]
    found = mcap.look(str(write(tmp_path / "a.mcap", by_time(images(range(5)), texts))), {})
    assert [(each["topic"], each["text"]) for each in found["texts"]] == [
        ("/instruction", "a"),
        ("/task", "b"),
    ]


@pytest.mark.parametrize("settings", [{}, BARE])
def test_messages_of_several_types_on_a_topic_are_a_reason(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "a.mcap"
    other = "sensor_msgs/msg/Image"
    size = {"height": 4, "width": 4, "step": 12, "is_bigendian": 0}
    raw = ros_message(2, other, encoding="rgb8", data=array(bytes(48)), **size)
    with path.open("wb") as stream:
        writer = Writer(stream, **settings)
        writer.start()
        channels = {}
        for name in (other, IMAGE, "sensor_msgs/msg/Imu"):  # the last one has no message
            text, _ = ros(2).generate_msgdef(name, ros_version=2)
            schema = writer.register_schema(name, "ros2msg", text.encode())
            channels[name] = writer.register_channel("/cam", "cdr", schema)
        for each in images(range(10)):
            writer.add_message(channels[IMAGE], each.ns, each.data, each.ns)
        writer.add_message(channels[other], START_NS + 10**10, raw, 0)
        writer.finish()
    found = topic(path)
    assert found["codec"] == found["left_out"] == ""
    assert found["why"].startswith("messages of several types lie on this topic: sensor_msgs/msg/C")
    with pytest.raises(Unusable, match="several types") as refused:
        opened(path)
    assert refused.value.reason == "other_type"


def test_topics_that_lie_in_no_chunk_are_found_in_a_file_with_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    given = by_time(images(range(10)), images(range(50, 60), "/plain"), [said("/task", "go", 0.2)])
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        channels: dict[str, int] = {}
        for plain in (False, True):
            for each in given:
                if (each.topic != "/cam") == plain:
                    if each.topic not in channels:
                        channels[each.topic] = register(writer, each)
                    writer.add_message(channels[each.topic], each.ns, each.data, each.ns)
            if not plain:
                writer._Writer__finalize_chunk()
                writer._Writer__chunk_builder = None
        writer.finish()
    assert shown(path, SequencePlace.of("mcap", "/plain")) == list(range(50, 60))
    assert (topic(path)["count"], topic(path, "/plain")["count"]) == (10, 10)
    assert topic(path, "/plain")["codec"] == "jpeg"
    assert [each["text"] for each in mcap.look(str(path), {})["texts"]] == ["go"]
