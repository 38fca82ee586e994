"""When numbered pictures were taken: by a rate, by lists of times, and what is no such list."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.video.probe import Unusable
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import read_times, timeline

PLACE = SequencePlace.of("frames", "*.jpg", fps=10.0)
LISTED = SequencePlace.of("frames", "*.jpg", times="times.txt")


@pytest.mark.parametrize("first", [0, 1, 301])
def test_times_count_from_the_first_picture(first: int) -> None:
    found = timeline([first, first + 1, first + 3], PLACE, None)
    assert found.times_s.tolist() == pytest.approx([0, 0.1, 0.3])
    assert found.lost == 1


def test_a_known_first_number_is_shown_at_zero(tmp_path: object) -> None:
    place = SequencePlace.of("frames", "*.jpg", fps=10.0, first=1, count=6)
    found = timeline([3, 4, 6], place, None)
    assert found.times_s.tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert (found.lost, found.odd) == (3, ("3 of 6 pictures are missing",))


def test_numbers_that_are_no_multiples_do_not_say_when() -> None:
    with pytest.raises(Unusable, match=r"go up by 3 mostly, and by 2 after 0.*sequences\.times"):
        timeline([0, 2, 5, 8, 11], PLACE, None)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (b"0\n0.5\n1.5\n", "s"),
        (b"\xef\xbb\xbf0\r\n0.5\r\n1.5", "s"),
        (b"\n0\n\n5e2\n1.5e3\n", "ms"),
        (b"1403636579763555584\n1403636580263555584\n1403636581263555584\n", "ns"),
        (b"1700000000.25\n1700000000.75\n1700000001.75\n", "s"),
    ],
)
def test_lists_of_times_in_other_units_and_clocks(text: bytes, unit: str) -> None:
    assert read_times(text, unit).tolist() == pytest.approx([0, 0.5, 1.5], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"time\n0\n", "line 1 of the list of times is 'time'"),
        (b"0 0.0\n1 0.1\n", "line 1 .* without a heading or further columns"),
        (b"0,0.0\n1,0.1\n", "'0,0.0'"),
        (b"# s\n0\n", "'# s'"),
        (b"00:00:01\n", "'00:00:01'"),
        (b"inf\n", "'inf'"),
        (b"\xff\xfe0\x00", "no text in UTF-8"),
        (b"0\n33\n66\n100\n", "33 s apart, which is no film.*sequences.unit=ms"),
    ],
)
def test_what_is_no_list_of_times_is_said(text: bytes, message: str) -> None:
    with pytest.raises(Unusable, match=message) as error:
        read_times(text)
    assert error.value.reason == "no_times"


def test_times_in_too_small_a_unit_are_said_too() -> None:
    with pytest.raises(Unusable, match=r"3\.3e-08 s apart.*sequences.unit=ms"):
        read_times(b"0\n33\n66\n100\n", "ns")
    assert read_times(b"0\n0.001\n0.002\n").tolist() == [0, 0.001, 0.002]  # a fast camera


def test_a_list_may_have_the_times_of_missing_pictures_too() -> None:
    found = timeline([1, 2, 5], LISTED, b"0\n0.1\n0.2\n0.3\n0.7\n")
    assert found.times_s.tolist() == [0, 0.1, 0.7]
    assert found.lost == 2


def test_a_list_of_any_other_length_is_refused() -> None:
    with pytest.raises(Unusable, match="has 4 times for 3 pictures"):
        timeline([1, 2, 5], LISTED, b"0\n0.1\n0.2\n0.3\n")


def test_an_unknown_time_is_none() -> None:
    assert np.isnan(read_times(b"0\nNaN\n0.2\n")[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"0\n1700000000.1\n1700000000.2\n1700000000.3\n", "by 19675.9 days"),
        (b"1700000000\n1700000000\n1700000000\n1700000128\n", "128 s apart, which is no film"),
        (b"1700000000\n1700000000\n", "do not increase"),
        (b"100\n0\n0.1\n0.2\n", "behind earlier ones, 3 of 4"),
    ],
)
def test_times_that_no_film_can_have_are_said(text: bytes, said: str) -> None:
    with pytest.raises(Unusable, match=said) as error:
        read_times(text)
    assert error.value.reason == "no_times"


def test_a_time_that_was_not_set_after_others_is_one_alone() -> None:
    found = read_times(b"1700000000\n1700000000.5\n0\n1700000001.5\n")
    assert found[[0, 1, 3]].tolist() == [0, 0.5, 1.5]
    assert found[2] < 0
