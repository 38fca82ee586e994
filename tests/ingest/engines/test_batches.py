"""Events of a unit in batches: none is lost, none waits long, and the last goes with the unit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from sofdata.ingest.engines.batches import batches
from sofdata.ingest.events import Event, UnitDone, VideoDone


def videos(number: int) -> list[VideoDone]:
    return [VideoDone("u", str(index), "done", windows=3) for index in range(number)]


def test_events_that_come_at_once_leave_in_few_batches_and_in_order() -> None:
    events: list[Event] = [*videos(60), UnitDone("u", 60, 180)]
    sent = list(batches(iter(events)))
    assert [len(batch) for batch in sent] == [1, 60]
    assert [event for batch in sent for event in batch] == events


def test_no_batch_holds_more_than_it_may() -> None:
    assert [len(batch) for batch in batches(iter(videos(10)), most=4)] == [1, 4, 4, 1]


def test_events_that_come_slowly_leave_as_they_come() -> None:
    assert [len(batch) for batch in batches(iter(videos(4)), every_s=0.0)] == [1] * 4


def test_what_a_unit_raises_goes_through() -> None:
    def fails() -> Iterator[VideoDone]:
        yield from videos(2)
        raise RuntimeError("the store is gone")

    sent = batches(fails())
    assert len(next(sent)) == 1
    with pytest.raises(RuntimeError, match="the store is gone"):
        next(sent)


def test_a_message_of_a_unit_of_sixty_videos_takes_a_few_kilobytes() -> None:
    """With whole ledger records it took as much as the unit has windows."""
    message = pickle.dumps([*videos(60), UnitDone("u", 60, 180)])
    assert len(message) < 60 * 100
