"""The loader in the loops of others: each window once or a refusal; batches move and print."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data._utils.pin_memory import pin_memory

from sofdata import load
from sofdata.errors import ConfigError, InputError
from sofdata.loading.loader import Loader
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree
from sofdata.types import ActionBatch, Batch, Frames

ROOT = Path(__file__).resolve().parents[2]
Keys = list[tuple[str, ...]]


def keys(batches: Iterable[Batch]) -> Keys:
    return [batch.keys for batch in batches]


def around(loader: Any, workers: int, start: str | None = None, **more: Any) -> DataLoader[Any]:
    context = start if workers else None
    return DataLoader(
        loader, batch_size=None, num_workers=workers, multiprocessing_context=context, **more
    )


# torch's DataLoader


@pytest.mark.parametrize(("workers", "start"), [(0, None), (1, "fork"), (2, "fork"), (2, "spawn")])
def test_windows_come_once_and_in_order_within_a_dataloader(
    dataset: Path, workers: int, start: str | None
) -> None:
    loader = Loader(dataset, batch_size=4, seed=1)
    wanted = keys(loader)
    within = around(loader, workers, start)
    assert len(within) == len(wanted)
    assert keys(within) == wanted
    if start != "spawn":  # which takes long
        assert keys(within) == wanted


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_more_workers_than_batches_still_give_each_window_once(dataset: Path) -> None:
    loader = Loader(dataset, batch_size=16)
    assert keys(around(loader, 5, "fork")) == keys(loader)


def test_workers_that_stay_give_the_epoch_that_is_set(dataset: Path) -> None:
    loader = Loader(dataset, batch_size=4)
    within = around(loader, 2, "fork", persistent_workers=True)
    for number in (0, 3, 0, 1):
        loader.set_epoch(number)
        assert keys(within) == keys(Loader(dataset, batch_size=4).epoch(number))


def test_a_loader_that_was_left_in_the_middle_is_read_whole_by_forked_workers(
    dataset: Path,
) -> None:
    loader = Loader(dataset, batch_size=2)
    begun = iter(loader)
    next(begun)
    assert keys(around(loader, 2, "fork")) == keys(Loader(dataset, batch_size=2))


class Loads(IterableDataset[Any]):
    """What people write: a dataset that makes its loader where it is iterated."""

    def __init__(self, url: Path, **options: Any) -> None:
        self.url, self.options = url, options

    def __iter__(self) -> Iterator[Any]:
        for batch in load(self.url, batch_size=4, **self.options):
            yield batch.flow.mean((1, 2, 3, 4)), list(batch.keys)


def test_a_loader_that_is_made_within_the_workers_gives_each_window_once(dataset: Path) -> None:
    wanted = [key for batch in keys(load(dataset, batch_size=4)) for key in batch]
    found = [key for _, batch in around(Loads(dataset), 2, "fork") for key in batch]
    assert found == wanted


def test_ranks_that_are_given_within_a_worker_are_refused(dataset: Path) -> None:
    with pytest.raises(ConfigError, match="shares its batches among the workers by itself"):
        list(around(Loads(dataset, rank=0, world=2), 1, "fork"))


def test_a_dataloader_that_would_make_batches_of_batches_is_refused(dataset: Path) -> None:
    loader: Any = Loader(dataset, batch_size=4)
    for size in (1, 4):
        with pytest.raises(ConfigError, match=r"DataLoader\(loader, batch_size=None\)"):
            next(iter(DataLoader(loader, batch_size=size)))


def test_processes_within_processes_are_refused(dataset: Path) -> None:
    loader = Loader(dataset, batch_size=4, workers=1)
    assert keys(around(loader, 0)) == keys(Loader(dataset, batch_size=4))
    with pytest.raises(ConfigError, match="make it with workers=0"):
        list(around(loader, 1, "fork"))


def test_pinning_gives_a_batch_again(dataset: Path) -> None:
    batch = next(iter(load(dataset, batch_size=4)))
    pinned = pin_memory(batch)  # type: ignore[no-untyped-call]
    assert isinstance(pinned, Batch)
    assert torch.equal(pinned.flow, batch.flow)
    assert pinned.flow.is_pinned() == torch.accelerator.is_available()


# Several ranks

EACH_RANK = """
import sys
import torch.distributed as dist
from torch.utils.data import DataLoader
from sofdata.loading.loader import Loader
rank, url, store = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
loader = Loader(url, batch_size=4, seed=1)
for batch in loader:
    print(*batch.keys)
for batch in DataLoader(loader, batch_size=None, num_workers=2, multiprocessing_context="fork"):
    print(*batch.keys)
