"""`sofdata.shards.columns` reads what `LedgerRecord` reads, and refuses what it refuses."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sofdata.shards import columns
from sofdata.shards.columns import ROWS, LedgerColumns
from sofdata.shards.schema import LedgerRecord
from tests.ledgers import made_up

Values = dict[str, Any]


def same(one: LedgerColumns, other: LedgerColumns) -> bool:
    alike = all(getattr(one, name).equals(getattr(other, name)) for name in ROWS)
    heads = ("unit", "ordinal", "config_sha256", "shard", "statistics", "libraries")
    return alike and all(getattr(one, name) == getattr(other, name) for name in heads)


def test_columns_hold_each_field_of_each_row() -> None:
    record = made_up(1)
    found = LedgerColumns.parse(record.to_json())
    assert found.windows.to_pylist() == [row.model_dump() for row in record.windows]
    assert found.rejected_windows.to_pylist() == [x.model_dump() for x in record.rejected_windows]
    for row, video in zip(found.videos.to_pylist(), record.videos, strict=True):
        assert row["windows_rejected"] == sum(video.windows_rejected.values())
        assert row["labels"] == sorted((video.labels or {}).items())
        assert row.keys() == video.model_dump().keys()
    assert (found.unit, found.shard) == (record.unit, record.shard)
    assert found.statistics == record.statistics


@pytest.mark.parametrize("seed", range(6))
def test_what_is_written_here_is_read_without_an_object_a_row(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = LedgerColumns.of(made_up(seed))
    data = made_up(seed).to_json()
    monkeypatch.setattr(LedgerRecord, "parse", None)  # pydantic is not asked about the rows
    assert same(LedgerColumns.parse(data), wanted)


def test_a_record_made_before_there_were_some_fields_is_read_so_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = json.loads(made_up(2).to_json())
    del values["libraries"]
    for video in values["videos"]:
        for name in ("labels", "inputs", "frames_lost", "frames_undated", "missing_s"):
            del video[name]
    data = json.dumps(values).encode()
    wanted = LedgerColumns.of(LedgerRecord.parse(data))
    monkeypatch.setattr(LedgerRecord, "parse", None)
    found = LedgerColumns.parse(data)
    assert same(found, wanted)
    assert found.videos["labels"].null_count == len(values["videos"])


def _set(name: str, key: str, value: Any) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        values[name][-1][key] = value

    return change


def _top(key: str, value: Any) -> Callable[[Values], None]:
    return lambda values: values.update({key: value})


def _drop(name: str, key: str) -> Callable[[Values], None]:
    return lambda values: values[name][-1].pop(key)


WINDOW: list[Any] = [None, True, 1, 1.0, 1.5, "1", "x", -3, 1 << 70, 1e300, [], {}, [1]]
IN_A_TALLY: list[Any] = [1, "b", None, True, 1.0, 1 << 70, -4, {}]
VIDEO: list[Any] = [None, 1, 1.0, "1", "done", {}, [], *({"a": each} for each in IN_A_TALLY)]
REJECTED: list[Any] = [None, 2.0, 2.5, "2", "", False]
TOP: list[Any] = [None, 1, "x", [], {}, [1], [[]], [None], ["abc"], [{}], {"a": 1}]
CHANGES: list[Callable[[Values], Any]] = [
    *(_set("windows", key, value)
      for key in ("key", "offset", "window", "start_s", "camera_px") for value in WINDOW),
    *(_set("videos", key, value)
      for key in ("status", "tries", "windows_rejected", "labels", "id") for value in VIDEO),
    *(_set("rejected_windows", key, value)
      for key in ("window", "reason", "end_s") for value in REJECTED),
    *(_set(name, "more", 1) for name in ROWS),
    *(_drop(name, key) for name, key in (
        ("videos", "id"), ("videos", "tries"), ("windows", "key"), ("windows", "camera_px"),
        ("rejected_windows", "reason"))),
    *(_top(key, value) for key in (*LedgerRecord.model_fields, "more") for value in TOP),
    lambda values: values.pop("videos"),
    lambda values: values.pop("shard"),
    lambda values: values["shard"].update(size_bytes=-1),
    lambda values: values["shard"].update(name="../x"),
    lambda values: values["statistics"].update(vectors=-1),
    lambda values: values["statistics"].update(sum_px=[1, 2, 3]),
    lambda values: values["statistics"]["histogram"].update({"20000": 1}),
    lambda values: values["statistics"]["histogram"].update({"x": 1}),
    lambda values: values["statistics"]["histogram"].update({"7": -1}),
    lambda values: values["statistics"]["histogram"].update({"7": 1.0}),
    lambda values: values["windows"].reverse(),
    lambda values: values["videos"].append(values["videos"][0]),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_refused_or_read_as_a_record_of_it_is(
    change: Callable[[Values], None],
) -> None:
    values = json.loads(made_up(3).to_json())
    change(values)
    _compare(json.dumps(values).encode())


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"3", b'"x"', b"[" * 9999, b"{" * 9999, b"\xff", b"{}{}"]
)
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        LedgerColumns.parse(text)


def test_damaged_bytes_are_refused_or_read_as_a_record_of_them_is() -> None:
    data, rng = made_up(4).to_json(), np.random.default_rng(0)
    tokens = [b"1e999", b"NaN", b"-Infinity", b"null", b"true", b"1.5", b"{", b"]", b",", b'"', b""]
    for _ in range(400):
        damaged = bytearray(data)
        place = int(rng.integers(len(data)))
        damaged[place : place + int(rng.integers(0, 9))] = tokens[int(rng.integers(len(tokens)))]
        _compare(bytes(damaged))
    for number in (b"1e999", b"NaN", b"-1e999", b"9223372036854775808"):
        for key in (b'"start_s":', b'"offset":', b'"covered_s":', b'"vectors":', b'"camera_px":'):
            first, second = data.split(key, 1)
            _compare(first + key + number + second[second.index(b",") :])


def _compare(data: bytes) -> None:
    try:
        record = LedgerRecord.parse(data)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - in the words of either
            LedgerColumns.parse(data)
    else:
        assert same(LedgerColumns.parse(data), LedgerColumns.of(record))


def test_a_large_record_is_never_parsed_without_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    record = made_up(5)
    monkeypatch.setattr(columns, "MOST_PARSED_BYTES", 1000)
    monkeypatch.setattr(columns, "from_json", None)
    assert same(LedgerColumns.parse(record.to_json()), LedgerColumns.of(record))


def test_a_record_of_nothing_but_rows_of_nothing_takes_little_memory() -> None:
    text = b'{"videos":[' + b"{},{}," * (1 << 20) + b"{}]}"
    tracemalloc.start()
    with pytest.raises(ValueError, match="which nothing here writes"):
        LedgerColumns.parse(text)
    assert tracemalloc.get_traced_memory()[1] < 1 << 25
    tracemalloc.stop()
