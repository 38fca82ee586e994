"""`sofdata.ui.text`: what others have named can be shown anywhere."""

from __future__ import annotations

from sofdata.ui.text import printable


def test_what_could_move_a_cursor_or_cannot_be_drawn_is_escaped() -> None:
    assert printable("a\nb\x00c\u2028d\x1b[2J") == r"a\nb\x00c\u2028d\x1b[2J"
    assert printable("half a pair: \ud800") == r"half a pair: \ud800"
    assert printable("näher, 近い, 🙂") == "näher, 近い, 🙂"
