"""What identifies settings: a key that came later changes nothing while it says what was before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sofdata.config.earlier import Earlier, completed, identity
from sofdata.config.section import Section


class Inner(Section):
    """Has a key that came later, whose default has changed since."""

    kept: int = Field(1, description="There from the beginning.")
    later: Annotated[str, Earlier("old")] = Field("new", description="Came later.")


class Outer(Section):
    """Has the other as a part."""

    inner: Inner = Inner()
    none: Annotated[int | None, Earlier(None)] = Field(None, description="Came later, too.")


def test_a_key_is_left_out_at_its_earlier_value_alone() -> None:
    assert identity(Outer()) == {"inner": {"kept": 1, "later": "new"}}
    assert identity(Outer.parse({"inner": {"later": "old"}, "none": 3})) == {
        "inner": {"kept": 1},
        "none": 3,
    }


def test_what_was_saved_without_a_key_means_what_was_done_then() -> None:
    saved = {"inner": {"kept": 5}}
    read = Outer.parse(completed(Outer, saved))
    assert (read.inner.later, read.inner.kept, read.none) == ("old", 5, None)
    assert identity(read) == saved


def test_options_of_the_dump_are_passed_on() -> None:
    assert identity(Outer(), exclude={"inner": {"later"}}) == {"inner": {"kept": 1}}
