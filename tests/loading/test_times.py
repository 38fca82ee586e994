"""When windows begin and end, by their keys: as the index has it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from sofdata.loading.catalog import open_catalog
from sofdata.loading.times import window_times
from sofdata.scenes.pushing import write_pushing_corpus
from sofdata.shards.layout import INDEX
from sofdata.storage.tree import Tree
from tests.helpers import ingest


def test_times_are_those_of_the_index_and_order_the_windows_of_a_video(tmp_path: Path) -> None:
    write_pushing_corpus(tmp_path / "videos", episodes=3, seed=0)
    ingest(tmp_path / "videos", tmp_path / "dataset", "flow.size=64", "windows.size=32")
    rows = pq.read_table(tmp_path / "dataset" / INDEX).to_pylist()
    catalog = open_catalog([Tree(str(tmp_path / "dataset"))])
    times = window_times(catalog)
    assert len(times) == len(rows)
    for row in rows:
        time = times[row["key"]]
        assert (time.video, time.start_s, time.end_s) == (
            row["source"],
            row["start_s"],
            row["end_s"],
        )
    by_video: dict[str, list[tuple[float, str]]] = {}
    for key, time in times.items():
        by_video.setdefault(time.video, []).append((time.start_s, key))
    for found in by_video.values():
        assert [key for _, key in sorted(found)] == sorted(key for _, key in found)
    some = [rows[0]["key"], "no such key"]
    assert list(window_times(catalog, some)) == some[:1]
