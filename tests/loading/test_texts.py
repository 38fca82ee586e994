"""`sofdata.loading.texts`: many texts, as a tuple of them would be, in a fraction of the memory."""

from __future__ import annotations

import mmap
import pickle

import numpy as np
import pyarrow as pa
import pytest

from sofdata.loading.texts import FEW, Distinct, Texts

SOME = ["b", "", "ä", "b", "z\U0001f600", "z\uffff", "a", "ab"]


def test_it_is_what_a_sorted_tuple_of_the_different_texts_would_be() -> None:
    texts, plain = Texts(SOME), tuple(sorted({*SOME}))
    assert texts == plain == tuple(texts)
    assert texts == Texts(reversed(plain))
    assert texts != plain[1:]
    assert hash(texts) == hash(plain)
    assert [texts[at] for at in range(len(texts))] == list(plain)
    assert (texts[-1], texts[1:3], len(texts)) == (plain[-1], plain[1:3], len(plain))
    assert [texts.index(text) for text in plain] == list(range(len(plain)))
    assert "ab" in texts
    assert "abc" not in texts
    assert Texts() == ()


@pytest.mark.parametrize("text", ["abc", "", "\U0001f600"])
def test_a_text_that_is_not_there_has_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="none of these texts"):
        Texts(["a", "b"]).index(text)


def test_it_is_pickled_and_printed_in_short() -> None:
    texts = Texts(f"text {number}" for number in range(1000))
    assert pickle.loads(pickle.dumps(texts)) == texts
    assert repr(texts) == "Texts('text 0', 'text 1', 'text 10', ...; 1000 in all)"
    assert texts.nbytes < 20 * len(texts)


def test_each_of_some_texts_gets_the_number_of_its_own() -> None:
    texts, numbers = Texts.numbered(pa.array(SOME))
    assert texts == Texts(SOME)
    assert [texts[number] for number in numbers.tolist()] == SOME


def test_those_among_others_are_found_also_where_there_are_many() -> None:
    texts = Texts(f"{number:07d}" for number in range(0, 3 * FEW, 2))
    others = [f"{number:07d}" for number in range(0, 3 * FEW, 3)]
    found = texts.among(others)
    assert np.flatnonzero(found).tolist() == list(range(0, len(texts), 3))
    assert Texts(["a"]).among(()).tolist() == [False]
    assert texts.those(found) == Texts(f"{number:07d}" for number in range(0, 3 * FEW, 6))


def test_different_values_are_collected_in_the_order_in_which_they_come() -> None:
    found = Distinct()
    for start in range(0, 5 * FEW, FEW // 2):
        found.add(pa.array([str(number % 1000) for number in range(start, start + FEW // 2)]))
    assert len(found) == 1000
    assert found.values().to_pylist() == [str(number) for number in range(1000)]
    assert len(Distinct()) == 0


def test_texts_may_lie_beyond_what_32_bits_count() -> None:
    """Of the 2 GiB before them no page is ever touched."""
    at = 1 << 31
    memory = mmap.mmap(-1, at + mmap.PAGESIZE)
    memory[at : at + 6] = b"onetwo"
    offsets = pa.py_buffer(np.array([at, at + 3, at + 6], np.int64))
    column = pa.LargeStringArray.from_buffers(2, offsets, pa.py_buffer(memory))
    assert Texts(column) == ("one", "two")
    found = Distinct()
    found.add(column)
    found.add(pa.array(["two", "three"]))
    assert found.values().to_pylist() == ["one", "two", "three"]
    assert found.values().type == Texts(column).values.type == pa.large_string()
