"""Which worker helps with which long video."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sofdata.ingest.config import RunConfig
from sofdata.ingest.engines.nodes import helpers_to_start
from sofdata.ingest.engines.splitting import MOST_LOSSES, Splits
from sofdata.ingest.events import SplitOpened, UnitRetried, VideoDone, VideoProgress
from sofdata.ingest.splitting.split import VideoSplit


def opened(unit: str, parts: int = 3) -> SplitOpened:
    split: Any = SimpleNamespace(unit=unit, division=SimpleNamespace(parts=[None] * parts))
    return SplitOpened(cast(VideoSplit, split))


def test_workers_are_spread_over_the_videos_of_their_place() -> None:
    splits = Splits()
    for unit, place in (("a", "here"), ("b", "here"), ("c", "there")):
        assert splits.follow(opened(unit), place), "for the engine alone"
    assert splits.wanted() == {"here": 6, "there": 3}
    helped = []
    for worker in range(4):
        split = splits.next_at("here")
        assert split is not None
        splits.begin(worker, split, worker)
        helped.append(split.video.unit)
    assert helped == ["a", "b", "a", "b"]
    assert splits.next_at("nowhere") is None


def test_no_more_workers_help_than_there_are_parts() -> None:
    splits = Splits()
    splits.follow(opened("a", parts=1))
    split = splits.next_at()
    assert split is not None
    splits.begin("call", split, "worker")
    assert splits.next_at() is None
    assert splits.end("call", more=True) == "worker"
    assert splits.next_at() is split


def test_nobody_helps_any_more_once_a_video_has_ended_or_has_no_more_parts() -> None:
    splits = Splits()
    for event in (VideoDone("a", "film", "done"), UnitRetried("a", "it died")):
        splits.follow(opened("a"))
        assert not splits.follow(VideoProgress("a", "film", 1.0, 2.0))
        assert splits.next_at()
        assert not splits.follow(event)
        assert splits.next_at() is None
    splits.follow(opened("b"))
    split = splits.next_at()
    assert split is not None
    splits.begin("call", split, "worker")
    splits.end("call", more=False)
    assert splits.next_at() is None


def test_help_that_comes_too_late_does_not_end_that_for_the_next_video() -> None:
    splits = Splits()
    splits.follow(opened("a"))
    split = splits.next_at()
    assert split is not None
    splits.begin("call", split, "worker")
    splits.follow(VideoDone("a", "film", "done"))
    splits.follow(opened("a"))
    splits.end("call", more=False)
    assert splits.next_at() not in (None, split)


def test_a_video_that_costs_one_helper_after_the_other_is_left_alone() -> None:
    splits = Splits()
    splits.follow(opened("a"))
    for _ in range(MOST_LOSSES):
        split = splits.next_at()
        assert split is not None
        splits.begin("call", split, "worker")
        assert splits.lose("call") == "worker"
    assert splits.next_at() is None


def test_a_node_is_filled_with_helpers_as_far_as_it_has_room() -> None:
    def start(workers: int | None = None, **asked: int) -> int:
        given = {"cores": 8, "free_cores": 20, "running": 1, "there": 1, "most": 60, **asked}
        return helpers_to_start(RunConfig(workers=workers), **given)

    assert start() == 7
    assert start(most=3) == 2
    assert start(free_cores=4) == 4
    assert start(there=8, running=30) == 0
    assert start(workers=4) == 3
    assert start(workers=4, running=6) == 0
