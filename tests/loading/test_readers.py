"""Stock readers read a dataset; none of them knows sofdata."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

STOCK = """
import io, json, sys
import numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sofdata":
            raise ImportError("sofdata is not to be had in this process")

sys.meta_path.insert(0, Refuse())
try:
    import sofdata
except ImportError:
    pass
else:
    raise SystemExit("sofdata can be imported: the test proves nothing")
folder = sys.argv[1]
"""

WEBDATASET = """
import glob, webdataset as wds
count = 0
shards = sorted(glob.glob(folder + "/shards/*.tar"))
for sample in wds.WebDataset(shards, shardshuffle=False).decode("rgb8"):
    record, mosaic = sample["json"], sample["flow.jpg"]
    steps, height, width, _ = record["flow"]["shape"]
    # docs/format.md: one row a step, dx left and dy right, level 128 is zero
    levels = mosaic[..., 0].reshape(steps, height, 2, width).astype(np.float32) - 128
    flow = np.moveaxis(levels, 2, 3) * np.array(record["flow"]["step_px"])[:, None, None, None]
    assert sample["first.jpg"].shape == (*record["frame_size"], 3)
    assert abs(np.linalg.norm(flow, axis=-1).mean() - record["motion"]["mean_px"]) < 0.1
    assert len(record["pts_s"]) == steps + 1
    count += 1
print(count)
"""

WIDS = """
import wids
dataset = wids.ShardListDataset(folder + "/shards/index.json", cache_dir=sys.argv[2])
assert dataset[0][".json"]["key"] == dataset[0]["__key__"]
print(len(dataset))
"""

DUCKDB = """
import duckdb
found = duckdb.sql(f"select count(*) from '{folder}/index.parquet' where p99_px > 0")
print(found.fetchall()[0][0])
"""

PANDAS = """
import pandas
index = pandas.read_parquet(folder + "/index.parquet")
assert index.key.is_unique
print(len(index))
"""


@pytest.mark.parametrize(
    ("name", "code"),
    [("webdataset", WEBDATASET), ("wids", WIDS), ("duckdb", DUCKDB), ("pandas", PANDAS)],
)
def test_a_stock_reader_reads_the_dataset(
    dataset: Path, tmp_path: Path, name: str, code: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOCK + code, str(dataset), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, f"{name}: {done.stderr}"
    assert int(done.stdout) == pq.read_metadata(dataset / "index.parquet").num_rows
