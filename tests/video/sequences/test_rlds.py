"""TFRecord files and tf.train.Example are read as protobuf and TFDS write them, and no further."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.rlds import example as wire
from sofdata.video.sequences.rlds import tfrecord
from sofdata.video.sequences.rlds.look import look
from sofdata.video.sequences.rlds.reader import open_sequence, read_rows
from sofdata.video.sequences.rlds.steps import Part, parts_of
from tests import rlds_files as made
from tests.conformance.barcode import draw, read
from tests.sequences import encoded


def spread(data: bytes) -> list[tfrecord.Record]:
    return list(tfrecord.records(io.BytesIO(data), len(data)))


class TestRecords:
    def test_each_is_found_and_its_checksum_holds(self) -> None:
        parts = [b"one", b"", b"three" * 1000]
        data = b"".join(map(made.framed, parts))
        found = spread(data)
        assert [data[each.start : each.end] for each in found] == parts
        for each in found:
            tfrecord.check(io.BytesIO(data), each)

    def test_an_empty_file_has_none(self) -> None:
        assert spread(b"") == []

    def test_those_before_a_cut_are_found(self) -> None:
        data = made.framed(b"first") + made.framed(b"second")
        for end in (len(data) - 1, len(data) - 10, len(made.framed(b"first")) + 5):
            found = tfrecord.records(io.BytesIO(data[:end]), end)
            assert next(found).size == 5
            with pytest.raises(Unusable, match="cut off"):
                next(found)

    def test_a_flipped_bit_of_the_data_is_seen(self) -> None:
        data = bytearray(made.framed(b"some data"))
        data[14] ^= 1
        (record,) = spread(bytes(data))
        with pytest.raises(Unusable, match="checksum of the record"):
            tfrecord.check(io.BytesIO(bytes(data)), record)

    def test_a_flipped_bit_of_a_length_ends_it(self) -> None:
        data = bytearray(made.framed(b"first") + made.framed(b"second"))
        data[len(made.framed(b"first"))] ^= 1
        with pytest.raises(Unusable, match="nothing from there on"):
            spread(bytes(data))

    @pytest.mark.parametrize(
        ("packed", "how"),
        [
            (gzip.compress, "GZIP.*gunzip"),
            (zlib.compress, "ZLIB"),
            (bz2.compress, "bunzip2"),
            (lzma.compress, "unxz"),
            (lambda data: pa.compress(data, "zstd", asbytes=True), "unzstd"),
        ],
    )
    def test_a_compressed_file_is_named(self, packed: Callable[[bytes], bytes], how: str) -> None:
        with pytest.raises(Unusable, match=how) as error:
            spread(packed(made.framed(b"first" * 100)))
        assert error.value.reason == "compressed"

    def test_another_file_is_none(self) -> None:
        with pytest.raises(Unusable, match="no TFRecord"):
            spread(b"\xff\xd8\xff\xe0" + bytes(100))

    def test_a_record_that_is_not_where_the_place_says(self) -> None:
        data = made.framed(b"first") + made.framed(b"second")
        with pytest.raises(Unusable, match="record of 5 bytes"):
            tfrecord.check(io.BytesIO(data), tfrecord.Record(12, 6))


def features(data: bytes) -> tuple[io.BytesIO, dict[str, wire.StoredFeature]]:
    file = io.BytesIO(b"--" + data + b"--")
    return file, wire.features(file, 2, 2 + len(data))


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


class TestExample:
    def test_every_feature_is_found_with_its_values(self) -> None:
        whole = np.array([0, 1, 127, 128, 255, 1 << 40, -1, -(1 << 63)])
        floats = np.array([0.0, -1.5, 3e38], np.float32)
        data = made.example({"a/b": whole, "f": floats, "texts": ["", "x" * 200, "é"]})
        file, found = features(data)
        assert wire.numbers(file, found["a/b"]).tolist() == whole.tolist()
        assert wire.numbers(file, found["f"]).tolist() == floats.tolist()
        texts = [wire.read_at(file, *at).decode() for at in wire.values(file, found["texts"])]
        assert texts == ["", "x" * 200, "é"]

    def test_no_value_is_read_to_find_it(self) -> None:
        data = made.example({"big": [b"\0" * 5_000_000], "small": np.arange(3)})
        read: list[int] = []

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                read.append(size or 0)
                return super().read(size)

        file = Counted(data)
        found = wire.features(file, 0, len(data))
        ((start, end),) = wire.values(file, found["big"])
        assert end - start == 5_000_000
        assert sum(read) < 200

    def test_other_orders_and_fields_that_nobody_knows(self) -> None:
        """A value before its key, a list in two pieces, numbers one by one, a field from later."""
        floats = np.array([1.5, 2.5], "<f4").tobytes()
        value = field(2, field(1, floats)) + field(2, b"\x0d" + floats[:4]) + b"\x40\x07"
        entry = field(2, value) + field(1, b"f") + field(9, b"later")
        alone = field(1, b"i") + field(2, field(3, b"\x08\x05\x08\xac\x02"))
        data = field(1, field(1, entry) + field(1, alone)) + b"\x1d1234"
        file, found = features(data)
        assert wire.numbers(file, found["f"]).tolist() == [1.5, 2.5, 1.5]
        assert wire.numbers(file, found["i"]).tolist() == [5, 300]

    def test_the_last_of_a_name_and_of_a_kind_counts(self) -> None:
        one = field(1, b"n") + field(2, field(3, field(1, b"\x01")))
        two = field(1, b"n") + field(2, field(3, b"") + field(1, field(1, b"text")))
        _, found = features(field(1, field(1, one) + field(1, two)))
        assert found["n"].kind == wire.BYTES

    @pytest.mark.parametrize(
        "data",
        [
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # longer than its message
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a number of eleven bytes
            b"\x0a\x80",
            b"\x0b\x00",  # a group, which proto3 does not have
            field(1, field(1, field(1, b"n" * 5000))),
        ],
    )
    def test_what_is_no_message_is_damaged(self, data: bytes) -> None:
        with pytest.raises(Unusable):
            features(data)

    @pytest.mark.parametrize("data", [b"\x80", b"\x01\xff", b"\x80" * 10 + b"\x01"])
    def test_numbers_that_end_in_the_middle_of_one(self, data: bytes) -> None:
        with pytest.raises(Unusable):
            wire.integers(data)

    def test_pictures_are_found_among_packed_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_CHUNK_BYTES", 7)
        values = np.random.default_rng(0).integers(0, 256, 60)
        file, found = features(made.example({"p": values}))
        ((start, end),) = wire.number_parts(file, found["p"])
        offsets = wire.offsets_of(file, start, end, every=12)
        pieces = [wire.integers(wire.read_at(file, *at)) for at in itertools.pairwise(offsets)]
        assert [piece.tolist() for piece in pieces] == values.reshape(5, 12).tolist()
        with pytest.raises(Unusable, match="whole number"):
            wire.offsets_of(file, start, end, every=13)


class TestParts:
    @pytest.mark.parametrize(
        ("first", "last", "expected"),
        [
            ([1, 0, 0, 0], [0, 0, 0, 1], [Part(0, 4, True)]),
            ([], [], [Part(0, 4, False)]),
            ([1, 0, 1, 0], [0, 1, 0, 1], [Part(0, 2, True), Part(2, 4, True)]),
            ([1, 0, 0, 0], [0, 1, 0, 0], [Part(0, 2, True), Part(2, 4, False)]),
            ([1, 1, 1, 1], [0, 0, 0, 0], [Part(0, 4, False)]),
            ([0, 0, 0, 0], [0, 0, 0, 0], [Part(0, 4, False)]),
            ([1, 1, 0, 0], [0, 0, 1, 1], [Part(0, 4, True)]),  # flags that are held
            ([1, 1, 0, 1, 1], [0, 1, 1, 0, 1], [Part(0, 3, True), Part(3, 5, True)]),
        ],
    )
    def test_flags_cut_a_record_apart(
        self, first: list[int], last: list[int], expected: list[Part]
    ) -> None:
        steps = expected[-1].end
        assert parts_of(np.array(first), np.array(last), steps) == expected

    def test_no_step_is_one_empty_part(self) -> None:
        assert parts_of(np.array([], np.int64), np.array([], np.int64), 0) == [Part(0, 0, False)]


NAME = "steps/observation/image"


def shard_of(path: Path, **values: Any) -> dict[str, Any]:
    """A shard of one record of these; `at` and `bytes` of a place."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    data = made.example(named)
    made.write_shard(path, [b"before", data])
    return {"at": 12 + len(made.framed(b"before")), "bytes": len(data)}


