"""A folder of numbered pictures, and what else may lie there under their names."""

from __future__ import annotations

import os
from pathlib import Path

from sofdata.video.config import VideoConfig
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.frames import MOST_PICTURE_BYTES
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.sequences import numbers_of, write_frames


def opened(folder: Path, **options: int) -> SequenceStream:
    place = SequencePlace.of("frames", "frame_*.jpg", fps=10.0, **options)
    return SequenceStream(f"{folder}/", place, VideoConfig(), Sampling(96, 0.1))


def test_what_is_no_file_of_sensible_size_costs_itself(tmp_path: Path) -> None:
    """A pipe, which nobody writes to; a device without end; a file of many GiB; a folder."""
    folder = write_frames(tmp_path, range(12))
    for at in (2, 4, 6, 8):
        (folder / f"frame_{at:06d}.jpg").unlink()
    os.mkfifo(folder / "frame_000002.jpg")
    (folder / "frame_000004.jpg").symlink_to("/dev/zero")
    with (folder / "frame_000006.jpg").open("wb") as file:
        file.truncate(MOST_PICTURE_BYTES + 1)
    (folder / "frame_000008.jpg").mkdir()
    stream = opened(folder)
    assert numbers_of(stream) == [0, 1, 3, 5, 7, 9, 10, 11]
    assert stream.report.decode_errors == 4


def test_numbers_that_there_should_not_be_are_told(tmp_path: Path) -> None:
    stream = opened(write_frames(tmp_path, range(12)), first=1, count=9)
    assert numbers_of(stream) == list(range(1, 10))
    assert stream.report.salvaged == "3 pictures lie outside of the numbers that there should be"
