"""MCAP files: whole, without their summary, cut off, damaged, and made to do harm."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from mcap.writer import IndexType, Writer
from mcap_protobuf.writer import Writer as ProtobufWriter
from mcap_ros2.writer import Writer as Ros2Writer

from sofdata.errors import DecodeError
from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sampling import Sampling
from sofdata.video.sequences import mcap
from sofdata.video.sequences.isolated import RecordReader
from sofdata.video.sequences.mcaps.recording import Recording
from sofdata.video.sequences.mcaps.records import Damage, records
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.mcaps import (
    BARE,
    COMPRESSION,
    IMAGE,
    NO_INDEX,
    START_NS,
    File,
    Say,
    as_json,
    by_time,
    ffmpeg,
    image,
    images,
    numbers,
    said,
    video,
    write,
)
from tests.robots import array, numbers_array, proto, ros, ros_message, twist, written
from tests.sequences import encoded, numbers_of

CAM = SequencePlace.of("mcap", "/cam")


def opened(path: Any, place: SequencePlace = CAM, **sampling: object) -> SequenceStream:
    wanted = Sampling(**{"size": 96, "step_s": 0.1, **sampling})  # type: ignore[arg-type]
    return SequenceStream(path, place, VideoConfig(), wanted)


def shown(path: Any, place: SequencePlace = CAM) -> list[int | None]:
    return numbers_of(opened(path, place))


def topic(path: Path, name: str = "/cam", **options: object) -> dict[str, Any]:
    """What a look says of a topic."""
    (found,) = [each for each in mcap.look(str(path), options)["topics"] if each["topic"] == name]
    return dict(found)


SETTINGS: list[dict[str, Any]] = [
    {},
    NO_INDEX,
    {"index_types": IndexType.CHUNK},
    BARE,
    {"use_chunking": False},
]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("settings", SETTINGS)
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


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("chunk_size", [200_000, 10_000_000])
def test_of_a_cut_file_what_comes_before_the_cut_is_used(
    tmp_path: Path, compression: str, chunk_size: int
) -> None:
    path = write(
        tmp_path / "a.mcap",
        images(range(100), noise=30_000),
        compression=COMPRESSION[compression],
        chunk_size=chunk_size,
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    stream = opened(path)
    found = numbers_of(stream)
    assert 40 <= len(found) <= 50
    assert found == list(range(len(found)))
    assert f"the file is cut off at byte {len(data) // 2}" in stream.report.salvaged
    said_ = mcap.look(str(path), {})
    assert said_["topics"][0]["count"] == len(found)
    assert said_["damage"]


def test_a_file_that_lacks_only_its_end_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    path.write_bytes(path.read_bytes()[:-8])
    assert shown(path) == list(range(20))


def chunks(path: Path) -> list[tuple[int, int]]:
    """Where the bodies of the chunks of a file begin, and how long they are."""
    with path.open("rb") as file:
        return [
            (each.start, each.length)
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 6
        ]


def spoil(path: Path, at: int, by: bytes = b"\xff\x00\xff") -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(by)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("settings", [{}, BARE])
def test_a_chunk_that_fails_its_checksum_is_not_used(
    tmp_path: Path, compression: str, settings: dict[str, Any]
) -> None:
    path = write(
        tmp_path / "a.mcap", images(range(40)), compression=COMPRESSION[compression], **settings
    )
    start, length = chunks(path)[3]
    spoil(path, start + length // 2)
    stream = opened(path)
    found = [number for number in numbers_of(stream) if number is not None]
    lost = 40 - len(found)
    assert 0 < lost < 8
    assert (
        sorted(set(range(40)) - set(found))
        == list(range(min(set(range(40)) - set(found)), 40))[:lost]
    )
    assert f"{start}" in stream.report.salvaged or "checksum" in stream.report.salvaged
    if not settings or compression == "none":  # else nothing says how many there were
        assert stream.report.frames_lost == lost


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_chunks_without_a_checksum_are_used(tmp_path: Path, compression: str) -> None:
    """What is passed over in a chunk that is not packed either is not even read."""
    other = images(range(30), "/o", noise=60_000)
    settings = {"compression": COMPRESSION[compression], "chunk_size": 500_000}
    given = by_time(images(range(30), noise=30_000), other)
    path = write(tmp_path / "a.mcap", given, enable_crcs=False, **settings)
    assert shown(path) == shown(path, SequencePlace.of("mcap", "/o")) == list(range(30))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = shown(path)
    assert 10 <= len(found) < 20
    assert found == list(range(len(found)))


def test_a_wrong_summary_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    data = path.read_bytes()
    spoil(path, len(data) - 80, b"\xff" * 9)
    with_none = Recording(str(path))
    assert with_none.summary is None
    with_none.close()
    assert shown(path) == list(range(20))
    assert topic(path)["count"] == 20


def test_a_summary_that_counts_more_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    start, _ = chunks(path)[2]
    spoil(path, start - 9, b"\x08")  # a kind that holds no messages
    stream = opened(path)
    assert len(numbers_of(stream)) < 20
    assert "are missing of those that the summary counts" in stream.report.salvaged


@pytest.mark.parametrize("zeros", [16, 100_000])
def test_a_file_that_ends_in_zeros_is_read_up_to_them(tmp_path: Path, zeros: int) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)), **BARE)
    with path.open("rb") as file:
        end = next(
            each.start - 9
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 0x0F
        )
    path.write_bytes(path.read_bytes()[:end] + bytes(zeros))
    stream = opened(path)
    assert numbers_of(stream) == list(range(20))
    assert "is no record" in stream.report.salvaged


def record(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", kind, len(body) if length is None else length) + body


def chunk(data: bytes, compression: bytes, size: int) -> bytes:
    head = struct.pack("<QQQII", 0, 0, size, 0, len(compression)) + compression
    return record(6, head + struct.pack("<Q", len(data)) + data)


def before(path: Path) -> bytes:
    """A whole file up to the end of its data."""
    with path.open("rb") as file:
        end = next(
            each.start - 9
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 0x0F
        )
    return path.read_bytes()[:end]


HOSTILE = {
    "a message of 2^63 bytes": record(5, b"\0" * 22, 1 << 63),
    "a message that is too short": record(5, b"\0" * 5),
    "a channel of nonsense": record(4, b"\xff" * 30),
    "a chunk without a head": record(6, b"\0" * 10),
    "a chunk of another compression": chunk(b"abc", b"xz", 3),
    "a chunk of nonsense": chunk(b"abc" * 40, b"zstd", 1000),
    "a chunk of nonsense in LZ4": chunk(b"abc" * 40, b"lz4", 1000),
    "a chunk that unpacks to more": chunk(zstandard.compress(bytes(1 << 26)), b"zstd", 1000),
    "a chunk that holds a long message": chunk(record(5, b"\0" * 40, 1 << 40), b"", 49),
    "private records": record(0x90, b"own"),
    "a schema with a long name": record(3, b"\1\0" + b"\xff\xff\xff\x7f" + b"x" * 40),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_harmful_records_cost_nothing_else(tmp_path: Path, harm: str) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)), **BARE)
    path.write_bytes(before(path) + HOSTILE[harm])
    assert shown(path) == list(range(20))
    assert topic(path)["count"] == 20


def test_a_bomb_is_unpacked_no_further_than_it_says_and_never_held(tmp_path: Path) -> None:
    """A chunk of half a GiB of zeros says that it holds one MiB."""
    path = write(tmp_path / "a.mcap", images(range(5)), **BARE)
    packer = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(1 << 24)
    bomb = b"".join(packer.compress(zeros) for _ in range(32)) + packer.flush()
    path.write_bytes(before(path) + chunk(bomb, b"zstd", 1 << 20))
    assert shown(path) == list(range(5))


def test_a_message_larger_than_any_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.video.sequences.mcaps.index.MOST_MESSAGE_BYTES", 20_000)
    monkeypatch.setattr("sofdata.video.sequences.mcaps.look.MOST_MESSAGE_BYTES", 20_000)
    given = images(range(10))
    data = ros_message(2, IMAGE, time_ns=1, format="jpeg", data=array(bytes(30_000)))
    given[4] = Say("/cam", IMAGE, data, given[4].ns)
    stream = opened(write(tmp_path / "a.mcap", given))
    assert numbers_of(stream) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert stream.decoder == "mcap jpeg by log times"  # whose stamp was not looked at
    assert stream.report.decode_errors == 1


@pytest.mark.parametrize("data", [b"", b"\x89MCAP0\r\n", b"#ROSBAG V2.0\n", b"text" * 100])
def test_what_is_no_mcap_file_is_damaged(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(data)
    with pytest.raises(Unusable) as refused:
        opened(path)
    assert refused.value.reason == "damaged"


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


@pytest.mark.parametrize("settings", SETTINGS)
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


def twists(count: int, hz: float = 20.0) -> list[Say]:
    def one(place: int) -> tuple[str, bytes]:
        return "geometry_msgs/msg/Twist", written(2, twist([place, 0, 0, 0, 0, -place]))

    return numbers(one, count, "/cmd_vel", hz)


@pytest.mark.parametrize("settings", SETTINGS)
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
