"""`sofdata.models.common.swaps`: another window, or another text, for each window of a batch."""

from sofdata.models.common.swaps import other_texts, other_windows


def test_the_other_window_is_of_another_video_where_there_is_one() -> None:
    keys = ("a-1-000000", "a-1-000001", "a-1-000002", "b-2-000000")
    assert other_windows(keys) == [3, 3, 3, 1]
    assert other_windows(("a-1-000000", "a-1-000001", "a-1-000002")) == [1, 2, 0]


def test_other_texts_are_texts_and_other() -> None:
    assert other_texts(["a", "a", "", "b"]) == {0: 3, 1: 3, 3: 1}
    assert other_texts(["a", "", ""]) == {}
    assert other_texts([]) == {}
