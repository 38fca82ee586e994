"""A copied dataset of which one window is altered, consistently but for the hashes."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sofdata.flow.codec import CodecConfig, encode
from sofdata.shards.layout import INDEX
from sofdata.shards.parquet import read_table, write_table
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.schema import index_schema
from sofdata.shards.tar import TarWriter, read_samples
from sofdata.storage.tree import Tree

Members = dict[str, bytes]
Change = Callable[[DecodedSample, Members], None]


def copied(dataset: Path, folder: Path) -> Path:
    """A dataset of one's own."""
    shutil.copytree(dataset, folder)
    return folder


def rows(dest: Path) -> list[dict[str, Any]]:
    """The rows of the index."""
    return list(read_table(Tree(str(dest)), INDEX).to_pylist())


def alter(dest: Path, key: str, change: Change) -> None:
    """Write a sample anew, after a change to its members, and the index with it."""
    listed = rows(dest)
    shard = next(row["shard"] for row in listed if row["key"] == key)
    path = dest / "shards" / shard
    writer = TarWriter(str(path.with_suffix(".new")))
    offsets = {}
    with open(path, "rb") as stream:
        for found, _, members in read_samples(stream, shard):
            if found == key:
                change(decode_sample(found, members), members)
            offsets[found] = writer.add(found, members)
    writer.finish()
    path.with_suffix(".new").replace(path)
    for row in listed:
        if row["shard"] == shard:
            row["offset"] = offsets[row["key"]]
    write_table(Tree(str(dest)), INDEX, index_schema(), listed)


def jpeg(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """A picture as it is stored."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def set_flow(members: Members, flow: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """Store other flow."""
    encoded = encode(np.ascontiguousarray(flow), CodecConfig())
    for suffix in [suffix for suffix in members if suffix.startswith("flow.")]:
        del members[suffix]
    members.update(encoded.members)
    set_record(members, flow=dict(encoded.meta))


def set_record(members: Members, **values: Any) -> None:
    """Change what the record says."""
    record = json.loads(members["json"])
    members["json"] = json.dumps({**record, **values}).encode()
