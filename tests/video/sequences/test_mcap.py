"""MCAP files that are whole, however they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcap.writer import Writer
from mcap_protobuf.writer import Writer as ProtobufWriter
from mcap_ros2.writer import Writer as Ros2Writer

from sofdata.errors import DecodeError
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences.place import SequencePlace
from tests.mcaps import (
    COMPRESSION,
    IMAGE,
    MCAP_SETTINGS,
    START_NS,
    Say,
    as_json,
    by_time,
    ffmpeg,
    image,
    images,
    opened,
    shown,
    topic,
    video,
    write,
)
from tests.robots import proto, ros
from tests.sequences import encoded, numbers_of


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("settings", MCAP_SETTINGS)
def test_pictures_are_read_however_the_file_is_made(
    tmp_path: Path, compression: str, settings: dict[str, Any]
) -> None:
    other = images(range(100, 120), "/other", start_s=0.03)
    path = write(
        tmp_path / "a.mcap",
        by_time(images(range(20)), other),
        compression=COMPRESSION[compression],
        **settings,
    )
    stream = opened(path)
    assert numbers_of(stream) == list(range(20))
    assert stream.decoder == "mcap jpeg by stamp times"
    assert stream.report.salvaged == ""
    assert stream.duration_s == pytest.approx(1.9)
    assert shown(path, SequencePlace.of("mcap", "/other")) == list(range(100, 120))
    for each in (topic(path), topic(path, "/other")):
        assert (each["count"], each["codec"], each["left_out"]) == (20, "jpeg", "")


@pytest.mark.parametrize("version", [1, 2])
def test_ros_1_and_2_are_read(tmp_path: Path, version: int) -> None:
    path = write(tmp_path / "a.mcap", images(range(8), version=version))
    assert shown(path) == list(range(8))


@pytest.mark.parametrize("kind", ["h264", "h265", "vp9", "av1"])
def test_topics_of_video_are_read(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.mcap", video(kind, 30, 25))
    assert shown(path, SequencePlace.of("mcap", "/video")) == list(range(30, 55))
    stream = opened(path, SequencePlace.of("mcap", "/video"), span_s=(1.25, 1.85))
    assert numbers_of(stream) == list(range(43, 49))
    assert topic(path, "/video")["codec"] == {"h265": "hevc"}.get(kind, kind)


def test_json_and_packets_of_ffmpeg_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", by_time(as_json(range(9)), ffmpeg("h264", 50, 15)))
    assert shown(path, SequencePlace.of("mcap", "/json")) == list(range(9))
    assert shown(path, SequencePlace.of("mcap", "/ffmpeg")) == list(range(50, 65))


def test_what_the_library_for_ros_2_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    text, _ = ros(2).generate_msgdef(IMAGE, ros_version=2)
    with path.open("wb") as stream:
        writer = Ros2Writer(stream)
        schema = writer.register_msgdef(IMAGE, text)
        for number in range(8):
            stamp = {"sec": 5, "nanosec": number * 10**8}
            message = {
                "header": {"stamp": stamp, "frame_id": "c"},
                "format": "jpeg",
                "data": encoded(number),
            }
            writer.write_message("/cam", schema, message, log_time=number)
        writer.finish()
    assert shown(path) == list(range(8))


def test_what_the_library_for_protobuf_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as stream, ProtobufWriter(stream) as writer:
        for number in range(8):
            message = proto("CompressedImage", number * 10**8, format="png", data=encoded(number))
            writer.write_message("/cam", message, log_time=number, publish_time=number)
    assert shown(path) == list(range(8))


def test_writers_of_one_topic_are_one_sequence(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    text, _ = ros(2).generate_msgdef(IMAGE, ros_version=2)
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema(IMAGE, "ros2msg", text.encode())
        channels = [
            writer.register_channel("/cam", "cdr", schema, {"node": node}) for node in ("a", "b")
        ]
        for place, each in enumerate(images(range(10))):
            writer.add_message(channels[place % 2], each.ns, each.data, each.ns)
        writer.finish()
    assert len(set(channels)) == 2
    assert shown(path) == list(range(10))
    assert topic(path)["count"] == 10


def test_messages_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    given = images(range(20))
    mixed = [given[place ^ 1] for place in range(20)]
    assert shown(write(tmp_path / "a.mcap", mixed)) == list(range(20))
    turned = write(tmp_path / "b.mcap", given[::-1])
    assert shown(turned) == list(range(20))


def test_stamps_that_go_back_leave_the_time_to_the_log(tmp_path: Path) -> None:
    given = images(range(10))
    wrong = image(7, at=0.1)
    given[7] = Say("/cam", IMAGE, wrong.data, given[7].ns)
    stream = opened(write(tmp_path / "a.mcap", given))
    assert numbers_of(stream) == list(range(10))
    assert stream.decoder == "mcap jpeg by log times"


def test_a_clock_may_be_asked_for(tmp_path: Path) -> None:
    given = [
        Say(each.topic, each.type, each.data, START_NS + 3 * place * 10**8)
        for place, each in enumerate(images(range(10)))
    ]
    path = write(tmp_path / "a.mcap", given)
    assert opened(path).duration_s == pytest.approx(0.9)
    assert opened(path, SequencePlace.of("mcap", "/cam", clock="log")).duration_s == pytest.approx(
        2.7
    )


def test_a_topic_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(3)))
    with pytest.raises(Unusable, match="has no topic '/eye'"):
        opened(path, SequencePlace.of("mcap", "/eye"))


def test_a_topic_whose_messages_are_all_broken_is_an_error(tmp_path: Path) -> None:
    given = [Say("/cam", IMAGE, each.data[:50], each.ns) for each in images(range(5))]
    path = write(tmp_path / "a.mcap", given)
    with pytest.raises(DecodeError, match="none of the first pictures can be read: no sensor_msgs"):
        opened(path)
    found = topic(path)
    assert found["codec"] == found["left_out"] == ""
    assert "Invalid sequence length" in found["why"]


def test_definitions_that_are_not_the_known_ones_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        evil = b"std_msgs/Header header\nuint8[] data\nstring format\n__import__('os').abort() x"
        schema = writer.register_schema("sensor_msgs/msg/CompressedImage", "ros2msg", evil)
        channel = writer.register_channel("/cam", "cdr", schema)
        writer.add_message(channel, 1, images([1])[0].data, 1)
        writer.finish()
    found = topic(path)
    assert found["left_out"] == "other definition of sensor_msgs/CompressedImage"
    with pytest.raises(Unusable, match="no topic '/cam' of a type that is read"):
        opened(path)


def test_a_remote_file_is_read_in_ranges(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", by_time(images(range(20)), images(range(20), "/o")))
    data = path.read_bytes()
    asked: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append(end - start)
        return data[start:end]

    assert shown(RangeFile("a.mcap", len(data), fetch)) == list(range(20))
    assert asked
