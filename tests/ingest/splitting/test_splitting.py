"""A long video in parts gives the bytes of the whole one, whoever does the parts."""

from __future__ import annotations

import errno
import hashlib
import os
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
from sofdata.ingest.files import fingerprint
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import Tools
from sofdata.ingest.splitting.split import PartWorker, VideoSplit
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_video, shard_in
from sofdata.shards.schema import VideoRecord
from sofdata.storage.tree import Tree
from sofdata.types import Annotations, TimedText, VideoRef
from tests.long_films import FILMS, damaged, films_in
from tests.videos import cut_off

SETTINGS = (
    "run.engine=inline",
    "flow.size=64",
    "windows.size=32",
    "video.chunk_frames=8",
    "run.split.from_s=5",
    "run.split.part_s=2",
)


@dataclass
class Made:
    """What a video has become: hash of the shard, rows, rejected windows, sums and its record.

    kept_sha256: of the shard of kept flow, "" where none is kept.
    """

    sha256: str
    rows: list[Any]
    rejected: list[Any]
    sums: Any
    record: VideoRecord
    kept_sha256: str = ""
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
        shard_in(tempfile.mkdtemp(dir=tmp_path), config) as shard,
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
        kept = hashlib.sha256(Path(shard.kept_path).read_bytes()).hexdigest() if shard.kept else ""
        return Made(sha256, shard.rows, shard.rejected, sums, outcome.record, kept, splits)


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
    return films_in(tmp_path_factory.mktemp("films"))


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


CUP, PLATE = TimedText(1.0, 7.3, "a cup"), TimedText(9.0, 12.9, "a plate")
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a span": ({"span_s": (3.21, 17.77)}, ()),
    "redacted stretches": ({"annotations": Annotations(hidden_s=((3.9, 4.4), (9.9, 13.2)))}, ()),
    "a redacted span": (
        {"span_s": (2.0, 18.0), "annotations": Annotations(hidden_s=((7.9, 8.05), (17.0, 19.0)))},
        (),
    ),
    "texts that cut": ({"annotations": Annotations((CUP, PLATE))}, ("windows.texts=cut",)),
    "texts that select": ({"annotations": Annotations((CUP, PLATE))}, ("windows.texts=only",)),
    "the left one of two views": ({"annotations": Annotations(eye="left")}, ()),
    "gaps": ({}, ("flow.max_step_s=0.14", "flow.step_s=0.11")),
    "every frame": ({}, ("flow.step_s=0.001", "windows.stride=3", "video.chunk_frames=32")),
    "a chunk for each frame": ({}, ("video.chunk_frames=1",)),
    "the middle, without the camera": ({}, ("video.fit=crop", "windows.camera=subtract")),
    "no shots, no texture": (
        {},
        ("windows.shots=false", "windows.min_texture=0", "windows.camera=off"),
    ),
    "quality": ({}, ("quality.columns=all", "flow.still_diff=2", "flow.keep=true")),
    "gradual changes of shot": ({}, ("windows.gradual_s=2",)),
    "kept flow": (
        {"annotations": Annotations((CUP, PLATE), hidden_s=((3.9, 4.4),))},
        ("flow.keep=true", "windows.texts=cut"),
    ),
    "kept flow, a chunk for each frame": (
        {},
        ("flow.keep=true", "flow.kept.size=48", "video.chunk_frames=1"),
    ),
    "another estimator": ({}, ("flow.estimator=farneback",)),
    "windows by motion, idle ends trimmed": (
        {"annotations": Annotations(hidden_s=((9.9, 13.2),))},
        ("windows.cut=motion", "windows.length=16", "windows.trim=true", "windows.trim_inside=9"),
    ),
    "windows at segments": (
        {"annotations": Annotations((CUP, PLATE))},
        ("windows.cut=text", "windows.length=12"),
    ),
    "short windows at the end": (
        {"annotations": Annotations((CUP, PLATE))},
        ("windows.tail=mask", "windows.stride=3", "windows.texts=cut"),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["closed GOPs, B-frames", "uneven times"])
def test_whatever_is_wanted_of_a_film_comes_the_same_from_its_parts(
    films: Callable[[str], Path], tmp_path: Path, name: str, case: str
) -> None:
    said, more = CASES[case]
    path, config = films(name), settings(*more)
    whole = make(path, tmp_path, ref_of(path, **said), config)
    split = make(path, tmp_path, ref_of(path, **said), config, others_do_all)
    assert whole.rows
    assert len(split.splits) == 1
    assert split == whole


