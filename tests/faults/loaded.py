"""What a loader finds in a dataset: by the loader's own way, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sofdata.loading.cache import ShardCache
from sofdata.loading.catalog import open_catalog
from sofdata.loading.reader import Reader
from sofdata.storage.tree import Tree


def loaded(dest: Path) -> dict[str, str]:
    """sha256 over all members of each sample that the index lists, by its key.

    Raises what the loader raises: `ConfigError` where it refuses the dataset, `InputError` where
    the index and the shards do not belong together.
    """
    catalog = open_catalog([Tree(str(dest))])
    cache = ShardCache(str(dest.parent / "cache"), 1 << 30, 4)  # nothing local is copied
    reader = Reader(catalog, cache, 16)
    (samples,) = reader([list(range(len(catalog.windows)))])
    return {sample.key: _digest(sample.members) for sample in samples}


def _digest(members: object) -> str:
    assert isinstance(members, dict)
    digest = hashlib.sha256()
    for suffix in sorted(members):
        digest.update(suffix.encode() + members[suffix])
    return digest.hexdigest()
