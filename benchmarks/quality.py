"""Quality columns: what they cost an ingest, and whether consistency tells right flow from wrong.

    python benchmarks/quality.py [--clips 24] [--rounds 3]
    python benchmarks/quality.py --videos ../shared/clips
    python benchmarks/quality.py --filters 10000000

The first prints two Markdown tables. Cost: CPU seconds of one worker (the inline engine, in this
process) on the rendered clips of ingest_speed.py, with each of `quality.columns` and with all of
them, in turns within each round; medians over the rounds, and what each adds to an ingest without
any. Consistency: of windows of eight steps of those clips, with their own flow and with that of the
next clip, for several ways to estimate the flow backwards; AUC is the share of pairs of a right and
a wrong window in which the right one is more consistent. About three minutes. The second prints the
last of these tables for the videos of a folder, of which it reads the first seconds.

The third evaluates filters over so many rows in batches of the size in which the index is read,
once as expressions of Arrow and once in DuckDB (`pip install duckdb`): CPU seconds, in turns, and
the memory that each adds. Two minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ingest_speed import CACHE, corpus, fresh, videos_in
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.flow.config import FlowConfig
from sofdata.flow.dis import Dis
from sofdata.flow.estimator import make_estimator
from sofdata.flow.quality import QUALITIES, DisSettings
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.run import execute, prepare
from sofdata.loading.where import columns_of, select
from sofdata.shards.layout import SHARDS
from sofdata.shards.parquet import BATCH_ROWS
from sofdata.storage.tree import Tree
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.windows import consistency
from sofdata.windows.quality import CHECK_SIDE, COLUMNS
from sofdata.windows.steps import resize_flow

STEPS, CLIPS = 8, 16
BACKWARDS: dict[str, DisSettings] = {
    "as it is": consistency._BACKWARDS,
    "fine": QUALITIES["fine"],
    "fast": QUALITIES["fast"],
    "fast, finest scale 0": replace(QUALITIES["fast"], finest_scale=0),
    "4 iterations": replace(consistency._BACKWARDS, gradient_descent_iterations=4),
    "16 iterations": replace(consistency._BACKWARDS, gradient_descent_iterations=16),
}
# A filter of before and one of functions, each with what DuckDB calls the same.
FILTERS = {
    "mean_px > 0.5 and blur < 0.4 and not (text == '')": (
        "mean_px > 0.5 AND blur < 0.4 AND NOT (text = '')"
    ),
    "match_like(utf8_lower(text), 'push%') or camera_px is None": (
        "lower(text) LIKE 'push%' OR camera_px IS NULL"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=Path, help="a folder; nothing but consistency")
    parser.add_argument("--filters", type=int, default=0, help="rows; nothing else is measured")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.filters:
        compare_filters(options.filters)
        return
    if options.videos:
        print_consistency(options.videos)
        return
    source = corpus(options.clips)
    print_costs(source, options.rounds)
    print_consistency(source)


def print_costs(source: Path, rounds: int) -> None:
    """CPU seconds of an ingest with each choice of columns, and bytes of its shards."""
    choices: dict[str, str] = {
        "none": "[]",
        **{name: f"[{name}]" for name in COLUMNS},
        "all": "all",
    }
    taken: dict[str, list[float]] = {name: [] for name in choices}
    sizes: dict[str, int] = {}
    ingest_with(source, "[]")  # whatever is loaded once
    for number in range(rounds):
        turns = [*choices] if number % 2 == 0 else [*reversed(choices)]
        for name in turns:
            cpu_s, sizes[name] = ingest_with(source, choices[name])
            taken[name].append(cpu_s)
    none_s = statistics.median(taken["none"])
    print("| quality.columns | CPU s | more than none | bytes of shards, more |\n|---|---|---|---|")
    for name, found in taken.items():
        cpu_s = statistics.median(found)
        more, bytes_more = cpu_s / none_s - 1, sizes[name] / sizes["none"] - 1
        print(f"| {name} | {cpu_s:.2f} | {more:+.1%} | {bytes_more:+.2%} |")
    print(f"\n{len(videos_in(source))} clips, {rounds} rounds.\n")


def ingest_with(source: Path, columns: str) -> tuple[float, int]:
    """CPU seconds of the work, and bytes of the shards."""
    dest = fresh(CACHE / "quality")
    config = load_config(None, ["run.engine=inline", f"quality.columns={columns}"])
    prepared = prepare(Tree(str(source)), Tree(str(dest)), config, "auto")
    begun_s = time.process_time()
    execute(prepared, lambda event: None)
    cpu_s = time.process_time() - begun_s
    return cpu_s, sum(path.stat().st_size for path in (dest / SHARDS).glob("*.tar"))


def print_consistency(source: Path) -> None:
    """How well each way to estimate flow backwards tells a clip's own flow from another's."""
    found = itertools.chain.from_iterable(map(frames_of, videos_in(source)))
    clips = [frames for frames in itertools.islice(found, CLIPS) if len(frames) > STEPS]
    estimator = make_estimator(FlowConfig())
    flows = [resize_flow(estimator.estimate(clip[:-1], clip[1:]), CHECK_SIDE) for clip in clips]
    print("| flow backwards | ms a step | own flow | another's | AUC |\n|---|---|---|---|---|")
    for name, settings in BACKWARDS.items():
        consistency._BACKWARDS = settings
        begun_s = time.process_time()
        backwards = [consistency.backward_flow(clip, CHECK_SIDE) for clip in clips]
        each_ms = 1000 * (time.process_time() - begun_s) / sum(map(len, backwards))
        own = windows_of(flows, backwards)
        other = windows_of([*flows[1:], flows[0]], backwards)
        auc = (own[:, None] > other[None]).mean()
        medians = f"{np.median(own):.2f} | {np.median(other):.2f}"
        print(f"| {name} | {each_ms:.2f} | {medians} | {auc:.3f} |")
    fine = Dis(QUALITIES["fine"])
    begun_s = time.process_time()
    for clip in clips:
        fine.estimate(clip[:-1], clip[1:])
    each_ms = 1000 * (time.process_time() - begun_s) / sum(map(len, flows))
    print(f"\nThe flow forwards, at {clips[0].shape[1]} px: {each_ms:.2f} ms a step.")


def frames_of(path: str) -> Iterator[NDArray[np.uint8]]:
    """The first frames of a clip as an ingest samples them; none of one that cannot be read."""
    config = IngestConfig()
    sampling = Sampling(config.flow.size, config.flow.step_s)
    try:
        yield next(iter(open_video(path, config.video, sampling))).rgb
    except (InputError, StopIteration) as error:
        print(f"left out: {Path(path).name} ({type(error).__name__})", file=sys.stderr)


def windows_of(
    flows: list[NDArray[np.float32]], backwards: list[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """The consistency of windows of `STEPS` steps, where flow and flow backwards are as long."""
    found = []
    for flow, back in zip(flows, backwards, strict=True):
        number = min(len(flow), len(back))
        sums = consistency.disagreement(flow[:number], back[:number])
        for first in range(0, number - STEPS + 1, STEPS):
            apart, moved = sums[first : first + STEPS].sum(axis=0)
            if moved > 0:
                found.append(1 - apart / moved)
    return np.array(found)


def compare_filters(rows: int) -> None:
    """CPU seconds and memory of filters over a table that is never whole in memory."""
    import duckdb

    print(f"{rows} rows; DuckDB {duckdb.__version__}\n")
    print("| filter | Arrow, CPU s | DuckDB, CPU s | MiB more | chosen |\n|---|---|---|---|---|")
    batch = some_rows()
    for where, sql in FILTERS.items():
        ways: dict[str, Callable[[], NDArray[np.bool_]]] = {
            "arrow": lambda where=where: by_arrow(batch, rows, where),  # type: ignore[misc]
            "duckdb": lambda sql=sql: by_duckdb(batch, rows, sql),  # type: ignore[misc]
        }
        taken: dict[str, list[float]] = {"arrow": [], "duckdb": []}
        more: dict[str, float] = {}
        found: dict[str, NDArray[np.bool_]] = {}
        for _ in range(3):
            for name, way in ways.items():
                before, begun_s = peak_mib(), time.process_time()
                found[name] = way()
                taken[name].append(time.process_time() - begun_s)
                more.setdefault(name, peak_mib() - before)
        assert (found["arrow"] == found["duckdb"]).all()
        medians = " | ".join(f"{statistics.median(each):.2f}" for each in taken.values())
        memory = " / ".join(f"{each:.0f}" for each in more.values())
        print(f"| `{where}` | {medians} | {memory} | {found['arrow'].mean():.1%} |")


def some_rows() -> Any:
    """A batch of the columns that the filters read."""
    import pyarrow as pa

    rng = np.random.default_rng(0)
    texts = np.array(["", "Pushing a cup", "pulling a plate", "turning it"])
    camera = rng.uniform(0, 3, BATCH_ROWS)
    return pa.table(
        {
            "mean_px": rng.uniform(0, 3, BATCH_ROWS),
            "blur": rng.uniform(0.2, 0.7, BATCH_ROWS),
            "text": texts[rng.integers(0, len(texts), BATCH_ROWS)],
            "camera_px": pa.array(camera, mask=rng.random(BATCH_ROWS) < 0.1),
        }
    )


def parts_of(batch: Any, rows: int) -> Iterator[Any]:
    for first in range(0, rows, BATCH_ROWS):
        yield batch.slice(0, rows - first)


def by_arrow(batch: Any, rows: int, where: str) -> NDArray[np.bool_]:
    columns = columns_of(where, batch.column_names)
    return select((part.select(columns) for part in parts_of(batch, rows)), where)


def by_duckdb(batch: Any, rows: int, sql: str) -> NDArray[np.bool_]:
    """In one thread, as an ingest's or a loader's worker has it, and shut off from files."""
    import duckdb
    import pyarrow as pa

    batches = (each for part in parts_of(batch, rows) for each in part.to_batches())
    reader = pa.RecordBatchReader.from_batches(batch.schema, batches)
    with duckdb.connect() as connection:
        connection.register("windows", reader)
        connection.execute("SET threads=1; SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        found = connection.execute(f"SELECT coalesce({sql}, false) AS found FROM windows")
        return np.asarray(found.fetchnumpy()["found"], np.bool_)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
