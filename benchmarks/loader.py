"""Samples a second: the loader, reading the same tars raw, and training the skill VAE.

    python benchmarks/loader.py [DATASET] [--rounds 5] [--seconds 4] [--processes 2]

All contestants take turns, `rounds` times, for about `seconds` each, over the same samples:

- raw: shards one after the other with `tarfile`; every JPEG to an array with Pillow, JSON parsed.
  No flow in px, no batch, no check. With several processes, each reads its share of the shards and
  throws the samples away, where the loader's processes hand theirs to the training process.
- webdataset: the same with `webdataset`'s own reader and decoder, in one process.
- loader: shuffled `Batch`es, in a thread and in processes, every sample checked. Starting processes
  is not counted, as a training run does it once; their first epoch is a warm-up.
- skill VAE: updates of the default model on batches in memory, with as many threads as processes.

Without DATASET a rendered corpus is ingested once into benchmarks/cache. The table gives medians
(least to most) and ratios within a round. The files are in the page cache: disks are not measured.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import webdataset as wds
from PIL import Image

from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.loading.loader import Loader
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.scenes import write_ssv2_corpus
from sofdata.storage.tree import Tree
from sofdata.train.config import SkillStage
from sofdata.types import Batch

CACHE = Path(__file__).resolve().parent / "cache"
VIDEOS = 120
Run = Callable[[float], tuple[int, float]]  # seconds to spend -> samples, seconds spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, nargs="?", help="default: one made of rendered clips")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each contestant and round")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=SkillStage().data.batch_size)
    args = parser.parse_args()
    torch.set_num_threads(args.processes)
    dataset = args.dataset or rendered()
    shards = sorted(dataset.glob("shards/*.tar"))
    processes, batch_size = args.processes, args.batch_size
    contestants: dict[str, Run] = {
        "raw, one process": lambda seconds: spend(read_raw(shards), seconds),
        "webdataset, one process": lambda seconds: spend(read_webdataset(shards), seconds),
        "loader, a thread": loading(dataset, batch_size, workers=0),
        f"raw, {processes} processes": lambda seconds: read_together(shards, processes, seconds),
        f"loader, {processes} processes": loading(dataset, batch_size, workers=processes),
        "skill VAE, training": training(dataset, batch_size),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, run in contestants.items():
            samples, spent_s = run(args.seconds)
            rates[name].append(samples / spent_s)
    print_tables(rates, processes)


def rendered() -> Path:
    """A dataset of rendered clips, made on first use."""
    dataset = CACHE / "loader"
    with tempfile.TemporaryDirectory() as folder:
        if not (dataset / "index.parquet").exists():
            write_ssv2_corpus(folder, videos=VIDEOS)
            config = load_config(None, ["run.engine=inline"])
            execute(prepare(Tree(folder), Tree(str(dataset)), config, "ssv2"), lambda event: None)
    return dataset


def spend(samples: Iterator[int], seconds: float) -> tuple[int, float]:
    """Take from an endless iterator of counts until the time is over."""
    began_s, count = time.perf_counter(), 0
    while (spent_s := time.perf_counter() - began_s) < seconds:
        count += next(samples)
    return count, spent_s


def read_raw(shards: list[Path]) -> Iterator[int]:
    """Read and decode all members, again and again; yields 1 a sample."""
    while True:
        for path in shards:
            with tarfile.open(path, "r:") as archive:
                for info in archive:
                    member = archive.extractfile(info)
                    assert member is not None
                    yield from decode(info.name, member.read())


def decode(name: str, data: bytes) -> Iterator[int]:
    if name.endswith(".jpg"):
        np.asarray(Image.open(io.BytesIO(data)))
    elif name.endswith(".npy"):
        np.load(io.BytesIO(data), allow_pickle=False)
    else:
        json.loads(data)
        yield 1  # the last member of a sample


def read_webdataset(shards: list[Path]) -> Iterator[int]:
    while True:
        dataset = wds.WebDataset([str(path) for path in shards], shardshuffle=False)
        for _ in dataset.decode("rgb8"):
            yield 1


def read_together(shards: list[Path], processes: int, seconds: float) -> tuple[int, float]:
    """Raw reading by several processes, each with its share of the shards."""
    parts = [(shards[number::processes], seconds) for number in range(processes)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        done = pool.starmap(_read_share, parts)
    return sum(count for count, _ in done), max(spent_s for _, spent_s in done)


def _read_share(shards: list[Path], seconds: float) -> tuple[int, float]:
    return spend(read_raw(shards), seconds)


def loading(dataset: Path, batch_size: int, workers: int) -> Run:
    """The loader over as many epochs as there is time for."""
    loader = Loader(str(dataset), batch_size=batch_size, workers=workers)

    def counts() -> Iterator[int]:
        epoch = 0
        while True:
            for batch in loader.epoch(epoch):
                yield len(batch.keys)
            epoch += 1

    def run(seconds: float) -> tuple[int, float]:
        samples = counts()
        for _ in range(loader.batches):
            next(samples)
        return spend(samples, seconds)

    return run


def training(dataset: Path, batch_size: int) -> Run:
    """Updates of the default skill VAE."""
    loader = Loader(str(dataset), batch_size=batch_size, drop_last=True)
    batches: list[Batch] = list(islice(loader.epoch(0), 4))
    steps, size = loader.geometry.steps, loader.geometry.flow_px
    shape = FlowShape(steps, size, loader.statistics["p99_px"])
    model = SkillVAE(SkillConfig(), shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def counts() -> Iterator[int]:
        step = 0
        while True:
            batch = batches[step % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            loss, _ = model.loss(batch, step)
            torch.autograd.backward(loss)
            optimizer.step()
            yield len(batch.keys)
            step += 1

    return lambda seconds: spend(counts(), seconds)


def print_tables(rates: dict[str, list[float]], processes: int) -> None:
    print("| | samples/s |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {spread(values, 0)} |")
    ratios = {
        "loader in a thread / raw in one process": ("loader, a thread", "raw, one process"),
        f"loader / raw, {processes} processes each": (
            f"loader, {processes} processes",
            f"raw, {processes} processes",
        ),
        "loader in a thread / skill VAE": ("loader, a thread", "skill VAE, training"),
        f"loader, {processes} processes / skill VAE": (
            f"loader, {processes} processes",
            "skill VAE, training",
        ),
    }
    print("\n| ratio within a round | |\n|---|---|")
    for name, (ours, theirs) in ratios.items():
        pairs = zip(rates[ours], rates[theirs], strict=True)
        print(f"| {name} | {spread([left / right for left, right in pairs], 2)} |")


def spread(values: list[float], digits: int) -> str:
    """Median (least to most)."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f})"


if __name__ == "__main__":
    main()
