"""The frames of a dataset's videos once more, as its ingest sampled them.

A dataset holds the first and the last frame of each window. What needs those in between decodes the
source again: with the same sampling the same frames come out, at the same times, and what the
corpus hides stays hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError
from sofdata.ingest.config import stored_config
from sofdata.ingest.engines.decoders import Isolated
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.inputs import Refused
from sofdata.ingest.pipeline import opened
from sofdata.ingest.plan import load_plan
from sofdata.ingest.replay import last_source
from sofdata.ingest.retries import VideoAttempt, next_attempt
from sofdata.shards.record import read_dataset
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

TimedFrame = tuple[float, NDArray[np.uint8]]


class SourceFrames:
    """Opens videos of a dataset in a process that is killed if one makes it hang.

    source: where the corpus lies now, None for where the last run found it.

    To be used in a `with` block. Raises `ConfigError` where there is no dataset, or no source is
    known.
    """

    def __init__(self, dest: Tree, source: str | None) -> None:
        dataset, plan = read_dataset(dest), load_plan(dest)
        if dataset is None or plan is None:
            raise ConfigError(f"{dest.name} holds no dataset.json or no plan.parquet")
        self.source = Tree(source or last_source(dest))
        self._plan = plan
        self._config = stored_config(dataset.config)
        self._decoder = Isolated(self._config)
        self._attempts: dict[str, VideoAttempt] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def of(self, video: str) -> Iterator[TimedFrame]:
        """Time in s and frame uint8 [S,S,3] of each sampled frame of a video, in order.

        Raises `InputError` or `OSError` for a video that is not as the plan saw it or cannot be
        read; `may_retry` then says whether to begin again.
        """
        ref = self._ref(video)
        attempt = self._attempts.setdefault(video, VideoAttempt(self._config.video.decoder))
        with ExitStack() as stack:
            fetcher = stack.enter_context(Fetcher(self.source, (ref,), self._config.run))
            file = stack.enter_context(opened(ref, attempt, self.source, fetcher))
            chunks = iter(self._decoder(file, ref, attempt.decoder))
            first = 0  # each chunk after the first begins with the last frame of the one before
            for frames in chunks:
                times = frames.pts_s.tolist()
                yield from zip(times[first:], frames.rgb[first:], strict=True)
                first = 1

    def may_retry(self, video: str, error: Exception) -> bool:
        """Whether another attempt at a video may do better after an error of `of`."""
        following = next_attempt(self._attempts[video], error) if video in self._attempts else None
        if following is not None:
            self._attempts[video] = following
        return following is not None

    def _ref(self, video: str) -> VideoRef:
        found = self._plan.find(video)
        if found is None or isinstance(found, Refused):
            raise InputError(f"the plan has no video {video!r:.200} that was ingested")
        return found
