"""Shards to `Batch`es: a torch `DataLoader` over a dataset, local or remote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.errors import ConfigError, InputError
from sofdata.shards.layout import DATASET, INDEX, SHARDS, WIDS
from sofdata.shards.parquet import read_table
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage import Tree
from sofdata.types import Batch

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


def load(
    url: str,
    *,
    batch_size: int = 32,
    shuffle: int = 0,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
    options: dict[str, Any] | None = None,
) -> DataLoader[Batch]:
    """A `DataLoader` that yields `Batch`es of a dataset.

    url: the dataset, a path or an fsspec URL; options: for its file system.
    shuffle: 0 for the order of the index; else shards are shuffled, and samples in a buffer of
        this many.
    workers: processes that read and decode; each shard is read by one of them.
    drop_last: leave out a last batch that is not full (of each worker).

    Iterating twice gives the same order. The dataset object, `loader.dataset`, has `texts`, the
    texts that `Batch.text_ids` point to. Raises `ConfigError` if torch or the dataset is missing,
    or the ingest is not complete.
    """
    try:
        import webdataset as wds
        from torch.utils.data import DataLoader
    except ImportError as error:
        raise ConfigError(
            f"loading batches needs {error.name}: pip install 'sofdata[train]'"
        ) from None
    tree = Tree(url, options or {})
    texts = read_texts(tree)
    stages = [
        wds.SimpleShardList(_shards(tree), seed=seed if shuffle else None),
        wds.split_by_node,
        wds.split_by_worker,
        _Reader(tree),
    ]
    if shuffle:
        stages.append(wds.shuffle(shuffle, initial=shuffle, seed=seed))
    stages.append(wds.batched(batch_size, collation_fn=_Collate(texts), partial=not drop_last))
    dataset = wds.DataPipeline(*stages)
    dataset.texts = texts
    return DataLoader(dataset, batch_size=None, num_workers=workers)


def read_texts(tree: Tree) -> tuple[str, ...]:
    """The different texts of a dataset's windows, sorted."""
    try:
        texts = read_table(tree, INDEX, ["text"])["text"].unique().to_pylist()
    except FileNotFoundError:
        missing = "ingest is not complete" if tree.exists(DATASET) else "there is no dataset"
        raise ConfigError(f"{tree.name} has no {INDEX}: the {missing}") from None
    return tuple(sorted(texts))


def _shards(tree: Tree) -> list[str]:
    import json

    listed = json.loads(tree.read(WIDS))["shardlist"]
    if not listed:
        raise ConfigError(f"{tree.name} holds no windows: every candidate was rejected")
    return [f"{SHARDS}/{shard['url']}" for shard in listed]


class _Reader:
    """Pipeline stage: names of shards to decoded samples."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __call__(self, shards: Iterable[dict[str, str]]) -> Iterator[DecodedSample]:
        for shard in shards:
            with self._tree.open(shard["url"]) as stream:
                for key, _, members in read_samples(stream, shard["url"]):
                    yield decode_sample(key, members)


class _Collate:
    """Decoded samples to one padded `Batch`."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._ids = {text: index for index, text in enumerate(texts)}

    def __call__(self, samples: list[DecodedSample]) -> Batch:
        import torch

        steps = max(len(sample.flow) for sample in samples)
        height, width = samples[0].flow.shape[1:3]
        flow = np.zeros((len(samples), steps, height, width, 2), np.float32)
        mask = np.zeros((len(samples), steps), np.bool_)
        for row, sample in enumerate(samples):
            if sample.flow.shape[1:3] != (height, width):
                raise InputError(f"{sample.record.key}: flow differs in size from its neighbours")
            flow[row, : len(sample.flow)] = sample.flow
            mask[row, : len(sample.flow)] = True
        first = np.stack([sample.first for sample in samples])
        return Batch(
            flow=torch.from_numpy(np.ascontiguousarray(flow.transpose(0, 1, 4, 2, 3))),
            first=torch.from_numpy(np.ascontiguousarray(first.transpose(0, 3, 1, 2))),
            mask=torch.from_numpy(mask),
            text_ids=torch.tensor([self._ids[sample.record.text] for sample in samples]),
            keys=tuple(sample.record.key for sample in samples),
        )