dist.destroy_process_group()
"""


def test_ranks_of_torch_distributed_share_the_windows(dataset: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", EACH_RANK, str(rank), str(dataset), str(tmp_path / "at")],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for rank in (0, 1)
    ]
    printed = [rank.communicate(timeout=120)[0].splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    alone = keys(Loader(dataset, batch_size=4, seed=1, drop_last=True))
    for whole, *parts in zip(2 * alone, *printed, strict=True):
        assert tuple(key for pair in zip(*map(str.split, parts), strict=True) for key in pair) == (
            whole
        )


def test_a_loader_made_before_the_ranks_were_known_is_refused(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, asked = load(dataset, batch_size=4), load(dataset, batch_size=4, rank=0, world=1)
    for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 2)):
        monkeypatch.setattr(f"torch.distributed.{name}", lambda value=value: value)
    with pytest.raises(ConfigError, match="rank 1 of 2, and the loader was made as rank 0 of 1"):
        next(iter(before))
    assert len(next(iter(asked)).keys) == 4  # each rank is to have all
    assert len(next(iter(load(dataset, batch_size=4))).keys) == 2


def test_a_rank_without_a_world_is_refused(dataset: Path) -> None:
    alone: list[dict[str, Any]] = [{"rank": 0}, {"world": 2}]
    for given in alone:
        with pytest.raises(ConfigError, match="is given alone"):
            Loader(dataset, batch_size=4, **given)


# Lightning and accelerate


def transferred(batch: Any, device: torch.device) -> Any:
    """As Lightning's `move_data_to_device` does with what has a method `to`."""
    assert callable(batch.to)
    moved = batch.to(device)
    return batch if moved is None else moved


def sent(batch: Any, device: torch.device) -> Any:
    """As accelerate's `send_to_device` does with what has a method `to`."""
    try:
        return batch.to(device, non_blocking=True)
    except TypeError:
        return batch.to(device)


@pytest.mark.parametrize("move", [transferred, sent])
def test_a_batch_moves_with_all_its_tensors(dataset: Path, move: Any) -> None:
    batch = next(iter(load(dataset, batch_size=4)))
    moved = move(batch, torch.device("meta"))
    assert isinstance(moved, Batch)
    tensors = [moved.flow, moved.first, moved.last, moved.mask, moved.text_ids]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.keys == batch.keys
    assert batch.flow.device.type == "cpu"
    assert len(batch) == len(moved) == 4


def test_a_batch_of_demonstrations_moves_with_its_actions() -> None:
    moved = action_batch(3).to("meta")
    assert isinstance(moved, ActionBatch)
    assert {moved.actions.device.type, moved.action_mask.device.type} == {"meta"}