@pytest.mark.parametrize("help_with", [others_do_all, others_do(1), nobody])
def test_flow_that_is_under_way_at_a_seam_is_that_of_the_whole_film(
    films: Callable[[str], Path], tmp_path: Path, help_with: Help, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFlow, "depth", 1)  # as that of flow actors
    path, config = films("closed GOPs, B-frames"), settings()
    whole = make(path, tmp_path, ref_of(path), config)
    split = make(path, tmp_path, ref_of(path), config, help_with)
    assert whole.rows
    assert len(split.splits) == 1
    assert split == whole


@pytest.mark.parametrize("help_with", [others_do_all, others_do(1), nobody])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_damaged_film_is_salvaged_as_a_whole(
    films: Callable[[str], Path], tmp_path: Path, help_with: Help, share: float
) -> None:
    path = damaged(films("closed GOPs, B-frames"), tmp_path / "film.mp4", share)
    config = settings()
    whole = make(path, tmp_path, ref_of(path), config)
    assert whole.record.decode_errors
    split = make(path, tmp_path, ref_of(path), config, help_with)
    assert len(split.splits) == 1, "the second attempt is made in one go"
    assert split == whole
    assert split.record.tries == 1


def test_a_film_that_is_cut_off_is_salvaged_from_its_parts(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path = cut_off(films("VP9"), 0.8, tmp_path / "film.webm")
    config = settings()
    whole = make(path, tmp_path, ref_of(path), config)
    assert whole.record.salvaged
    assert make(path, tmp_path, ref_of(path), config, others_do_all) == whole


def test_a_film_that_changes_while_others_work_on_it_is_set_aside(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(films("closed GOPs, B-frames").read_bytes())
    ref = ref_of(path)

    def change(split: VideoSplit, other: PartWorker) -> None:
        others_do(2)(split, other)
        path.unlink()
        path.write_bytes(films("open GOPs").read_bytes())

    made = make(path, tmp_path, ref, settings(), change)
    assert (made.record.status, made.record.reason) == ("quarantined", "changed")
    assert not made.rows


def test_a_full_disk_costs_the_help_and_not_the_film(
    films: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, config = films("closed GOPs, B-frames"), settings()
    whole = make(path, tmp_path, ref_of(path), config)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(split: VideoSplit, other: PartWorker) -> None:
        others_do(1)(split, other)
        monkeypatch.setattr(Path, "touch", fail)

    assert make(path, tmp_path, ref_of(path), config, fill) == whole
    monkeypatch.setattr("sofdata.ingest.splitting.folder.temporary_folder", fail)
    assert make(path, tmp_path, ref_of(path), config, others_do_all) == whole


def test_only_so_many_parts_are_done_ahead(films: Callable[[str], Path], tmp_path: Path) -> None:
    path, config = films("closed GOPs, B-frames"), settings("run.split.ahead_mib=0.5")

    def count(split: VideoSplit, other: PartWorker) -> None:
        while other.try_part(split):
            pass
        files = [name for name in os.listdir(split.folder.path) if name.endswith(".steps")]
        size = sum(os.path.getsize(Path(split.folder.path, name)) for name in files)
        assert len(files) == split.folder.ahead
        assert 0 < size <= 1 << 19

    whole = make(path, tmp_path, ref_of(path), config)
    assert make(path, tmp_path, ref_of(path), config, count) == whole


def test_nothing_is_left_of_the_parts(films: Callable[[str], Path], tmp_path: Path) -> None:
    path = films("closed GOPs, B-frames")
    made = make(path, tmp_path, ref_of(path), settings(), others_do(3))
    (split,) = made.splits
    assert not Path(split.folder.path).exists()
    worker = PartWorker(
        settings(), InProcess(settings()), LocalFlow(make_estimator(settings().flow))
    )
    assert not worker.help(split, split.libraries), "who comes late finds nothing to do"


def test_a_worker_with_other_libraries_does_not_help(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    def strange(split: VideoSplit, other: PartWorker) -> None:
        assert not other.help(split, "of another machine")
        assert split.folder.has_left()

    path = films("closed GOPs, B-frames")
    make(path, tmp_path, ref_of(path), settings(), strange)


def test_short_films_and_those_that_are_not_to_be_split_are_not(
    films: Callable[[str], Path], tmp_path: Path
) -> None:
    path = films("closed GOPs, B-frames")
    for setting in ("run.split.from_s=30", "run.split.from_s=null"):
        assert not make(path, tmp_path, ref_of(path), settings(setting), others_do_all).splits
    span = ref_of(path, span_s=(4.0, 8.0))
    assert not make(path, tmp_path, span, settings(), others_do_all).splits
