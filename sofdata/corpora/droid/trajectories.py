"""What trajectory.h5 of an episode holds: times of the pictures, and how many numbers a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sofdata.corpora.droid.episodes import TRAJECTORY, Episode, read_stamps
from sofdata.corpora.sequences.looking import NotRead, looks
from sofdata.errors import ContractError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item
from sofdata.system.extras import require


@dataclass(frozen=True, slots=True)
class Clock:
    """Times in ms: the path of their dataset, the first, the others as `film.times_text` has them.

    path: "" where they are of no dataset.
    """

    path: str
    first_ms: int
    step_ms: int
    times: str

    @property
    def options(self) -> dict[str, str | int]:
        """Of the place of frames that have these times."""
        return {"step_ms": self.step_ms, "times": self.times}


@dataclass(frozen=True, slots=True)
class Steps:
    """What trajectory.h5 holds.

    clocks: by serial, "" for any other. sizes: numbers a step. unread: why these cannot be read.
    """

    count: int
    clocks: Mapping[str, Clock]
    sizes: Mapping[str, int]
    unread: str = ""

    def clock(self, serial: str) -> Clock | None:
        """Of a camera, or of the steps."""
        return self.clocks.get(serial) or self.clocks.get("")


def read_steps(
    tree: Tree, episodes: Sequence[Episode], arrays: Sequence[str]
) -> Iterator[Steps | str]:
    """What the trajectory of each holds, or why that cannot be said."""
    there = [each for each in episodes if each.trajectory and each.is_recorded]
    if there:
        require("h5py", "hdf5", f"{TRAJECTORY} of DROID")
    places = (Location(each.trajectory.rel) for each in there if each.trajectory)
    found = looks(tree, places, "droid", {"arrays": list(arrays)})
    for episode in episodes:
        if episode.trajectory and episode.is_recorded:
            yield _checked(next(found))
        else:
            yield f"there is no {TRAJECTORY}"


def _checked(found: object) -> Steps | str:
    """A look, as far as it is what it should be."""
    if isinstance(found, NotRead):
        return f"{TRAJECTORY}: {found}"
    try:
        assert isinstance(found, dict)
        clocks = {str(serial): _clock(each) for serial, each in found["clocks"].items()}
        sizes = {str(name): int(size) for name, size in found["sizes"].items()}
        return Steps(int(found["steps"]), clocks, sizes, str(found["unread"]))
    except (ArithmeticError, AssertionError, ContractError, KeyError, TypeError, ValueError):
        return f"{TRAJECTORY}: the reader said what makes no sense"


def _clock(found: Mapping[str, Any]) -> Clock:
    from sofdata.video.sequences.film import read_times_ms

    step_ms, times = int(found["step_ms"]), str(found["times"])
    read_times_ms(step_ms, times)  # or it raises
    return Clock(str(found["path"]), int(found["first"]), step_ms, times)


def stamped_clock(tree: Tree, item: Item) -> Clock | None:
    """The clock of a video whose frames have times beside it, where these make sense."""
    from sofdata.video.sequences.film import times_text

    listed = read_stamps(tree, item)
    return Clock("", listed[0], *times_text(np.array(listed, np.int64))) if listed else None
