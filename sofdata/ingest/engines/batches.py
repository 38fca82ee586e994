"""Events in batches: a driver takes a message of many events in the time of one of a single one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from sofdata.ingest.events import Event, SplitOpened

Batch = list[Event]

BATCH_S = 0.25  # between two batches of a worker among few
MESSAGES_PER_S = 250  # that all workers together send: one of Ray's takes its driver half a ms
BATCH_EVENTS = 256


def batch_s(workers: int) -> float:
    """Time between two batches of one of so many workers, s: 4 for a thousand."""
    return max(BATCH_S, workers / MESSAGES_PER_S)


def batches(
    events: Iterable[Event], every_s: float = BATCH_S, most: int = BATCH_EVENTS
) -> Iterator[Batch]:
    """Group the events of one unit, in their order, so that a batch leaves every `every_s` at most.

    An event that comes after a pause of so long goes out at once, and so does a `SplitOpened`, as
    others are idle for it. One that comes sooner waits for the next event, or for `most` of them,
    or for the end of the unit. What a unit that raises had not sent is not missed: its next try
    says it again, and the driver takes back what it had heard.
    """
    batch: Batch = []
    sent_s = float("-inf")
    for event in events:
        batch.append(event)
        now_s = time.monotonic()
        urgent = isinstance(event, SplitOpened)
        if urgent or now_s - sent_s >= every_s or len(batch) >= most:
            yield batch
            batch, sent_s = [], now_s
    if batch:
        yield batch
