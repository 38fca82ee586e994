"""`sofdata.loading.cache`: copies are true, bounded, and made once."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sofdata.errors import InputError, StorageError
from sofdata.loading.cache import ShardCache
from sofdata.loading.catalog import ShardFile
from sofdata.storage.tree import Tree

SIZE = 1000


def shard(number: int, content: bytes = b"") -> ShardFile:
    tree, data = Tree("memory://cache-test"), bytes([number]) * SIZE
    rel = f"shards/sof-{number}.tar"
    tree.write(rel, content or data)
    return ShardFile(tree, rel, SIZE, hashlib.md5(data).hexdigest())


def test_copies_used_longest_ago_go_first(tmp_path: Path) -> None:
    cache = ShardCache(str(tmp_path), limit_bytes=3 * SIZE, keep=1)
    for time_s, number in enumerate([1, 2, 3, 1, 4]):
        with cache.open(shard(number)) as copy:
            assert copy.read() == bytes([number]) * SIZE
            os.utime(copy.name, (time_s, time_s))
    assert [path.name.rsplit("-")[-1] for path in sorted(tmp_path.glob("*.tar"), key=age)] == [
        "3.tar",
        "1.tar",
        "4.tar",
    ]


def test_the_last_few_stay_even_if_they_are_too_large(tmp_path: Path) -> None:
    cache = ShardCache(str(tmp_path), limit_bytes=1, keep=3)
    for number in range(6):
        cache.open(shard(number)).close()
    assert len(list(tmp_path.glob("*.tar"))) == 4  # three, and the one that came


def test_a_shard_that_is_not_what_the_dataset_lists_is_not_kept(tmp_path: Path) -> None:
    cache = ShardCache(str(tmp_path), limit_bytes=10 * SIZE, keep=1)
    with pytest.raises(InputError, match="md5"):
        cache.open(shard(1, content=b"cut short"))
    with pytest.raises(FileNotFoundError):
        cache.open(ShardFile(Tree("memory://cache-test"), "shards/none.tar", 1, "0"))
    assert not list(tmp_path.glob("*.tar*"))


def test_many_that_want_one_copy_get_it(tmp_path: Path) -> None:
    cache, wanted = ShardCache(str(tmp_path), limit_bytes=1, keep=1), [shard(n) for n in range(4)]

    def read(number: int) -> bytes:
        with cache.open(wanted[number % 4]) as copy:
            return copy.read()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read, range(80)))
    assert found == [bytes([number % 4]) * SIZE for number in range(80)]


def test_the_folder_is_the_users_own(tmp_path: Path) -> None:
    cache = ShardCache(str(tmp_path / "made"), limit_bytes=SIZE, keep=1)
    cache.open(shard(1)).close()
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


def age(path: Path) -> float:
    return path.stat().st_atime


def test_a_damaged_copy_is_named_and_fetched_again(tmp_path: Path) -> None:
    cache, wanted = ShardCache(str(tmp_path), limit_bytes=10 * SIZE, keep=1), shard(7)
    cache.open(wanted).close()
    (copy,) = tmp_path.glob("*.tar")
    for damaged in (b"\x07" * (SIZE - 1), b"\x07" * (SIZE - 1) + b"x", b""):
        copy.write_bytes(damaged)
        with pytest.warns(RuntimeWarning, match=f"{copy.name}.* fetched again"):
            handle = cache.open(wanted)
        with handle:
            assert handle.read() == b"\x07" * SIZE


def test_a_sound_copy_is_hashed_once_in_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wanted = ShardCache(str(tmp_path), limit_bytes=10 * SIZE, keep=1), shard(8)
    cache.open(wanted).close()
    monkeypatch.setattr("sofdata.loading.cache.hash_file", lambda path: pytest.fail("hashed again"))
    for _ in range(3):
        cache.open(wanted).close()


def test_a_copy_that_is_damaged_again_at_once_ends_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wanted = ShardCache(str(tmp_path), limit_bytes=10 * SIZE, keep=1), shard(9)
    replace = os.replace

    def losing(part: str, path: str) -> None:
        replace(part, path)
        os.truncate(path, SIZE // 2)

    monkeypatch.setattr(os, "replace", losing)
    with (
        pytest.warns(RuntimeWarning, match="fetched again"),
        pytest.raises(StorageError, match="does not keep what is written"),
    ):
        cache.open(wanted)
