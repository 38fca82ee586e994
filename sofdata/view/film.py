"""Frames of a video of a dataset, decoded where the source is reachable and as the dataset saw it.

Untrusted video is decoded in a process of its own, under limits of time and memory; see
`sofdata.video.isolate`. A file that is no longer what the dataset was made of is not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError, StorageError
from sofdata.ingest.config import stored_config
from sofdata.ingest.fetch import Fetcher
from sofdata.ingest.files import fingerprint
from sofdata.ingest.replay import last_source
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.types import Frames, VideoRef
from sofdata.video.isolate import DecoderProcess
from sofdata.video.limits import LimitConfig
from sofdata.video.ranges import Source as FileSource
from sofdata.video.sampling import Sampling

SIZE_PX = 256  # of the squares that are shown, unless the dataset has larger ones
LIMITS = LimitConfig(floor_s=20.0, per_second=2.0, per_mib=1.0, ceiling_s=120.0, memory_mib=2048)
SAME_S = 0.002  # containers round times to a millisecond


_SAY = "start with --source to say where the corpus is now"


class NoFrames(Exception):
    """Frames of a video cannot be shown; says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where the corpus of a dataset lies, or why that is not known.

    tree: None where it is not to be had. is_given: whether the user said where it is.
    """

    tree: Tree | None
    why: str = ""
    is_given: bool = False

    @classmethod
    def of(cls, dest: Tree, given: str | None) -> Source:
        """The place that is given, or where the last run found it, on this machine.

        A place in a store has to be given: a dataset that a stranger has made would decide which
        server is asked. Raises `ConfigError` for a place that is given and is not there.
        """
        try:
            tree = Tree(given if given is not None else last_source(dest))
            if given is None and not tree.is_local:
                return cls(None, f"the source is in a store: {_SAY}, such as {tree.name}")
            if tree.exists():
                return cls(tree, is_given=given is not None)
            why = f"the source {tree.name} is not there"
        except (ConfigError, InputError, StorageError, OSError, ValueError) as error:
            why = f"the source is not known: {error}"
        if given is not None:
            raise ConfigError(why)
        return cls(None, f"{why}; {_SAY}")


class Projector:
    """Decodes frames, one video at a time, whichever thread asks.

    record: says how the dataset sampled its frames. Close it at the end.
    """

    def __init__(self, record: DatasetRecord, source: Source) -> None:
        self._config = stored_config(record.config)
        self._source = source
        self._process = DecoderProcess(LIMITS)
        self._lock = Lock()
        self._closed = False
        self.size_px = max(SIZE_PX, self._config.flow.size)

    @property
    def why_not(self) -> str:
        """Why there are no frames of any video, "" if there may be."""
        return self._source.why

    def close(self) -> None:
        """End the decoding process, also where it is at work."""
        self._closed = True
        self._process.close()

    def at(self, ref: VideoRef, pts_s: Sequence[float]) -> NDArray[np.uint8]:
        """The frames of these times, uint8 [T,H,W,3]. Raises `NoFrames`."""
        span_s = (pts_s[0] - SAME_S, pts_s[-1] + 2 * self._config.flow.step_s)
        found: dict[int, NDArray[np.uint8]] = {}
        wanted = np.array(pts_s)
        with self._lock:
            for frames in self._frames(ref, span_s):
                for at_s, rgb in zip(frames.pts_s.tolist(), frames.rgb, strict=True):
                    place = int(np.abs(wanted - at_s).argmin())
                    if abs(wanted[place] - at_s) <= SAME_S:
                        found[place] = rgb.copy()
        if len(found) < len(pts_s):
            raise NoFrames(
                f"only {len(found)} of the window's {len(pts_s)} frames are found in the file at "
                "their times"
            )
        return np.stack([found[place] for place in range(len(pts_s))])

    def all(self, ref: VideoRef) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(pts_s, rgb uint8 [H,W,3]) of all sampled frames of a video. Raises `NoFrames`."""
        last_s = -np.inf
        with self._lock:
            for frames in self._frames(ref, ref.span_s):
                for at_s, rgb in zip(frames.pts_s.tolist(), frames.rgb, strict=True):
                    if at_s > last_s:  # a chunk begins with the last frame of the one before
                        yield at_s, rgb
                        last_s = at_s

    def _frames(self, ref: VideoRef, span_s: tuple[float, float] | None) -> Iterable[Frames]:
        if self._closed or self._source.tree is None:
            raise NoFrames(self._source.why or "the view is closed")
        flow, said = self._config.flow, ref.annotations
        hidden = (said.hidden_s, said.eye, said.lasts_s)
        sampling = Sampling(self.size_px, flow.step_s, span_s, *hidden)
        with _naming_video(ref), self._fetched(self._source.tree, ref, span_s) as file:
            yield from self._process.open(
                file, self._config.video, sampling, "pyav", sequence=ref.where.sequence
            )

    @contextmanager
    def _fetched(
        self, source: Tree, ref: VideoRef, span_s: tuple[float, float] | None
    ) -> Iterator[FileSource]:
        if not (self._source.is_given or source.is_on_disk(ref.where)):
            raise NoFrames(f"its file is in a store: {_SAY}")
        part = replace(ref, span_s=span_s)  # of which some ranges of a large remote file may do
        with (
            Fetcher(source, (part,), self._config.run) as fetcher,
            fetcher.video(part, "pyav") as (file, path),
        ):
            size = Tree("/").size(local(path)) if path else source.size(ref.where)
            if size != ref.size_bytes or ref.fingerprint != fingerprint(
                source, ref.uri, size, ref.actions, path
            ):
                raise NoFrames("its file has changed since the dataset was made")
            yield file


@contextmanager
def _naming_video(ref: VideoRef) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NoFrames(f"its file {ref.uri} is not in the source any more") from None
    except (InputError, StorageError, OSError) as error:
        raise NoFrames(f"it cannot be decoded here: {error}") from None
