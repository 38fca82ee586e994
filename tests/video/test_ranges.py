"""`sofdata.video.ranges`: the frames of a file of which only the needed blocks are read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import InputError, TransientError
from sofdata.video.config import VideoConfig
from sofdata.video.isolate import DecoderDied, DecoderProcess
from sofdata.video.limits import LimitConfig
from sofdata.video.ranges import BLOCK_BYTES, KEPT_BLOCKS, Budget, RangeFile, RangesSpent
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.videos import write_video

SPAN = (9.0, 10.0)


@pytest.fixture(scope="module", params=["moov last", "moov first", "cues"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of noise, which take more than ten blocks."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 240, 320, 3), np.uint8)
    options = {"g": "20", "crf": "10", "preset": "ultrafast"}
    suffix = "mkv" if request.param == "cues" else "mp4"
    path = tmp_path_factory.mktemp("films") / f"film.{suffix}"
    write_video(path, noise, 10, options=options)
    if request.param == "moov first":
        path = _fast_start(path)
    assert path.stat().st_size > 10 * BLOCK_BYTES
    return path


def _fast_start(path: Path) -> Path:
    import av

    target = path.with_name("fast.mp4")
    with (
        av.open(str(path)) as given,
        av.open(str(target), "w", options={"movflags": "faststart"}) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    return target


def seen_through(path: Path, limit: int | None = None) -> tuple[RangeFile, Budget]:
    def fetch(start: int, end: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    budget = Budget(fetch, limit)
    return RangeFile(path.name, path.stat().st_size, budget), budget


def test_a_span_needs_a_part_of_the_file_and_gives_the_same_frames(film: Path) -> None:
    source, budget = seen_through(film)
    there = list(open_video(source, VideoConfig(), Sampling(64, 0.1, SPAN)))
    here = list(open_video(film, VideoConfig(), Sampling(64, 0.1, SPAN)))
    for mine, theirs in zip(there, here, strict=True):
        assert np.array_equal(mine.rgb, theirs.rgb)
        assert np.array_equal(mine.pts_s, theirs.pts_s)
    assert budget.fetched < 0.5 * film.stat().st_size


def test_a_decoding_process_gets_its_blocks_from_its_parent(film: Path) -> None:
    process = DecoderProcess(LimitConfig())
    source, budget = seen_through(film)
    there = list(process.open(source, VideoConfig(), Sampling(64, 0.1, SPAN), "pyav"))
    here = list(open_video(film, VideoConfig(), Sampling(64, 0.1, SPAN)))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(there, here, strict=True))
    assert 0 < budget.fetched < 0.5 * film.stat().st_size
    process.close()


def read_here(source: RangeFile, budget: Budget) -> None:
    list(open_video(source, VideoConfig(), Sampling(64, 0.1)))
    budget.check()


def test_an_error_of_the_store_is_no_end_of_the_file(film: Path) -> None:
    def fail(start: int, end: int) -> bytes:
        if start >= 5 * BLOCK_BYTES and end < film.stat().st_size:
            raise TransientError("the store is gone")
        return seen_through(film)[1](start, end)

    size = film.stat().st_size
    budget = Budget(fail, None)
    with pytest.raises(TransientError):
        read_here(RangeFile("v", size, budget), budget)
    process = DecoderProcess(LimitConfig())
    source = RangeFile("v", size, Budget(fail, None))
    with pytest.raises(TransientError):
        list(process.open(source, VideoConfig(), Sampling(64, 0.1), "pyav"))
    again = process.open(str(film), VideoConfig(), Sampling(64, 0.1, SPAN), "pyav")
    assert len(list(again)) >= 1
    process.close()


def test_a_budget_ends_what_ranges_are_not_good_for(film: Path) -> None:
    source, _ = seen_through(film, limit=3 * BLOCK_BYTES)
    with pytest.raises(RangesSpent):
        list(open_video(source, VideoConfig(), Sampling(64, 0.1)))


def test_blocks_are_kept_up_to_a_number_and_a_shrunk_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom((KEPT_BLOCKS + 2) * BLOCK_BYTES))
    source, budget = seen_through(path)
    parts = []
    while part := source.read(300_000):
        parts.append(part)
    assert b"".join(parts) == path.read_bytes()
    assert len(source._blocks) == KEPT_BLOCKS
    assert budget.fetched == path.stat().st_size
    path.write_bytes(b"short")
    source.seek(0)
    with pytest.raises(InputError, match="shrunk"):
        source.read(10)


def test_a_child_that_asks_for_another_place_is_ended(film: Path) -> None:
    process = DecoderProcess(LimitConfig())
    source, _ = seen_through(film)
    process.open(source, VideoConfig(), Sampling(64, 0.1, SPAN), "pyav")
    size = film.stat().st_size
    for start, end in ((-1, 5), (0, size + 1), (0, BLOCK_BYTES + 1), (5, 5), ("0", 1)):
        with pytest.raises(DecoderDied, match="nonsense"):
            process._wanted({"kind": "want", "start": start, "end": end})
    process.close()


def test_the_decoding_process_gets_no_credentials(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HF_TOKEN", "FSSPEC_S3_SECRET")
    for name in secrets:
        monkeypatch.setenv(name, "s3cr3t-marker")
    process = DecoderProcess(LimitConfig())
    process.open(str(film), VideoConfig(), Sampling(64, 0.1, SPAN), "pyav")
    assert process._child
    environment = Path(f"/proc/{process._child.pid}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"s3cr3t-marker" not in environment
    process.close()
