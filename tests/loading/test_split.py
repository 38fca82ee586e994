"""`sofdata.loading.split`: whole files are held out, as many as asked for, by their names alone."""

from __future__ import annotations

import pytest

from sofdata.errors import ConfigError
from sofdata.loading import split
from sofdata.loading.split import HeldOut, Sides

FILES = [f"clip-{number}.mp4" for number in range(1000)]


def held_out(files: list[str], share: float) -> list[str]:
    """The files that are held out, sorted."""
    kept = split.held_out(files, share)
    return sorted(name for name, is_kept in zip(files, kept, strict=True) if is_kept)


@pytest.mark.parametrize(
    ("share", "number"), [(0.1, 100), (0.1004, 100), (0.1006, 101), (0.5, 500), (1e-6, 1)]
)
def test_the_nearest_number_to_the_share_is_held_out(share: float, number: int) -> None:
    assert len(held_out(FILES, share)) == number


def test_a_larger_share_holds_out_what_a_smaller_one_does() -> None:
    assert {*held_out(FILES, 0.1)} < {*held_out(FILES, 0.2)}


def test_the_order_of_the_files_decides_nothing_and_few_change_sides_when_files_come() -> None:
    assert held_out(FILES[::-1], 0.1) == held_out(FILES, 0.1)
    before, after = {*held_out(FILES[:-10], 0.1)}, {*held_out(FILES, 0.1)}
    assert len(before - after) <= 10


def test_both_sides_have_a_file_where_there_are_two() -> None:
    for share in (0.001, 0.999):
        for first in range(0, 40, 2):
            assert len(held_out(FILES[first : first + 2], share)) == 1
    assert held_out(FILES[:1], 0.999) == []


def test_sides_are_read_back_as_they_were_stored() -> None:
    sides = Sides("by hand", ("a", "b"), ("c'\u2028",))
    again = Sides.from_json(sides.to_json(windows={"train": 2}), "split.json")
    assert (again.how, again.train, again.held_out) == (sides.how, sides.train, sides.held_out)
    assert again.sha256 == sides.sha256


@pytest.mark.parametrize("change", [('"a"', '"d"'), ("}", ""), ('"train"', '"trained"'), ("{", "")])
def test_sides_that_were_changed_by_hand_are_refused(change: tuple[str, str]) -> None:
    stored = Sides("by hand", ("a", "b"), ("c",)).to_json().decode()
    with pytest.raises(ConfigError, match=r"split\.json is damaged or was changed by hand"):
        Sides.from_json(stored.replace(*change).encode(), "split.json")


def test_what_is_held_out_is_said_once_and_within_bounds() -> None:
    with pytest.raises(ConfigError, match="said twice"):
        HeldOut(listed="list.txt", where="text == 'a'")
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            HeldOut(share)
