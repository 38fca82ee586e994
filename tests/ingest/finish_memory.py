"""Peaks of memory of finishing two datasets, in a process that has finished none before.

    python -m tests.ingest.finish_memory FOLDER

prints, as JSON, bytes of all records and the peak that was traced, for 40 units and for 80. What
other tests leave in a process, the parser's cache of strings above all, moves the first by half.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

from sofdata.ingest.finish import finish
from sofdata.shards import parquet
from sofdata.shards.schema import LedgerRecord
from tests.ledgers import make_up_dataset


def peak(folder: Path, units: int) -> tuple[int, int]:
    """Bytes of the records, and the peak."""
    dest, generation = make_up_dataset(folder / str(units), units, 100)
    size = sum(path.stat().st_size for path in Path(dest.path("ledger")).iterdir())
    tracemalloc.start()
    finish(dest, generation)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size, found


if __name__ == "__main__":
    parquet.ROW_GROUP = 256
    LedgerRecord.MOST_BYTES = 1 << 20  # a buffer of so much takes a record
    print(json.dumps([peak(Path(sys.argv[1]), units) for units in (40, 80)]))
