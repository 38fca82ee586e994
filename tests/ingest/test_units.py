"""`sofdata.ingest.units`: the same videos, the same units, whatever came before."""

from __future__ import annotations

import pickle
import random
from dataclasses import astuple

import pytest

from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.units import Unit
from sofdata.types import VideoRef
from tests.ingest.cutting import calls, cut


def video(name: str, size: int = 1000, file: str = "") -> VideoRef:
    return VideoRef(
        id=name,
        uri=file or f"{name}.mp4",
        size_bytes=size,
        fingerprint=file or name,
        text="",
        labels={},
    )


def config(*settings: str) -> IngestConfig:
    return load_config(None, settings)


def ids(units: tuple[Unit, ...]) -> set[str]:
    return {unit.id for unit in units}


@pytest.mark.parametrize("number", [1, 15, 301, 5000])
def test_every_video_is_in_one_unit_and_no_unit_is_too_large(number: int) -> None:
    videos = [video(f"v{index}") for index in range(number)]
    units = cut(videos, config("units.max_videos=20"))
    assert sorted(v.id for unit in units for v in unit.videos) == sorted(v.id for v in videos)
    assert max(len(unit.videos) for unit in units) <= 20
    assert [unit.ordinal for unit in units] == sorted({unit.ordinal for unit in units})


@pytest.mark.parametrize("number", [40, 301, 3000])
def test_one_video_more_or_less_touches_one_unit_or_its_two_halves(number: int) -> None:
    videos = [video(f"v{index}") for index in range(number)]
    units = cut(videos, config())
    split = 0
    for index in range(0, number, max(1, number // 40)):
        fewer = cut(videos[:index] + videos[index + 1 :], config())
        gone, come = ids(units) - ids(fewer), ids(fewer) - ids(units)
        assert len(gone) <= 2
        assert len(come) <= 1
        split += len(gone) == 2
    assert split <= 4  # two that become one: only where they just did not fit


def test_a_unit_keeps_its_number_whatever_becomes_of_its_neighbours() -> None:
    """A leaf that is left alone by its sibling is one of the branch above, with the same videos."""
    videos = [video(f"v{index}") for index in range(200)]
    numbers = {unit.id: unit.ordinal for unit in cut(videos, config("units.max_videos=4"))}
    kept = moved = 0
    for gone in cut(videos, config("units.max_videos=4")):
        rest = [each for each in videos if each not in gone.videos]
        for unit in cut(rest, config("units.max_videos=4")):
            if unit.id in numbers:
                kept += 1
                moved += unit.ordinal != numbers[unit.id]
    assert kept > 2_000
    assert moved == 0


def test_units_do_not_depend_on_the_order_of_what_is_listed() -> None:
    videos = [video(f"v{index}") for index in range(500)]
    shuffled = random.Random(0).sample(videos, len(videos))
    assert cut(videos, config()) == cut(shuffled, config())


def test_a_unit_of_large_files_is_cut_by_their_size() -> None:
    videos = [video(f"v{index}", size=10 << 20) for index in range(200)]
    units = cut(videos, config("units.max_source_mib=64"))
    assert max(unit.size_bytes for unit in units) <= 64 << 20
    assert len(units) < 80


def test_a_file_larger_than_a_unit_is_one_of_its_own() -> None:
    units = cut([video("a", size=1 << 40), video("b", size=1 << 40)], config())
    assert [len(unit.videos) for unit in units] == [1, 1]


def test_spans_of_one_file_stand_together() -> None:
    spans = [video(f"{file}-{at}", file=f"{file}.mp4") for file in range(30) for at in range(20)]
    units = cut(spans, config("units.max_videos=64"))
    read_by = [
        sum(f"{file}.mp4" in {v.uri for v in unit.videos} for unit in units) for file in range(30)
    ]
    assert read_by == [1] * 30


def test_the_work_of_cutting_grows_with_the_number_of_videos_and_no_faster() -> None:
    def work(number: int) -> int:
        videos = [video(f"v{index}") for index in range(number)]
        return calls(lambda: cut(videos, config()))

    work(10)  # what is imported and cached at first
    assert work(8000) < 2.3 * work(4000)


def test_a_worker_gets_plain_videos_of_a_unit_and_none_of_the_others() -> None:
    units = cut([video(f"v{index}") for index in range(3000)], config())
    sent = pickle.dumps(units[0])
    assert len(sent) < 20_000
    back = pickle.loads(sent)
    assert type(back.videos) is tuple
    assert [astuple(each) for each in back.videos] == [astuple(each) for each in units[0].videos]
    assert back.size_bytes == units[0].size_bytes == 1000 * len(units[0].videos)
