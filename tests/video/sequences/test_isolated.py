"""What the decoding process says of a file is not to be trusted, as what the file says is not."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sofdata.video.isolate import DecoderDied, DecoderProcess
from sofdata.video.limits import LimitConfig
from sofdata.video.sequences.isolated import RecordReader
from sofdata.video.sequences.place import SequencePlace

PLACE = SequencePlace.of("hdf5", "action", fps=10.0)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The header and the bytes that the process is to answer with."""
    answer: list[Any] = [{"kind": "end"}, b""]
    monkeypatch.setattr(DecoderProcess, "begin", lambda *_: None)
    monkeypatch.setattr(DecoderProcess, "receive", lambda *_: (answer[0], memoryview(answer[1])))
    return answer


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 200_000])
def test_a_look_that_is_no_json_is_a_crash(told: list[Any], payload: bytes) -> None:
    told[1] = payload
    with RecordReader() as reader, pytest.raises(DecoderDied, match="wrote nonsense"):
        reader.look("a.h5", "hdf5")


@pytest.mark.parametrize(
    "shape", [None, 3, [1], [2, 2], [-1, 2], [1 << 40, 1 << 40], ["a", 1], [0.5, [1]]]
)
def test_rows_of_another_shape_than_is_said_are_a_crash(told: list[Any], shape: Any) -> None:
    told[:] = {"kind": "end", "shape": shape}, b"\0" * 16
    with RecordReader() as reader, pytest.raises(DecoderDied, match="wrote nonsense"):
        reader.rows("a.h5", PLACE)


def test_rows_come_as_they_were_sent(told: list[Any]) -> None:
    told[:] = {"kind": "end", "shape": [1, 2]}, b"\0\0\x80\x3f" * 2 + bytes(8)
    with RecordReader() as reader:
        rows = reader.rows("a.h5", PLACE)
    assert (rows.values.tolist(), rows.times_s.tolist()) == ([[1.0, 1.0]], [0.0])


def test_a_header_of_headers_is_nonsense_too() -> None:
    process = DecoderProcess(LimitConfig())
    process.launch()
    answers, child = os.pipe()
    head = b"[" * 60_000  # which a pipe holds
    os.close(process._answers)
    process._answers = answers
    os.write(child, len(head).to_bytes(4, "little") + bytes(4) + head)
    os.close(child)
    with pytest.raises(DecoderDied, match="wrote nonsense"):
        process.receive(5.0)