def test_lightning_sees_each_window_once_an_epoch(dataset: Path, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    seen: Counter[str] = Counter()

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def training_step(self, batch: Batch, number: int) -> torch.Tensor:
            seen.update(batch.keys)
            return (self.scale * batch.flow).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    loader = Loader(dataset, batch_size=4)
    for data in (loader, around(loader, 2, "fork")):
        seen.clear()
        trainer.fit_loop.epoch_progress.reset()
        trainer.fit(Module(), data)
        assert len(seen) == loader.rows
        assert {*seen.values()} == {2}


def test_accelerate_moves_batches_and_gives_each_window_once(dataset: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    from accelerate.utils import send_to_device

    loader = Loader(dataset, batch_size=4)
    config = accelerate.DataLoaderConfiguration(dispatch_batches=False)
    accelerator = accelerate.Accelerator(cpu=True, dataloader_config=config)
    assert keys(accelerator.prepare(loader)) == keys(loader)
    assert keys(accelerator.prepare(around(loader, 2, "fork"))) == keys(loader)
    batch = send_to_device(next(iter(loader)), torch.device("meta"), non_blocking=True)
    assert batch.flow.device.type == "meta"


# Where it is, and where it goes


def test_a_path_a_list_of_paths_and_the_home_folder_are_taken(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = keys(load(str(dataset), batch_size=4))
    monkeypatch.setenv("HOME", str(dataset.parent))
    for given in (dataset, [dataset], (str(dataset),), f"~/{dataset.name}", f"{dataset}/"):
        assert keys(load(given, batch_size=4)) == wanted
    other = shutil.copytree(dataset, tmp_path / "other")
    assert load([dataset, other], batch_size=4).rows == 2 * load(dataset, batch_size=4).rows


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no dataset is given"),
        (None, "not as None"),
        ([None], "not as None"),
        (3, "not as 3"),
        (b"dataset", "not as b"),
        ("", "not as ''"),
        (Path("s3://bucket/dataset"), "was a URL before it was made a path"),
        ("nowhere", "no dataset at"),
    ],
)
def test_what_is_no_dataset_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(given, batch_size=4)


def test_the_same_dataset_by_two_paths_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(dataset)
    with pytest.raises(ConfigError, match="given twice"):
        load([dataset, tmp_path / "link"], batch_size=4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_changed_working_directory_changes_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    wanted = keys(load(dataset, batch_size=4))
    monkeypatch.chdir(dataset.parent)
    loader = load(dataset.name, batch_size=4, workers=workers)
    monkeypatch.chdir(tmp_path)
    assert keys(loader) == wanted


def test_a_pickled_loader_gives_the_same_from_anywhere(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dataset.parent)
    loader = Loader(dataset.name, batch_size=4, seed=2, split=("train", 0.5))
    begun = loader.epoch(1)
    next(begun)
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickle.dumps(loader))
    assert keys(again.epoch(1)) == keys(loader.epoch(1))
    assert len(again) == len(loader) == loader.batches
    assert again.sides
    assert loader.sides
    assert again.sides.held_out == loader.sides.held_out


# Damaged copies of remote shards


@pytest.fixture
def remote(dataset: Path) -> Tree:
    tree = Tree("memory://other-loops")
    for path in (path for path in dataset.rglob("*") if path.is_file()):
        tree.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    return tree


def test_a_damaged_copy_is_named_and_fetched_again(
    dataset: Path, remote: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loader = load(remote.url, batch_size=4, cache_dir=Path("cache"))
    wanted = keys(loader)
    copies = sorted((tmp_path / "cache").glob("*.tar"))
    for copy, damage in zip(copies, (b"", b"x" * copies[1].stat().st_size), strict=False):
        copy.write_bytes(damage)
    with pytest.warns(RuntimeWarning, match="it is fetched again") as caught:
        assert keys(load(remote.url, batch_size=4, cache_dir="cache")) == wanted
    said = [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)]
    assert len(said) == 2
    assert all(str(copy) in one for copy, one in zip(copies, sorted(said), strict=False))


def test_a_copy_that_is_damaged_while_it_is_read_is_fetched_again(
    remote: Tree, tmp_path: Path
) -> None:
    wanted = keys(load(remote.url, batch_size=4, cache_dir=tmp_path))
    loader = load(remote.url, batch_size=1, cache_dir=tmp_path)
    batches = iter(loader)
    found = [next(batches).keys]
    for copy in tmp_path.glob("*.tar"):
        with open(copy, "r+b") as file:
            file.write(b"\xff" * copy.stat().st_size)
    with pytest.warns(RuntimeWarning, match="it is fetched again"):
        found += keys(batches)
    assert [key for batch in found for key in batch] == [key for batch in wanted for key in batch]


def test_a_shard_that_is_damaged_where_it_comes_from_ends_with_its_name(
    remote: Tree, tmp_path: Path
) -> None:
    name = next(each for each in remote.names("shards") if each.endswith(".tar"))
    remote.write(f"shards/{name}", b"x" * remote.size(f"shards/{name}"))
    with pytest.raises(InputError, match=f"{name} cannot be used: .*md5"):
        keys(load(remote.url, batch_size=4, cache_dir=tmp_path))


# Printing


def action_batch(size: int) -> ActionBatch:
    return ActionBatch(
        flow=torch.zeros(size, 8, 2, 64, 64),
        first=torch.zeros(size, 3, 128, 128, dtype=torch.uint8),
        last=torch.zeros(size, 3, 128, 128, dtype=torch.uint8),
        mask=torch.ones(size, 8, dtype=torch.bool),
        text_ids=torch.zeros(size, dtype=torch.int64),
        keys=tuple(f"a_readable_part_of_a_name-{number:016x}-000001" for number in range(size)),
        actions=torch.zeros(size, 10, 7),
        action_mask=torch.ones(size, 10, dtype=torch.bool),
    )


@pytest.mark.parametrize("size", [1, 256])
def test_a_batch_is_printed_in_three_lines_of_shapes(size: int) -> None:
    shown = f"{action_batch(size)}\n{[action_batch(size)]}"
    assert len(repr(action_batch(size)).splitlines()) <= 3
    assert len(shown.splitlines()) <= 6
    assert f"flow=float32 [{size},8,2,64,64]" in shown
    assert "action_mask=bool" in shown
    assert "tensor(" not in shown


def test_samples_and_frames_are_printed_in_three_lines_of_shapes(dataset: Path) -> None:
    shard = next((dataset / "shards").glob("*.tar"))
    with open(shard, "rb") as stream:
        key, _, members = next(iter(read_samples(stream, shard.name)))
    sample = decode_sample(key, members)
    frames = Frames(np.zeros((9, 480, 640, 3), np.uint8), np.arange(9.0))
    assert isinstance(sample, DecodedSample)
    for value, shown in ((sample, "flow=float32 ["), (frames, "rgb=uint8 [9,480,640,3]")):
        assert shown in repr(value)
        assert len(repr(value).splitlines()) <= 3


def test_a_loader_says_what_it_gives(dataset: Path) -> None:
    loader = Loader(dataset, batch_size=4)
    assert repr(loader) == (
        f"Loader({dataset}: {loader.rows} windows of {loader.videos} videos, {len(loader)} batches "
        "of 4 an epoch)"
    )
