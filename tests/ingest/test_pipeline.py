"""`sofdata.ingest.pipeline`: the arrow from a video to samples, and what it leaves if it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import DecodeError, StorageError
from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.engines.decoders import InProcess
from sofdata.ingest.events import VideoProgress
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.files import fingerprint
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import DecodedVideo, Decoder, Tools, ingest_video, run_through
from sofdata.ingest.retries import VideoAttempt
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_video
from sofdata.scenes import moving_texture, write_video
from sofdata.shards.sample import decode_sample
from sofdata.shards.tar import read_samples
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.system import fault_points as faults
from sofdata.types import Frames, VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.ranges import Source

SETTINGS = ("flow.size=64", "windows.size=64", "windows.length=4", "windows.stride=4")
STEPS_PX = (2.0, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("one.mp4", "two.mp4", "three.mp4")):
        write_video(folder / name, moving_texture(*STEPS_PX, 13, (64, 64), seed), 10)
    return folder


@pytest.fixture
def config() -> IngestConfig:
    return load_config(None, ["run.engine=inline", "windows.min_texture=0", *SETTINGS])


def video(folder: Path, name: str) -> VideoRef:
    size = (folder / name).stat().st_size
    return VideoRef(name, name, size, fingerprint(Tree(str(folder)), name, size, None))


def write(
    folder: Path, shard: ShardWriter, config: IngestConfig, open_video: Decoder, name: str
) -> None:
    source, ref = Tree(str(folder)), video(folder, name)
    job = UnitJob(source, Tree("memory://nowhere"), config)
    with Fetcher(source, (ref,), config.run) as fetcher:
        tools = Tools(fetcher, open_video, LocalFlow(make_estimator(config.flow)), shard)
        outcome = run_through(ingest_video(ref, VideoAttempt(config.video.decoder), job, tools))
    assert outcome.record.status == "done"
    assert outcome.record.windows


class Broken:
    """Opens videos whose stream ends in an error, after all of their frames."""

    def __init__(self, config: IngestConfig, error: Exception) -> None:
        self._open = InProcess(config)
        self._error = error

    def __call__(self, path: Source, ref: VideoRef, decoder: DecoderName) -> DecodedVideo:
        stream = self._open(path, ref, decoder)
        stream_iter, error = iter(stream), self._error

        class Ending:
            info, decoder, duration_s = stream.info, "", stream.duration_s

            @property
            def report(self) -> object:
                return stream.report

            def __iter__(self) -> Iterator[Frames]:
                yield from stream_iter
                raise error

        return Ending()  # type: ignore[return-value]


def test_a_clip_becomes_samples_whose_flow_is_its_motion(
    folder: Path, tmp_path: Path, config: IngestConfig
) -> None:
    with ShardWriter(str(tmp_path / "shard.tar")) as shard:
        write(folder, shard, config, InProcess(config), "one.mp4")
        record = shard.commit(Tree(str(tmp_path)), 0, "unit")
    assert record is not None
    with (tmp_path / "shards" / record.name).open("rb") as stream:
        samples = [decode_sample(key, members) for key, _, members in read_samples(stream, "")]
    assert [row.key for row in shard.rows] == [sample.record.key for sample in samples]
    assert [sample.record.window for sample in samples] == [0, 1, 2]
    for sample in samples:
        assert sample.flow.shape == (4, 64, 64, 2)
        inner = np.median(sample.flow[:, 16:-16, 16:-16], axis=(1, 2))  # [L,2]
        assert np.allclose(inner, STEPS_PX, atol=0.25)


@pytest.mark.parametrize("error", [DecodeError("cut off"), StorageError("full"), OSError("gone")])
def test_a_video_that_breaks_midway_leaves_no_byte_in_the_shard(
    folder: Path,
    tmp_path: Path,
    config: IngestConfig,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(faults, "_inject", steps.append)
    with ShardWriter(str(tmp_path / "whole.tar")) as shard:
        for name in ("one.mp4", "three.mp4"):
            write(folder, shard, config, InProcess(config), name)
        whole = shard.commit(Tree(str(tmp_path / "whole")), 0, "unit")
        rows, sums = shard.rows, shard.sums.record()
    with ShardWriter(str(tmp_path / "broken.tar")) as shard:
        write(folder, shard, config, InProcess(config), "one.mp4")
        members = steps.count("shard: member")
        with pytest.raises(type(error), match=str(error)):
            write(folder, shard, config, Broken(config, error), "two.mp4")
        assert steps.count("shard: member") > members, "it had written samples before it broke"
        write(folder, shard, config, InProcess(config), "three.mp4")
        assert shard.commit(Tree(str(tmp_path / "broken")), 0, "unit") == whole, "of the same hash"
        assert (shard.rows, shard.sums.record()) == (rows, sums)


def test_a_video_reports_how_far_it_has_come_by_its_own_clock(
    folder: Path, tmp_path: Path, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.ingest.pipeline.PROGRESS_S", 0.0)
    source, ref = Tree(str(folder)), video(folder, "one.mp4")
    job = UnitJob(source, Tree("memory://nowhere"), config)
    with (
        Fetcher(source, (ref,), config.run) as fetcher,
        ShardWriter(str(tmp_path / "shard.tar")) as shard,
    ):
        flow = LocalFlow(make_estimator(config.flow))
        tools = Tools(fetcher, InProcess(config), flow, shard, "u")
        reports = [e for e in run_video(ref, job, tools) if isinstance(e, VideoProgress)]
    assert {(one.unit, one.video, one.size_bytes) for one in reports} == {
        ("u", ref.id, ref.size_bytes)
    }
    assert [one.total_s for one in reports] == [pytest.approx(1.3)] * 3  # 13 frames, 10 a second
    assert [one.done_s for one in reports] == sorted(one.done_s for one in reports)
    assert reports[-1].done_s == pytest.approx(1.2)  # from the first frame to the last


def test_what_the_retries_give_up_is_recorded_and_not_written(
    folder: Path, tmp_path: Path, config: IngestConfig
) -> None:
    source, ref = Tree(str(folder)), video(folder, "two.mp4")
    job = UnitJob(source, Tree("memory://nowhere"), config)
    with (
        Fetcher(source, (ref,), config.run) as fetcher,
        ShardWriter(str(tmp_path / "shard.tar")) as shard,
    ):
        flow = LocalFlow(make_estimator(config.flow))
        error = DecodeError(f"{folder / 'two.mp4'}: cut off")
        tools = Tools(fetcher, Broken(config, error), flow, shard)
        record = run_through(run_video(ref, job, tools)).record
        assert (record.status, record.reason) == ("quarantined", "decode_error")
        assert record.detail == "cut off", "without the path on this machine"
        assert shard.rows == []
        assert shard.commit(Tree(str(tmp_path / "dest")), 0, "unit") is None
