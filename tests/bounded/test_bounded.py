"""`sofdata.bounded`: what a header claims is held against the bytes that are there."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from sofdata.bounded.arrays import read_npy
from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import brief, check_numbers, parse
from sofdata.bounded.pictures import MOST_VALUES, read_rgb
from sofdata.errors import InputError
from sofdata.storage.tree import Tree
from tests.faults.lies import lying_jpeg

MIB = 1 << 20


def npy(array: np.ndarray, head: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    end = 10 + int.from_bytes(data[8:10], "little")
    return data[:8] + len(head).to_bytes(2, "little") + head + data[end:] if head else data


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4, 2), (0, 3)])
@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
def test_an_array_comes_back_as_numpy_has_saved_it(shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    assert np.array_equal(read_npy(npy(array), dtype, shape), array)


@pytest.mark.parametrize(
    "head",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 64, 64, 2), }\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 4), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }\n",
        b"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * 5000 + b"\n",
        b"__import__('os').system('true')\n",
    ],
)
def test_a_header_that_says_anything_else_is_refused(head: bytes) -> None:
    data = npy(np.zeros((3, 4), np.float32), head)
    with pytest.raises(ValueError, match=r"header|its record says \[3, 4\]"):
        read_npy(data, "<f4", (3, 4))


def test_an_array_of_more_or_fewer_bytes_than_its_shape_is_refused() -> None:
    data = npy(np.zeros((3, 4), np.float32))
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(ValueError, match="takes 48 bytes"):
            read_npy(wrong, "<f4", (3, 4))


def test_json_of_any_depth_is_refused_without_recursion() -> None:
    for text in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 300 + b"]" * 300):
        with pytest.raises(ValueError, match="recursion limit"):
            parse(text, MIB * 4)


def test_json_that_is_large_or_holds_far_too_much_is_refused_before_it_is_parsed() -> None:
    tracemalloc.start()
    for text in (b'"' + b"x" * 5 * MIB + b'"', b"[" + b"[]," * MIB + b"[]]"):
        with pytest.raises(ValueError, match=r"more than|which nothing here writes"):
            parse(text, 4 * MIB)
    assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["1e400", "-1e400", "NaN", "9223372036854775808", "[{'a': 1}]"])
def test_numbers_that_cannot_be_stored_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        parse(f'{{"a": [{text}]}}', 1000)


def test_numbers_are_named_by_the_key_that_holds_them() -> None:
    with pytest.raises(ValueError, match="deep is inf"):
        check_numbers({"a": [{"deep": [1.0, float("inf")]}]})
    check_numbers({"a": [1, 2.5, None, True, "NaN", {}]})


def test_of_many_wrong_values_a_few_are_told() -> None:
    class Numbers(BaseModel):
        values: dict[str, int]

    text = json.dumps({"values": {str(number): "x" for number in range(500)}})
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        Numbers.model_validate_json(text)
    told = brief(error.value)
    assert told.startswith("values.0: Input should be a valid integer")
    assert told.endswith("and 495 more")
    assert len(told) < 1000


def test_a_picture_of_a_gigapixel_is_refused_by_its_header() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 48, 3), np.uint8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    assert read_rgb(data, (64, 48)).shape == (64, 48, 3)
    place = data.find(b"\xff\xc0") + 5
    huge = data[:place] + (32_000).to_bytes(2, "big") * 2 + data[place + 4 :]
    tracemalloc.start()
    with pytest.raises(InputError, match="32000 x 32000 px, its record says"):
        read_rgb(huge, (64, 48))
    with pytest.raises(InputError, match=f"more than the {MOST_VALUES}"):
        read_rgb(huge, (32_000, 32_000))  # though its record says the same
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_a_damaged_picture_is_an_input_error_whatever_is_wrong() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 48, 3), np.uint8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    rng = np.random.default_rng(1)
    for seed in range(200):
        damaged = bytearray(lying_jpeg(data, rng) if seed % 4 == 0 else data)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] ^= 1 << int(rng.integers(8))
        try:
            assert read_rgb(bytes(damaged), (64, 48)).shape == (64, 48, 3)
        except InputError:
            continue


def test_a_file_larger_than_its_kind_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(InputError, match="more than the 1000 bytes"):
        read_small(Tree(str(tmp_path)), "huge", 1000)
    (tmp_path / "small").write_bytes(b"x" * 1000)
    assert len(read_small(Tree(str(tmp_path)), "small", 1000)) == 1000


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0, float("nan")],
        [1, 2, 1 << 63],
        [-(1 << 63), 1],
        [1, float("inf"), "a"],
        {"a": 1.0, "b": float("-inf")},
        {"a": [1, None], "b": [[1 << 64]]},
        {1 << 64: "a"},
        {float("nan"): 1.0},
        (1.0, [float("nan")]),
    ],
)
def test_a_number_that_cannot_be_is_found_among_its_like_and_among_others(value: object) -> None:
    with pytest.raises(ValueError, match=r"nan|inf|64 bits"):
        check_numbers(value)


def test_lists_of_numbers_of_one_kind_pass() -> None:
    check_numbers({"a": [1.0, 2.0], "b": [1, (1 << 63) - 1], "c": [], "d": {}, "e": [True, 1]})
