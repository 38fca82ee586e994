"""What listing, planning, resuming and updating take at a million videos.

Two sources, made once and kept under benchmarks/cache:

- files: a folder of files of a KiB in folders of a thousand, each with its own content. The
  listing walks them, the first plan reads each of them, a resume reads none.
- table: a manifest of as many rows, spans of ten seconds of a few hundred files, with ids, texts
  and two labels each. Hardly a file is read: it shows what the rows cost.

Of each: the first plan (`prepare` of a new dataset: list, fingerprint, cut, store), the same once
more where every unit is committed and nothing has changed (with empty ledger records, as `finish`
would leave them), and an update after one video has come. Each runs in a process of its own that
imports sofdata and does nothing else. Files that were just made are in the page cache.

    python benchmarks/scale.py --parts plan [--videos 1000000]
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from scale_figures import CACHE, GIB, Figure, in_child

PER_FOLDER = 1000
FILES_OF_TABLE = 500
ROWS_AT_ONCE = 1 << 16
GOALS_S = {"plan": 30.0, "resume": 30.0, "update": 40.0}
SAID = {
    "plan": "first plan of {n:,} ({source})",
    "resume": "resume of {n:,} with nothing to do ({source})",
    "update": "update of {n:,} by one video ({source})",
}


def measure(n: int) -> list[Figure]:
    """The figures of listing and planning. Sources are made if they are not there."""
    found = []
    for source in ("files", "table"):
        root = make(source, n)
        dest = CACHE / "scale" / f"{source}-{n}-dataset"
        shutil.rmtree(dest, ignore_errors=True)
        for step in SAID:
            change = _added(source, root, n) if step == "update" else None
            cost = in_child("scale_plan", step, root, dest)
            what = SAID[step].format(n=n, source=source)
            found.append(Figure(what, cost.wall_s, "s", GOALS_S[step]))
            found.append(Figure(f"{what}: CPU", cost.cpu_s, "s"))
            goal = 1.0 if step == "plan" else None
            found.append(Figure(f"{what}: peak memory", cost.peak_bytes / GIB, "GiB", goal))
            if step == "plan":
                in_child("scale_plan", "commit", root, dest)
            if change:
                _taken_back(source, change)
    return found


# Sources


def make(source: str, n: int) -> Path:
    """A source of so many videos: made once."""
    root = CACHE / "scale" / f"{source}-{n}"
    if not (root / "made").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        began = time.monotonic()
        (_make_files if source == "files" else _make_table)(root / "source", n)
        (root / "made").touch()
        print(f"made {root.name} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return root / "source"


def _make_files(root: Path, n: int) -> None:
    for number in range(n):
        folder = root / f"{number // PER_FOLDER:04}"
        if not number % PER_FOLDER:
            folder.mkdir(parents=True)
        (folder / f"{number:07}.mp4").write_bytes(f"{number:07}\n".encode() * 128)


def _make_table(root: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir()
    for number in range(FILES_OF_TABLE):
        (root / f"{number:03}.mp4").write_bytes(f"{number:03}\n".encode() * 1024)
    writer: Any = None
    for start in range(0, n, ROWS_AT_ONCE):
        table = pa.Table.from_pylist(
            [_row(at) for at in range(start, min(n, start + ROWS_AT_ONCE))]
        )
        writer = writer or pq.ParquetWriter(root / "manifest.parquet", table.schema)
        writer.write_table(table)
    writer.close()


def _row(number: int) -> dict[str, Any]:
    file, at = number % FILES_OF_TABLE, number // FILES_OF_TABLE
    return {
        "uri": f"{file:03}.mp4",
        "id": f"clip-{number:08}",
        "start_s": 10.0 * at,
        "end_s": 10.0 * at + 10.0,
        "text": f"push object {number} to the left",
        "split": "train" if number % 10 else "validation",
        "scene": f"kitchen {number % 97}",
    }


def _added(source: str, root: Path, n: int) -> Path:
    """One video more; returns what is to be taken back."""
    if source == "files":
        new = root / "new.mp4"
        new.write_bytes(b"new\n" * 256)
        return new
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = root / "manifest.parquet"
    kept = manifest.rename(root.parent / "kept.parquet")
    with pq.ParquetFile(kept) as rows, pq.ParquetWriter(manifest, rows.schema_arrow) as writer:
        for group in range(rows.num_row_groups):
            writer.write_table(rows.read_row_group(group))
        writer.write_table(pa.Table.from_pylist([_row(n)], rows.schema_arrow))
    return kept


def _taken_back(source: str, change: Path) -> None:
    if source == "files":
        change.unlink()
    else:
        change.rename(change.parent / "source" / "manifest.parquet")


# In a process of its own


def step(what: str, root: Path, dest: Path) -> dict[str, int]:
    """Do one step, and say what was planned."""
    from sofdata.ingest.config import load_config
    from sofdata.ingest.mode import Mode
    from sofdata.ingest.run import prepare
    from sofdata.storage.tree import Tree

    if what == "commit":
        return _commit_all(dest)
    mode = Mode.UPDATE if what == "update" else Mode.RESUME
    prepared = prepare(Tree(str(root)), Tree(str(dest)), load_config(None), "auto", mode=mode)
    return {
        "videos": prepared.plan.videos,
        "units": len(prepared.plan.units),
        "waiting": len(prepared.waiting),
    }


def _commit_all(dest: Path) -> dict[str, int]:
    """Let every unit be committed and the dataset complete, as far as a resume looks."""
    from sofdata.ingest.plan import load_plan
    from sofdata.storage.tree import Tree

    plan = load_plan(Tree(str(dest)))
    assert plan is not None
    (dest / "ledger").mkdir()
    for unit in plan.units.cut.ids:
        (dest / "ledger" / f"{unit}.json").touch()
    for name in ("index.parquet", "rejects.parquet", "videos.parquet"):
        (dest / name).touch()
    (dest / "shards").mkdir()
    shards = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": []}
    (dest / "shards" / "index.json").write_text(json.dumps(shards))
    record = json.loads((dest / "dataset.json").read_text())
    flow = {"mean_px": [0.0, 0.0], "std_px": [1.0, 1.0], "p99_px": 1.0}
    (dest / "dataset.json").write_text(json.dumps(record | {"complete": True, "flow": flow}))
    return {"units": len(plan.units)}


if __name__ == "__main__":
    print(json.dumps(step(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
