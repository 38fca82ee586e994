"""`tests.compat.compare`: two datasets differ where their bytes do, not where versions do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.compat import decoders
from tests.compat.compare import differences, main


@pytest.fixture
def other(dataset: Path, tmp_path: Path) -> Path:
    """The same dataset, as another decoder's version would have made it."""
    copy = Path(shutil.copytree(dataset, tmp_path / "other"))
    record = json.loads((copy / "dataset.json").read_text())
    record["provenance"]["packages"]["av"] = "99.0"
    (copy / "dataset.json").write_text(json.dumps(record))
    rewrite(copy, "decoder", "pyav 99.0 vp9")
    return copy


def rewrite(dataset: Path, column: str, value: str) -> None:
    table = pq.read_table(dataset / "videos.parquet")
    rows = table.to_pylist()
    rows[0][column] = value
    pq.write_table(pa.Table.from_pylist(rows, table.schema), dataset / "videos.parquet")


def test_versions_are_named_and_are_no_difference(
    dataset: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(dataset, other) == 0
    assert "99.0" in next(line for line in capsys.readouterr().out.splitlines() if "that d" in line)


def test_a_row_that_differs_is_named(dataset: Path, other: Path) -> None:
    rewrite(other, "detail", "else")
    assert differences(dataset, other) == ["videos, row 0, detail: '' and 'else'"]


def test_a_shard_that_differs_or_is_missing_is_named(
    dataset: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = sorted((other / "shards").rglob("*.tar"))
    first.write_bytes(first.read_bytes() + b"\0")
    second.unlink()
    assert [told.split(":")[0] for told in differences(dataset, other)] == [
        f"shard {first.name}",
        f"shard {second.name}",
    ]
    assert main(dataset, other) == 1


def test_datasets_of_one_decoder_agree_and_a_lost_window_is_counted(
    dataset: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = decoders.compare(dataset, dataset)["pyav"]
    assert found.both == found.equal > 0
    assert (found.only_one, found.other_times, max(found.pixels), max(found.flow_px)) == (0,) * 4
    next((other / "shards").rglob("*.tar")).unlink()
    assert decoders.compare(dataset, other)["pyav"].only_one > 0
    assert decoders.main(dataset, other) == 1
    assert "decoded by pyav: 9 videos" in capsys.readouterr().out