def shown(path: Path, place: SequencePlace) -> list[int | None]:
    """The numbers that the pictures carry."""
    sequence = open_sequence(str(path), place)
    try:
        found = []
        for image in sequence.images(range(len(sequence.times_s))):
            if isinstance(image, bytes):
                from PIL import Image

                image = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
            found.append(None if image is None else read(image).number)
        return found
    finally:
        sequence.close()


class TestPictures:
    def test_encoded_ones_with_one_missing(self, tmp_path: Path) -> None:
        pictures = [encoded(1), b"", encoded(3, "PNG")]
        at = shard_of(tmp_path / "s", steps__observation__image=pictures)
        place = SequencePlace.of("rlds", NAME, steps=3, fps=5.0, **at)
        assert shown(tmp_path / "s", place) == [1, None, 3]

    def test_some_steps_of_a_record(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=[encoded(n) for n in range(5)])
        place = SequencePlace.of("rlds", NAME, steps=5, first=2, end=4, fps=5.0, **at)
        assert shown(tmp_path / "s", place) == [2, 3]

    @pytest.mark.parametrize("coding", ["none", "bytes", "zlib"])
    def test_arrays(self, coding: str, tmp_path: Path) -> None:
        arrays = [draw(number, 192, 128) for number in (7, 200)]
        pack = {"bytes": bytes, "zlib": lambda each: zlib.compress(bytes(each))}
        values = [pack[coding](each) for each in arrays] if coding != "none" else np.stack(arrays)
        at = shard_of(tmp_path / "s", steps__observation__image=values)
        options: dict[str, Any] = {"raw": "128x192x3", "coding": coding, "steps": 2, "fps": 5.0}
        assert shown(tmp_path / "s", SequencePlace.of("rlds", NAME, **options, **at)) == [7, 200]

    def test_arrays_each_of_its_own_shape(self, tmp_path: Path) -> None:
        arrays = [draw(7, 192, 128), draw(8, 384, 256)]
        values = {
            f"{NAME}/value".replace("/", "__"): [each.tobytes() for each in arrays],
            f"{NAME}/shape".replace("/", "__"): np.array([each.shape for each in arrays]),
        }
        at = shard_of(tmp_path / "s", **values)
        options: dict[str, Any] = {"raw": "?x?x3", "coding": "bytes", "steps": 2, "fps": 5.0}
        assert shown(tmp_path / "s", SequencePlace.of("rlds", NAME, **options, **at)) == [7, 8]

    def test_an_array_of_another_size_is_one_picture_less(self, tmp_path: Path) -> None:
        values = [draw(7, 192, 128).tobytes(), b"short"]
        at = shard_of(tmp_path / "s", steps__observation__image=values)
        options: dict[str, Any] = {"raw": "128x192x3", "coding": "bytes", "steps": 2, "fps": 5.0}
        assert shown(tmp_path / "s", SequencePlace.of("rlds", NAME, **options, **at)) == [7, None]

    def test_as_many_pictures_as_steps(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=[encoded(1)] * 4)
        with pytest.raises(Unusable, match=r"4 pictures .* 5 steps"):
            shown(tmp_path / "s", SequencePlace.of("rlds", NAME, steps=5, fps=5.0, **at))

    def test_numbers_in_place_of_pictures(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=np.arange(5))
        with pytest.raises(Unusable, match="holds integers"):
            shown(tmp_path / "s", SequencePlace.of("rlds", NAME, steps=5, fps=5.0, **at))

    def test_a_wrong_checksum_is_seen_before_any_picture(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=[encoded(1)] * 3)
        data = bytearray((tmp_path / "s").read_bytes())
        data[at["at"] + at["bytes"] // 2] ^= 1
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(Unusable, match="checksum"):
            open_sequence(
                str(tmp_path / "s"), SequencePlace.of("rlds", NAME, steps=3, fps=5.0, **at)
            )

    def test_a_file_that_is_read_in_ranges(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=[encoded(n) for n in range(3)])
        data = (tmp_path / "s").read_bytes()
        file = RangeFile("s", len(data), lambda start, end: data[start:end])
        sequence = open_sequence(file, SequencePlace.of("rlds", NAME, steps=3, fps=5.0, **at))
        assert list(sequence.images([2])) == [encoded(2)]


class TestTimes:
    def test_nanoseconds_since_1970_stay_exact(self, tmp_path: Path) -> None:
        stated = 1_700_000_000_000_000_000 + np.array([0, 33_333_333, 66_666_667])
        images = [encoded(n) for n in range(3)]
        at = shard_of(tmp_path / "s", steps__observation__image=images, t=stated)
        place = SequencePlace.of("rlds", NAME, steps=3, times="t", unit=1e-9, **at)
        sequence = open_sequence(str(tmp_path / "s"), place)
        assert sequence.times_s.tolist() == pytest.approx([0, 0.033333333, 0.066666667], abs=1e-9)

    def test_as_many_times_as_steps(self, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", steps__observation__image=[encoded(1)] * 3, t=np.arange(4))
        place = SequencePlace.of("rlds", NAME, steps=3, times="t", unit=1.0, **at)
        with pytest.raises(Unusable, match="4 times for 3 steps"):
            open_sequence(str(tmp_path / "s"), place)


class TestRows:
    def place(self, at: dict[str, Any], columns: str, **options: Any) -> SequencePlace:
        return SequencePlace.of("rlds", "", steps=3, fps=5.0, columns=columns, **options, **at)

    def test_features_are_joined_and_the_last_step_left_out(self, tmp_path: Path) -> None:
        pose, grip = np.arange(6, dtype=np.float32), np.array([1, 0, 1])
        at = shard_of(tmp_path / "s", pose=pose, grip=grip, last=np.array([0, 0, 1]))
        columns = "2 none float32 pose\n1 none bool grip"
        rows = read_rows(str(tmp_path / "s"), self.place(at, columns, last="last"))
        assert rows.values.tolist() == [[0, 1, 1], [2, 3, 0]]
        assert rows.times_s.tolist() == [0, 0.2]

    def test_tensors_that_were_packed(self, tmp_path: Path) -> None:
        each = [np.array([n, -n], "<f8").tobytes() for n in range(3)]
        packed = [zlib.compress(one) for one in each]
        at = shard_of(tmp_path / "s", a=each, b=packed)
        columns = "2 bytes float64 a\n2 zlib float64 b"
        rows = read_rows(str(tmp_path / "s"), self.place(at, columns))
        assert rows.values.tolist() == [[n, -n, n, -n] for n in range(3)]

    @pytest.mark.parametrize(
        ("values", "columns"),
        [
            (np.arange(5.0), "2 none float32 a"),
            ([b"x"] * 3, "2 none float32 a"),
            ([b"x"] * 3, "2 zlib float32 a"),
            ([b"x" * 8] * 3, "2 bytes object a"),
            (np.arange(6.0), "2 none float32 other"),
        ],
    )
    def test_what_is_not_as_it_should_be(self, values: Any, columns: str, tmp_path: Path) -> None:
        at = shard_of(tmp_path / "s", a=values)
        with pytest.raises(Unusable):
            read_rows(str(tmp_path / "s"), self.place(at, columns))


def test_a_look_reads_no_picture(tmp_path: Path) -> None:
    """Nine tenths of a shard of pictures of 100 KB are not looked at."""
    values = {**made.flags(8), "p": [bytes(100_000)] * 8, "text": ["do it"] * 8}
    made.write_shard(tmp_path / "s", [made.example(values)])
    data = (tmp_path / "s").read_bytes()
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append(end - start)
        return data[start:end]

    class Exact(RangeFile):
        def read(self, size: int = -1) -> bytes:
            start = self.tell()
            self.seek(start + size)
            return fetch(start, min(len(data), start + size))

    group = {"pictures": {"p": 1}, "counts": {"steps/is_first": 1}, "texts": ["text"]}
    group |= {"codes": {}, "times": [], "first": "steps/is_first", "last": ""}
    found = look(Exact("s", len(data), fetch), {"groups": {"steps": group}, "alone": []})
    (episode,) = found["episodes"]
    assert episode["groups"]["steps"]["steps"] == 8
    assert episode["groups"]["steps"]["texts"] == {"text": [(0, "do it")]}
    assert sum(fetched) < len(data) / 5


def test_steps_that_nothing_small_counts_are_told(tmp_path: Path) -> None:
    """Arrays of plain numbers alone would have to be read for that."""
    made.write_shard(tmp_path / "s", [made.example({"p": np.zeros(4 * 64 * 64 * 3, int)})])
    group: dict[str, Any] = {"pictures": {"p": wire.INTS}, "counts": {}, "texts": [], "codes": {}}
    group |= {"times": [], "first": "", "last": ""}
    (found,) = look(str(tmp_path / "s"), {"groups": {"p": group}, "alone": []})["episodes"]
    reason, detail = found["wrong"]
    assert reason == "damaged"
    assert "how many steps" in detail
