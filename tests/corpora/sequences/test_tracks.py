"""Actions that are read as they were listed, or are an error of their demonstration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sofdata.corpora.sequences.tracks import read_track
from sofdata.errors import ActionError
from sofdata.storage.tree import Tree
from sofdata.types import ActionRef, ActionSpec
from sofdata.video.sequences.base import Rows

SPEC = ActionSpec(("x", "y"), 10.0)


def read(folder: Path, times: list[float], width: int = 2) -> None:
    rows = Rows(np.zeros((len(times), width), np.float32), np.array(times))
    ref = ActionRef("a.h5", "hdf5:action", 0.5, 3)
    track = read_track(Tree(str(folder)), ref, SPEC, lambda *_: rows)
    assert track.times_s.tolist() == pytest.approx([0.5 + each for each in times])


def test_times_are_on_the_clock_of_the_pictures(tmp_path: Path) -> None:
    read(tmp_path, [0.0, 0.1, 0.2])


@pytest.mark.parametrize(
    "times",
    [[0.0, 0.2, 0.1], [0.0, 0.0, 0.1], [0.0, np.nan, 0.2], [0.0, 0.1, np.inf], [0, 1e-9, 1]],
)
def test_times_that_do_not_go_on_cost_that_demonstration_alone(
    tmp_path: Path, times: list[float]
) -> None:
    with pytest.raises(ActionError, match="the times of its actions do not increase"):
        read(tmp_path, times)


@pytest.mark.parametrize(("count", "width"), [(2, 2), (3, 3)])
def test_other_numbers_than_were_listed_are_an_error(
    tmp_path: Path, count: int, width: int
) -> None:
    with pytest.raises(ActionError, match="where its listing told of 3 x 2"):
        read(tmp_path, [each / 10 for each in range(count)], width)
