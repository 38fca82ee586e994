"""The index that `wids` reads, as a list of what each shard's copy must be; read without trust."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import parse
from sofdata.errors import InputError
from sofdata.shards.layout import WIDS
from sofdata.storage.tree import Tree

MOST_BYTES = 1 << 26  # some 400,000 shards


@dataclass(frozen=True, slots=True)
class Listed:
    """What the index says of a shard."""

    size_bytes: int
    md5: str


def listed_shards(tree: Tree) -> dict[str, Listed]:
    """The shards by name. Raises `FileNotFoundError`, and `InputError` for another kind of file."""
    try:
        found = parse(read_small(tree, WIDS, MOST_BYTES), MOST_BYTES)
        shards = {
            each["url"]: Listed(each["filesize"], each["md5sum"]) for each in found["shardlist"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _wrong(tree, f"{type(error).__name__}: {str(error)[:200]}") from None
    for name, shard in shards.items():
        if not (
            isinstance(name, str)
            and type(shard.size_bytes) is int
            and shard.size_bytes >= 0
            and isinstance(shard.md5, str)
            and re.fullmatch("[0-9a-f]{32}", shard.md5)  # it becomes the name of a local file
        ):
            raise _wrong(tree, f"{name!r:.80} has no size or md5")
    return shards


def _wrong(tree: Tree, what: str) -> InputError:
    return InputError(
        f"{WIDS} of {tree.name} does not list the shards ({what}); "
        f"'sofdata verify --repair {tree.name}' rewrites it"
    )
