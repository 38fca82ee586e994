"""`sofdata.loading.index`: what is needed of an index is read again, and is what was opened."""

from __future__ import annotations

import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError, InputError
from sofdata.loading.index import TO_THE_END, Index
from sofdata.shards.schema import index_schema
from sofdata.storage.tree import Tree

SHARDS = [("a.tar", 3), ("b.tar", 20_000), ("c.tar", 1), ("d.tar", 19_996)]


def table(shards: list[tuple[str, int]]) -> pa.Table:
    """An index of so many windows of each shard, the n-th of which begins at block n * n."""
    rows = sum(number for _, number in shards)
    values: dict[str, Any] = {
        "shard": np.repeat([name for name, _ in shards], [number for _, number in shards]),
        "key": [f"key-{row}" for row in range(rows)],
        "offset": np.concatenate([512 * np.arange(number) ** 2 for _, number in shards]),
    }
    columns = []
    for field in index_schema():
        default = pa.scalar("x" if pa.types.is_string(field.type) else 1)
        given = values.get(field.name)
        if pa.types.is_map(field.type):
            columns.append(pa.nulls(rows, field.type))
        else:
            column = pa.repeat(default, rows) if given is None else pa.array(given)
            columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=index_schema())


def write(folder: Path, rows: pa.Table, group: int = 15_000) -> Index:
    pq.write_table(rows, folder / "new", row_group_size=group)
    (folder / "new").rename(folder / "index.parquet")
    return Index(Tree(str(folder)))


def test_shards_begin_where_their_name_first_stands(tmp_path: Path) -> None:
    index = write(tmp_path, table(SHARDS))
    assert index.shard_starts() == (["a.tar", "b.tar", "c.tar", "d.tar"], [0, 3, 20_003, 20_004])


def swapped(rows: pa.Table) -> pa.Table:
    places = np.arange(rows.num_rows)
    places[[100, 101]] = [101, 100]
    return rows.take(places)


def with_offsets(rows: pa.Table, more: int) -> pa.Table:
    place = rows.schema.get_field_index("offset")
    moved = pa.array(rows["offset"].to_numpy() + more)
    return rows.set_column(place, rows.schema.field(place), moved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swapped, "order of the shards"),
        (lambda rows: pa.concat_tables([rows[:100], rows[99:]]), "order of the shards"),
        (lambda rows: pa.concat_tables([rows, rows[:3]]), "order of the shards"),
        (lambda rows: pa.concat_tables([rows[15_000:], rows[:15_000]]), "order of the shards"),
        (lambda rows: with_offsets(rows, -1), "before the start of its shard"),
    ],
)
def test_rows_in_another_order_are_refused(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path, change(table(SHARDS))).shard_starts()


@pytest.mark.parametrize("places", [[0], [0, 1, 14_996, 14_997, 19_999], range(20_000), [19_999]])
def test_some_rows_of_a_shard_are_read_across_row_groups(tmp_path: Path, places: list[int]) -> None:
    index = write(tmp_path, table(SHARDS))
    for _ in range(2):  # from the file, and from what was kept of it
        rows = index.rows_of("b.tar", 3, np.array(places), 20_003)
        assert rows.keys.to_pylist() == [f"key-{3 + place}" for place in places]
        assert rows.offset.tolist() == [512 * place**2 for place in places]
        assert rows.length.tolist() == [
            TO_THE_END if place == 19_999 else 512 * (2 * place + 1) for place in places
        ]


def test_an_index_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    index = write(tmp_path, table(SHARDS))
    again = pickle.loads(pickle.dumps(index))
    assert again.rows_of("c.tar", 20_003, np.array([0]), 20_004).keys.to_pylist() == ["key-20003"]
    write(tmp_path, table([*SHARDS, ("e.tar", 1)]))
    # What is open stays what it was; who opens it now would find other rows.
    assert index.shard_starts()[0][-1] == "d.tar"
    with pytest.raises(ConfigError, match="has changed since the loader was made"):
        pickle.loads(pickle.dumps(index)).shard_starts()
    with pytest.raises(ConfigError, match="has changed since"):
        index.rows_of("d.tar", 3, np.array([0]), 20_003)


def test_the_same_rows_written_again_are_the_same_index(tmp_path: Path) -> None:
    index = pickle.dumps(write(tmp_path, table(SHARDS)))
    write(tmp_path, table(SHARDS))
    assert pickle.loads(index).shard_starts()[1][-1] == 20_004


def test_each_thread_opens_the_file_for_itself(tmp_path: Path) -> None:
    index, found = write(tmp_path, table(SHARDS)), list[int]()

    def read() -> None:
        found.extend(index.shard_starts()[1])

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == 3 * [0, 3, 20_003, 20_004]


def test_a_remote_index_is_copied_once_and_the_copy_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write(tmp_path, table(SHARDS))
    remote = Tree("memory://index-test")
    remote.write("index.parquet", (tmp_path / "index.parquet").read_bytes())
    index = Index(remote)
    remote.remove("index.parquet")
    (copy,) = (tmp_path / "temporary").iterdir()
    other = pickle.loads(pickle.dumps(index))  # as in a process that is spawned
    assert other.shard_starts() == index.shard_starts()
    assert [*(tmp_path / "temporary").iterdir()] == [copy]
    del other, index
    assert not [*(tmp_path / "temporary").iterdir()]
    remote.write("index.parquet", (tmp_path / "index.parquet").read_bytes())


def test_a_copy_that_is_gone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write(tmp_path, table(SHARDS))
    remote = Tree("memory://index-test-gone")
    remote.write("index.parquet", (tmp_path / "index.parquet").read_bytes())
    state = pickle.dumps(Index(remote))
    assert not [*(tmp_path / "temporary").iterdir()]
    shutil.rmtree(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    assert pickle.loads(state).shard_starts()[0] == ["a.tar", "b.tar", "c.tar", "d.tar"]
