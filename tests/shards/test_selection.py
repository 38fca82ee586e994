"""`sofdata.shards.selection`: videos are held out whole, by their names alone."""

from __future__ import annotations

from sofdata.shards.selection import held_out

VIDEOS = [f"clip-{number}" for number in range(1000)]


def test_about_the_share_is_held_out_and_a_video_stays_on_its_side() -> None:
    chosen = set(held_out(VIDEOS, 0.1))
    assert 70 < len(chosen) < 130
    assert set(held_out(VIDEOS[:500], 0.1)) == chosen & set(VIDEOS[:500])
    assert chosen < set(held_out(VIDEOS, 0.2))


def test_both_sides_have_a_video_where_there_are_two() -> None:
    for share in (0.001, 0.999):
        for first in range(0, 40, 2):
            assert len(held_out(VIDEOS[first : first + 2], share)) == 1
    assert held_out(VIDEOS[:1], 0.999) == []
