"""Pictures of HDF5 that are a dataset each: which are a sequence, and when they were taken."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sofdata.video.probe import Unusable
from sofdata.video.sequences.hdf5.files import opened
from sofdata.video.sequences.hdf5.looking import look_into
from tests.conformance.barcode import draw
from tests.sequences import HEIGHT, WIDTH, encoded, numbers_of
from tests.video.sequences.test_hdf5 import found_in, stream, written


def of_numbers(tmp_path: Path, numbers: Iterable[int], name: str = "frames/{}") -> str:
    def write(file: Any) -> None:
        for at, number in enumerate(numbers):
            file[name.format(number)] = draw(at, WIDTH, HEIGHT)

    return written(tmp_path, write)


def told(path: str) -> dict[str, Any]:
    """What a look says of the one sequence of a file."""
    with opened(path) as root:
        (found,) = look_into(root)["sequences"]
    return dict(found)


def test_pictures_one_by_one_are_taken_at_their_numbers(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        for number in [*range(6), *range(8, 14)]:
            file[f"episode_1/step_{number}/obs/front_rgb"] = draw(number, WIDTH, HEIGHT)
            file[f"frames/{number}"] = np.frombuffer(encoded(number), np.uint8)
            file[f"bytes/{number}.jpg"] = np.void(encoded(number))

    path = written(tmp_path, write)
    steps = "episode_1/step_*/obs/front_rgb"
    assert found_in(path) == {
        "bytes/*.jpg": (12, "jpeg"),
        "frames/*": (12, "jpeg"),
        steps: (12, ""),
    }
    for name in ("bytes/*.jpg", "frames/*", steps):
        found = stream(path, name)
        assert numbers_of(found) == [*range(6), *range(8, 14)]
        assert found.report.frames_lost == 2
        assert found.report.salvaged.startswith("2 pictures are missing")


def test_one_picture_of_each_episode_is_no_sequence(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        for number in range(20):
            file[f"data/demo_{number}/goal"] = draw(number, WIDTH, HEIGHT)

    path = written(tmp_path, write)
    with opened(path) as root:
        said = look_into(root)
    assert said["sequences"] == []
    assert said["left_out"] == {"single pictures": 20}


@pytest.mark.parametrize("name", ["take_{}/start", "trial-{}/first_image", "demo_{}/goal"])
def test_names_of_episodes_are_no_moments(tmp_path: Path, name: str) -> None:
    with opened(of_numbers(tmp_path, range(10), name)) as root:
        said = look_into(root)
    assert (said["sequences"], said["left_out"]) == ([], {"single pictures": 10})


@pytest.mark.parametrize("name", ["img.{}", "rgb-{}-left"])
def test_a_number_may_stand_anywhere_in_a_name(tmp_path: Path, name: str) -> None:
    path = of_numbers(tmp_path, range(8, 20), name)
    assert numbers_of(stream(path, name.format("*"))) == [*range(12)]


def test_every_fifth_picture_is_one_step_from_the_last(tmp_path: Path) -> None:
    path = of_numbers(tmp_path, range(0, 60, 5))
    found = stream(path, "frames/*")
    assert numbers_of(found) == [*range(12)]
    assert found.duration_s == pytest.approx(1.1)
    assert "numbers go up by 5" in found.report.salvaged
    assert (told(path)["count"], told(path)["steps"]) == (12, 12)


def test_a_step_of_each_that_is_missing_counts(tmp_path: Path) -> None:
    path = of_numbers(tmp_path, [*range(6), *range(8, 14)])
    with h5py.File(path, "a") as file:
        file["frames"].attrs["fps"] = 10
    said = told(path)
    assert (said["count"], said["steps"]) == (12, 14)
    assert said["lasts_s"] == pytest.approx(1.4)
    assert numbers_of(stream(path, "frames/*", span_s=(0.0, said["lasts_s"]))) == [*range(12)]


def test_numbers_at_no_step_say_no_times(tmp_path: Path) -> None:
    path = of_numbers(tmp_path, [0, 5, 10, 17, 20, 25, 30, 35])
    with pytest.raises(Unusable, match="go up by 5 mostly, and by 7"):
        stream(path, "frames/*")
