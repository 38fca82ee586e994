"""Whether the kept flow of a unit is what its record says: a sentence a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from sofdata.errors import InputError
from sofdata.ingest.account import kept_size
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.kept import KeptPiece, decode_kept
from sofdata.shards.layout import FLOW
from sofdata.shards.schema import DatasetRecord, KeptVideo
from sofdata.shards.tar import hash_file, read_samples
from sofdata.storage.tree import Tree


def kept_problems(dest: Tree, record: LedgerColumns, dataset: DatasetRecord) -> Iterator[str]:
    """Check a shard of kept flow: its hash and, if it is the right one, each of its samples."""
    assert record.kept is not None
    shard = record.kept.shard
    assert shard is not None
    where = f"{FLOW}/{shard.name}"
    try:
        with dest.local_copy(where, shard.size_bytes) as path:
            if hash_file(path)[0] != shard.sha256:
                yield "its sha256 is not that of the ledger; nothing of it was decoded"
                return
            with open(path, "rb") as stream:
                yield from _content_problems(stream, where, record.kept.videos, dataset)
    except (FileNotFoundError, InputError) as error:
        yield "it is missing" if isinstance(error, FileNotFoundError) else str(error)


def _content_problems(
    stream: BinaryIO, where: str, videos: list[KeptVideo], dataset: DatasetRecord
) -> Iterator[str]:
    """Raises `InputError` for a sample that cannot be read."""
    size = kept_size(dataset.config)
    samples = read_samples(stream, where)
    for video in videos:
        steps, before = 0, None
        for part in range(video.records):
            key, offset, members = next(samples, ("", -1, {}))
            if not part and offset != video.offset:
                yield f"{video.id}: its kept flow does not begin at byte {video.offset}"
            if not key:
                yield f"{video.id}: {video.records - part} samples of its kept flow are missing"
                return
            piece = decode_kept(key, members, size)
            if (piece.record.source, piece.record.part) != (video.id, part):
                yield f"sample {key} is not part {part} of {video.id}"
            if before is not None and not _follows(piece, before):
                yield f"sample {key} does not begin where the one before ends"
            steps, before = steps + len(piece.steps), piece
        if steps != video.steps:
            yield f"{video.id}: {steps} steps of it are kept, and the ledger says {video.steps}"
    if next(samples, None) is not None:
        yield "it holds more than the ledger lists"


def _follows(piece: KeptPiece, before: KeptPiece) -> bool:
    same_time = piece.pts_s[0] == before.pts_s[-1]
    return bool(same_time and piece.picture(0).jpeg == before.picture(len(before) - 1).jpeg)
