"""The kept flow of a dataset, read unit by unit: to be carried over, or cut into other windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

from sofdata.errors import InputError
from sofdata.ingest.committed import Committed
from sofdata.shards.kept import KeptPiece, decode_kept
from sofdata.shards.layout import FLOW
from sofdata.shards.schema import KeptVideo
from sofdata.shards.tar import BLOCK, hash_file, read_sample_at
from sofdata.storage.tree import Tree


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Consecutive steps of a video, and the members of the sample that they were read from."""

    kept: KeptPiece
    members: Mapping[str, bytes]


class KeptFlow:
    """What a dataset keeps of its videos. `close` it: then the shards that it opened are closed.

    committed: its records, which are named by their paths. size: side of the kept flow, px.
    All methods raise `InputError` for what is missing or damaged: nothing is read of a shard that
    is not the one that its record names.
    """

    def __init__(self, tree: Tree, committed: Committed, size: int) -> None:
        self._tree = tree
        self._size = size
        self._committed = committed
        self._open = ExitStack()
        self._stream = cache(self._opened)
        self._kept = cache(self._by_video)

    def close(self) -> None:
        """Close the shards that were opened."""
        self._open.close()

    def has_flow(self, path: str, id: str) -> bool:
        """Whether a video was read to its end, so that its flow is kept."""
        return id in self._kept(path)

    def check(self, path: str) -> None:
        """Raise `InputError` unless the shard that a record names is there and whole."""
        record = self._committed.record(path)
        if record and record.kept and record.kept.shard:
            self._stream(path)

    def pieces(self, path: str, id: str) -> Iterator[Piece]:
        """What is kept of a video, in its order; nothing where no frame was sampled."""
        video = self._kept(path)[id]
        offset = video.offset
        for part in range(video.records):
            stream, name = self._stream(path)
            key, members = read_sample_at(stream, offset, name)
            kept = decode_kept(key, members, self._size)
            if (kept.record.source, kept.record.part) != (id, part):
                raise InputError(f"{name}: sample {key} is not part {part} of {id}")
            offset += sum(BLOCK + len(data) + -len(data) % BLOCK for data in members.values())
            yield Piece(kept, members)

    def _by_video(self, path: str) -> dict[str, KeptVideo]:
        record = self._committed.record(path)
        if record is None or record.kept is None:
            raise InputError("it lists no kept flow")
        return {video.id: video for video in record.kept.videos}

    def _opened(self, path: str) -> tuple[BinaryIO, str]:
        record = self._committed.record(path)
        shard = record.kept.shard if record and record.kept else None
        if shard is None:
            raise InputError("it names no shard of kept flow")
        name = f"{FLOW}/{shard.name}"
        try:
            local = self._open.enter_context(self._tree.local_copy(name, shard.size_bytes))
            if hash_file(local)[0] != shard.sha256:
                raise InputError(f"the sha256 of {name} is not the one that its record names")
            return self._open.enter_context(open(local, "rb")), name
        except OSError as error:
            raise InputError(f"{name} cannot be read ({error.strerror or error})") from None
