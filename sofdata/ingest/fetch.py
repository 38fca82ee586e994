"""The videos of a unit where a decoder can read them: local files, copies, or remote ranges.

A remote video is copied to a temporary file, and the next one while it is decoded, as far as both
fit into `run.temporary_mib`. Two kinds are read in ranges instead: videos that do not fit, and
large ones of which only a span is used, until that turns out to need most of the file.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from sofdata.errors import InputError
from sofdata.ingest.config import RunConfig
from sofdata.storage.folder import MIB
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef
from sofdata.video.config import DecoderName
from sofdata.video.ranges import Budget, RangeFile, Source

RANGES_SHARE = 0.5  # of a file; whoever needs more is better off with a copy


class Copy:
    """A file of the source as a local one, from `open` until `close`."""

    def __init__(self, source: Tree, ref: VideoRef) -> None:
        self.uri = ref.file_uri
        self._where = ref.where
        self._size_bytes = ref.size_bytes
        self._source = source
        self._stack = ExitStack()
        self.path = ""

    def open(self) -> str:
        """Fetch it. Raises what `Tree.download` raises."""
        self.path = self._stack.enter_context(
            self._source.local_copy(self._where, self._size_bytes)
        )
        return self.path

    def close(self) -> None:
        """Remove it if it is a copy."""
        self._stack.close()


class Fetcher:
    """Gives the videos of a unit, in their order; each may be asked for again until the next is.

    Not for several threads. `close` it, or use it in a `with` statement.
    """

    def __init__(self, source: Tree, videos: Sequence[VideoRef], run: RunConfig) -> None:
        self._source = source
        self._room_bytes = int(run.temporary_mib * MIB)
        self._ranges_from = int(run.ranges_mib * MIB)
        self._next = {one.id: following for one, following in itertools.pairwise(videos)}
        self._copy: Copy | None = None
        self._ahead: tuple[Copy, Future[str]] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._fetched: Counter[str] = Counter()
        self._copied_whole: set[str] = set()
        self._given = ("", "")  # id of the video that was given last, and its path

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def video(self, ref: VideoRef, decoder: DecoderName) -> Iterator[tuple[Source, str]]:
        """What to give a decoder, and the local path of it, "" for a remote file read in ranges.

        decoder: decord needs a copy, whatever its size.

        Raises what `Tree.download` raises, in the block too, and `RangesSpent` there.
        """
        decoder = "pyav" if ref.where.sequence else decoder
        if self._in_ranges(ref, decoder):
            self._given = ref.id, ""
            budget = Budget(lambda start, end: self._read(ref, start, end), self._limit(ref))
            try:
                yield RangeFile(ref.uri, ref.size_bytes, budget), ""
            except (InputError, OSError):
                budget.check()  # what a decoder makes of a range that could not be had
                raise
            budget.check()
        else:
            path = self._local(ref)
            self._given = ref.id, path
            self._look_ahead(ref, decoder)
            yield path, path

    def path_of(self, ref: VideoRef) -> str:
        """The path under which errors name a video: its own or, once given, that of what was.

        "" for one that was read in ranges, which errors name by its URI.
        """
        given, path = self._given
        return path if given == ref.id else self._source.path(ref.where)

    def copy_whole(self, ref: VideoRef) -> None:
        """Read no more ranges of this video's file."""
        self._copied_whole.add(ref.file_uri)

    def close(self) -> None:
        """Remove all copies."""
        if self._ahead:
            copy, future = self._ahead
            future.cancel() or future.exception()  # wait for it
            copy.close()
            self._ahead = None
        if self._copy:
            self._copy.close()
            self._copy = None
        if self._thread:
            self._thread.shutdown()
            self._thread = None

    def _is_local(self, ref: VideoRef) -> bool:
        return self._source.is_on_disk(ref.where)

    def _fits(self, *refs: VideoRef) -> bool:
        # Spans and sequences of one file share its copy.
        sizes = {ref.file_uri: ref.size_bytes for ref in refs}
        return sum(sizes.values()) <= self._room_bytes

    def _in_ranges(self, ref: VideoRef, decoder: DecoderName) -> bool:
        has_copy = self._copy is not None and self._copy.uri == ref.file_uri
        if self._is_local(ref) or decoder != "pyav" or has_copy:  # a copy is cheaper than any range
            return False
        if not self._fits(ref):
            return self._source.has_ranges(ref.where)
        large_span = ref.span_s is not None and ref.size_bytes > self._ranges_from
        return (
            large_span
            and ref.file_uri not in self._copied_whole
            and self._source.has_ranges(ref.where)
        )

    def _limit(self, ref: VideoRef) -> int | None:
        """How many more bytes of a file may be read in ranges."""
        if not self._fits(ref):
            return None
        return int(RANGES_SHARE * ref.size_bytes) - self._fetched[ref.file_uri]

    def _read(self, ref: VideoRef, start: int, end: int) -> bytes:
        self._fetched[ref.file_uri] += end - start
        return self._source.read_range(ref.where, start, end)

    def _local(self, ref: VideoRef) -> str:
        """The path of a local file or of a copy, which may have been made ahead."""
        if self._copy and self._copy.uri == ref.file_uri:
            return self._copy.path
        if self._copy:
            self._copy.close()
            self._copy = None
        if self._ahead:
            copy, future = self._ahead
            self._ahead = None
            if copy.uri == ref.file_uri:
                try:
                    future.result()
                except BaseException:
                    copy.close()  # nobody else knows of its temporary file any more
                    raise
                self._copy = copy
                return copy.path
            future.exception()  # wait: the thread must not write to what is being removed
            copy.close()
        copy = Copy(self._source, ref)
        path = copy.open()
        self._copy = copy
        return path

    def _look_ahead(self, ref: VideoRef, decoder: DecoderName) -> None:
        """Begin to copy the next video, if there is room for both."""
        following = self._next.get(ref.id)
        if following is None or self._ahead or self._is_local(following):
            return
        if following.file_uri == ref.file_uri or not self._fits(ref, following):
            return
        if self._in_ranges(following, decoder):
            return
        # One thread, one copy: more would take room and bandwidth from the video that is decoded.
        self._thread = self._thread or ThreadPoolExecutor(1)
        copy = Copy(self._source, following)
        self._ahead = copy, self._thread.submit(copy.open)
