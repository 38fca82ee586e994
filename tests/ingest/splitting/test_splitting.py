"""A long video in parts gives the bytes of the whole one, whoever does the parts."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.engines.decoders import InProcess
from sofdata.ingest.events import SplitOpened
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import Tools
from sofdata.ingest.plan import fingerprint
from sofdata.ingest.splitting.split import PartWorker, VideoSplit
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_video
from sofdata.shards.schema import VideoRecord
from sofdata.shards.writer import ShardWriter
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef
from tests.long_films import FILMS, write_film

SETTINGS = (
    "run.engine=inline",
    "flow.size=64",
    "windows.size=32",
    "video.chunk_frames=8",
    "run.split.from_s=5",
    "run.split.part_s=3",
)


@dataclass
class Made:
    """What a video has become: hash of the shard, rows, rejected windows, sums and its record."""

    sha256: str
    rows: list[Any]
    rejected: list[Any]
    sums: Any
    record: VideoRecord
    splits: list[VideoSplit] = field(default_factory=list, compare=False)


Help = Callable[[VideoSplit, PartWorker], None]


def make(
    path: Path, tmp_path: Path, ref: VideoRef, config: IngestConfig, help_with: Help | None = None
) -> Made:
    """Run a video, with help from another worker as soon as it is open, or as a whole."""
    source = Tree(str(path.parent))
    job = UnitJob(source, Tree("memory://nowhere"), config)
    flow, decoder = LocalFlow(make_estimator(config.flow)), InProcess(config, divides=True)
    own, other = PartWorker(config, decoder, flow), PartWorker(config, decoder, flow)
    splits: list[VideoSplit] = []
    with (
        ShardWriter(tempfile.mktemp(dir=tmp_path)) as shard,
        Fetcher(source, (ref,), config.run) as fetcher,
    ):
        tools = Tools(fetcher, decoder, flow, shard, "unit", own if help_with else None)
        steps = run_video(ref, job, tools)
        while True:
            try:
                event = next(steps)
            except StopIteration as ended:
                outcome = ended.value
                break
            if isinstance(event, SplitOpened) and help_with:
                splits.append(event.split)
                help_with(event.split, other)
        sha256 = hashlib.sha256(Path(shard.path).read_bytes()).hexdigest()
        sums = shard.sums.record()
        return Made(sha256, shard.rows, shard.rejected, sums, outcome.record, splits)


def ref_of(path: Path, **said: Any) -> VideoRef:
    size = path.stat().st_size
    seen = fingerprint(Tree(str(path.parent)), path.name, size, None)
    return VideoRef(path.name, path.name, size, seen, **said)


def others_do_all(split: VideoSplit, other: PartWorker) -> None:
    while other.help(split, split.libraries):
        pass


def others_do(count: int) -> Help:
    def help_with(split: VideoSplit, other: PartWorker) -> None:
        for _ in range(count):
            other.help(split, split.libraries)

    return help_with


def nobody(split: VideoSplit, other: PartWorker) -> None:
    pass


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Films by name, each encoded once."""
    folder, made = tmp_path_factory.mktemp("films"), dict[str, Path]()

    def film(name: str) -> Path:
        if name not in made:
            made[name] = write_film(folder, name)
        return made[name]

    return film


def settings(*more: str) -> IngestConfig:
    return load_config(None, [*SETTINGS, *more])


@pytest.mark.parametrize("name", [name for name, film in FILMS.items() if film.splits])
@pytest.mark.parametrize("help_with", [others_do_all, others_do(2), nobody])
def test_a_film_in_parts_is_the_whole_film(
    films: Callable[[str], Path], tmp_path: Path, name: str, help_with: Help
) -> None:
    path, config = films(name), settings()
    whole = make(path, tmp_path, ref_of(path), config)
    split = make(path, tmp_path, ref_of(path), config, help_with)
    assert whole.record.status == "done"
    assert len(split.splits) == 1, "nothing had to be done twice"
    assert len(split.splits[0].division.parts) > 3
    assert split == whole


@pytest.mark.parametrize("name", [name for name, film in FILMS.items() if not film.splits])
def test_a_film_that_may_not_be_split_is_not(
    films: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path = films(name)
    made = make(path, tmp_path, ref_of(path), settings(), others_do_all)
    assert made.record.status == "done"
    assert not made.splits
