"""What whole corpora cost: the tables of docs/scale.md, from a few measured figures.

    python benchmarks/scale_costs.py --measure

measures and writes benchmarks/results/scale.json, about three minutes on two idle cores: what a
second of video of each kind takes and gives, by the estimate of a dry run over a few rendered
clips, all of them in the sample; and the requests to an object store that a run, a unit and a video
make, counted in this process while it ingests from and to SeaweedFS (of the `dev` extra) on
loopback.

    python benchmarks/scale_costs.py

prints the tables that follow from that file, from the corpora below and from list prices, and with
`--write` puts them into docs/scale.md; and, once
`python benchmarks/driver.py --json benchmarks/results/driver.json` was run, from its figures. Sizes
of corpora and prices are assumptions, named with where they come from; replace them by your own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests.s3 starts the server
PAGE = ROOT / "docs" / "scale.md"
MEASURED = ROOT / "benchmarks" / "results" / "scale.json"
DRIVER = ROOT / "benchmarks" / "results" / "driver.json"
CORES = (2, 64, 1024)
GIB, MIB = 1 << 30, 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """Video of one kind, as it is rendered for the measurement."""

    what: str
    height: int
    width: int
    fps: float
    codec: str
    suffix: str
    seconds: float
    clips: int


KINDS = {
    "240p": Kind("VP9, 427 x 240, 12 frames/s", 240, 427, 12.0, "vp9", "webm", 4.0, 12),
    "360p": Kind("H.264, 640 x 360, 10 frames/s", 360, 640, 10.0, "h264", "mp4", 10.0, 6),
    "1080p": Kind("H.264, 1920 x 1080, 30 frames/s", 1080, 1920, 30.0, "h264", "mp4", 10.0, 3),
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus as published. bytes_: of its files. source: of these figures."""

    name: str
    kind: str
    videos: int
    hours: float
    bytes_: float
    source: str


CORPORA = (
    Corpus(
        "Something-Something V2",
        "240p",
        220_847,
        220_847 * 4.03 / 3600,
        19.4e9,
        "220,847 clips, as published with it; 19.4 GB, and 4.03 s a clip as of its first version "
        "(Goyal et al. 2017, arXiv 1706.04261), from memory, not looked up again",
    ),
    Corpus(
        "Ego4D",
        "1080p",
        9_600,
        3_670.0,
        7.0e12,
        "3,670 hours by its paper (Grauman et al. 2022, arXiv 2110.07058); 9,600 videos and 7 TB "
        "are assumed, and that all are of this kind, which most are",
    ),
    Corpus(
        "a robot corpus of Open X-Embodiment's size",
        "360p",
        1_000_000,
        1_000_000 * 10.0 / 3600,
        1_000_000 * 0.4e6,
        "a million trajectories by its paper (arXiv 2310.08864); one camera, 10 s and 0.4 MB each "
        "are assumed: episodes have 1.6 s (Language Table: 7,045,476 frames at 10 a second in "
        "442,226) to 21 s (SOAR: 3,417,760 at 5 in 31,812), by the info.json of their LeRobot "
        "copies",
    ),
)


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in dollars, assumptions to be replaced.

    put, get: of a thousand requests of the dearer kind (PUT, COPY, POST, LIST) and of the others.
    month_gb: of storing a GB for a month. core_hour: of a core, as half of a machine with two.
    """

    put: float = 0.005
    get: float = 0.0004
    month_gb: float = 0.023
    core_hour: float = 0.0425


PRICES = Prices()
PRICES_SOURCE = (
    "Amazon S3 Standard and an on-demand c6i.large (two virtual cores) in us-east-1, list prices "
    "of 2024 from memory; not looked up again, and without taxes, discounts or transfer out of the "
    "region"
)
DEARER = ("Put", "Copy", "Create", "Complete", "Upload", "List", "Post")
FREE = ("Delete", "Abort")

# --- measuring ------------------------------------------------------------------------------------


def measure() -> dict[str, Any]:
    """All that the tables need, of this machine."""
    kinds = {name: measure_kind(kind) for name, kind in KINDS.items()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": "a virtual machine with 2 cores (AMD EPYC), no GPU",
        "load": round(os.getloadavg()[0], 1),
        "kinds": kinds,
        "requests": measure_requests(),
    }


def measure_kind(kind: Kind) -> dict[str, float]:
    """What a second of such video takes and gives, by a dry run that measures all of it."""
    from sofdata.ingest.config import load_config
    from sofdata.ingest.estimate.estimate import Estimate, estimate
    from sofdata.ingest.run import prepare
    from sofdata.storage.tree import Tree
    from sofdata.video.writer import write_video

    with TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        for number in range(kind.clips):
            path = source / f"{number}.{kind.suffix}"
            options = {"preset": "veryfast", "crf": "23"} if kind.codec == "h264" else {}
            write_video(path, frames(kind, number), kind.fps, kind.codec, options=options)
        config = load_config(None, ["run.engine=processes"])
        trees = Tree(str(source)), Tree(f"{folder}/dest")
        found = estimate(prepare(*trees, config, "folder", dry_run=True), sample=kind.clips)
    assert isinstance(found, Estimate)
    seconds = found.seconds.value
    took = [video.took.values for video in found.sample.videos]
    return {
        "cpu_s": round(found.cpu_hours.value * 3600 / seconds, 4),
        "decoding_cpu_s": round(sum(each["decoding_s"] for each in took) / seconds, 4),
        "flow_cpu_s": round(sum(each["flow_s"] for each in took) / seconds, 4),
        "pairs": round(sum(each["pairs"] for each in took) / seconds, 3),
        "windows": round(found.windows.value / seconds, 4),
        "bytes": round(sum(each["bytes"] for each in took) / seconds),
    }


def frames(kind: Kind, number: int) -> Iterator[NDArray[np.uint8]]:
    """A rendered clip in the size of its kind."""
    import cv2

    from sofdata.scenes.clips import plan_clip
    from sofdata.scenes.render import FPS, render

    clip = plan_clip(number, seconds=kind.seconds * kind.fps / FPS)
    width = kind.width + kind.width % 2 * (kind.codec == "h264")
    for frame in render(clip):
        yield cv2.resize(frame, (width, kind.height), interpolation=cv2.INTER_LINEAR)


def measure_requests() -> dict[str, dict[str, float]]:
    """Requests that a run, a unit and a video make, from three ingests that differ in one each."""
    from sofdata.scenes import write_clip
    from tests.s3 import running

    with TemporaryDirectory() as folder, running(Path(folder) / "server") as server:
        os.environ.update(server.environment)
        bucket = server.make_bucket("scale")
        for number in range(16):
            path = Path(folder) / f"{number}.webm"
            write_clip(path, number, seconds=1.5)
            for corpus in ("few", "many") if number < 8 else ("many",):
                server.client().put_file(str(path), f"scale/{corpus}/{number}.webm")
        few, one = requests_of(f"{bucket}/few", f"{bucket}/d1", units=1)
        many, one_too = requests_of(f"{bucket}/many", f"{bucket}/d2", units=1)
        cut, several = requests_of(f"{bucket}/many", f"{bucket}/d3", units=4)
    assert one == one_too == 1 < several
    kinds = sorted({*few, *many, *cut})
    video = {name: (many[name] - few[name]) / 8 for name in kinds}
    unit = {name: (cut[name] - many[name]) / (several - 1) for name in kinds}
    run = {name: few[name] - 8 * video[name] - unit[name] for name in kinds}
    return {
        name: {kind: round(count, 3) for kind, count in found.items() if round(count, 3)}
        for name, found in (("run", run), ("unit", unit), ("video", video))
    }


def requests_of(source: str, dest: str, units: int) -> tuple[Counter[str], int]:
    """Requests of an ingest by their names, and the number of units that it had."""
    from sofdata.ingest.config import load_config
    from sofdata.ingest.run import execute, prepare
    from sofdata.storage.tree import Tree

    settings = ["run.engine=inline", "flow.estimator=farneback", f"units.min_units={units}"]
    with counted() as counts:
        prepared = prepare(Tree(source), Tree(dest), load_config(None, settings), "folder")
        execute(prepared, lambda event: None)
    return counts, len(prepared.plan.units)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the requests that this process makes to object stores, until the block ends."""
    from aiobotocore.client import AioBaseClient  # type: ignore[import-untyped]

    counts: Counter[str] = Counter()
    original = AioBaseClient._make_api_call

    async def call(self: Any, name: str, parameters: Any) -> Any:
        counts[name] += 1
        return await original(self, name, parameters)

    AioBaseClient._make_api_call = call
    try:
        yield counts
    finally:
        AioBaseClient._make_api_call = original


# --- arithmetic -----------------------------------------------------------------------------------

MAX_VIDEOS, MAX_BYTES, MIN_UNITS, PART_BYTES = 64, 64 * MIB, 16, 16 * MIB


def units_of(videos: int, bytes_: float, seed: int = 0) -> int:
    """How many units a corpus is cut into: leaves of a tree that halves what is too large."""
    rng, each = np.random.default_rng(seed), bytes_ / videos
    waiting, units, depth = [videos], 0, 0
    while waiting:
        small = [n <= 1 or (n <= MAX_VIDEOS and n * each <= MAX_BYTES) for n in waiting]
        done = [fits and 2**depth >= MIN_UNITS for fits in small]
        units += sum(is_done and n > 0 for n, is_done in zip(waiting, done, strict=True))
        split = [n for n, is_done in zip(waiting, done, strict=True) if not is_done]
        left = [int(rng.binomial(n, 0.5)) for n in split]
        waiting = left + [n - part for n, part in zip(split, left, strict=True)]
        depth += 1
    return units


def priced(requests: Mapping[str, float]) -> tuple[float, float]:
    """Requests of the dearer kind and of the cheaper one; deleting is free."""
    dear = sum(n for name, n in requests.items() if name.startswith(DEARER))
    free = sum(n for name, n in requests.items() if name.startswith(FREE))
    return dear, sum(requests.values()) - dear - free


@dataclass(frozen=True, slots=True)
class Cost:
    """What a corpus takes and gives.

    hours_without_flow: of CPU. puts, gets: requests of both kinds.
    """

    units: int
    cpu_hours: float
    hours_without_flow: float
    pairs: float
    windows: float
    bytes_: float
    puts: float
    gets: float


def cost(corpus: Corpus, measured: Mapping[str, Any]) -> Cost:
    """By what was measured of its kind of video."""
    seconds, kind = corpus.hours * 3600, measured["kinds"][corpus.kind]
    units = units_of(corpus.videos, corpus.bytes_)
    bytes_ = seconds * kind["bytes"]
    parts = {name: priced(measured["requests"][name]) for name in ("run", "unit", "video")}
    puts, gets = (
        parts["run"][at] + units * parts["unit"][at] + corpus.videos * parts["video"][at]
        for at in (0, 1)
    )
    shard = bytes_ / units
    if shard > PART_BYTES:  # begun, in parts, completed, where a smaller one is put at once
        puts += units * (math.ceil(shard / PART_BYTES) + 1)
    return Cost(
        units=units,
        cpu_hours=seconds * kind["cpu_s"] / 3600,
        hours_without_flow=seconds * (kind["cpu_s"] - kind["flow_cpu_s"]) / 3600,
        pairs=seconds * kind["pairs"],
        windows=seconds * kind["windows"],
        bytes_=bytes_,
        puts=puts,
        gets=gets,
    )


# --- tables ---------------------------------------------------------------------------------------


def tables(measured: Mapping[str, Any], driver: Any = None) -> dict[str, str]:
    """The tables of docs/scale.md by their names there."""
    costs = [cost(corpus, measured) for corpus in CORPORA]
    return {
        "measured": measured_table(measured),
        "requests": requests_table(measured),
        "corpora": corpora_table(costs),
        "wall": wall_table(costs),
        "money": money_table(costs),
        "gpu": gpu_table(costs),
        "driver": driver_table(costs, driver),
        "assumptions": assumptions(measured),
    }


def assumptions(measured: Mapping[str, Any]) -> str:
    """What was measured when and where, and what is assumed of corpora and prices, as a list."""
    when = f"Measured on {measured['date']} on {measured['machine']}, load {measured['load']}."
    lines = [f"{corpus.name}: {corpus.source}." for corpus in CORPORA]
    prices = (
        f"Prices: ${PRICES.put:g} a thousand PUT, COPY, POST or LIST, ${PRICES.get:g} a thousand "
        f"GET and others, ${PRICES.month_gb:g} a GB and month, ${PRICES.core_hour:g} a core and "
        f"hour: {PRICES_SOURCE}."
    )
    return "\n".join(f"- {line}" for line in (when, *lines, prices))


def filled(page: str, found: Mapping[str, str]) -> str:
    """A page with each table between its two marks, `<!-- NAME -->` and `<!-- end -->`."""
    for name, text in found.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, after = page.split(begin)
        page = f"{before}{begin}{text}\n{end}{after.split(end, 1)[1]}"
    return page


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def measured_table(measured: Mapping[str, Any]) -> str:
    head = ("a second of video", "CPU s", "decoding", "flow", "pairs", "windows", "KB")
    rows = []
    for name, kind in KINDS.items():
        found = measured["kinds"][name]
        figures = [f"{found[key]:.3f}" for key in ("cpu_s", "decoding_cpu_s", "flow_cpu_s")]
        figures += [f"{found[key]:.2f}" for key in ("pairs", "windows")]
        rows.append((kind.what, *figures, f"{found['bytes'] / 1000:.1f}"))
    return table(head, rows)


def requests_table(measured: Mapping[str, Any]) -> str:
    rows = []
    for name in ("run", "unit", "video"):
        dear, cheap = priced(measured["requests"][name])
        each = ", ".join(f"{kind} {n:g}" for kind, n in measured["requests"][name].items())
        rows.append((f"each {name}", f"{dear:.2f}", f"{cheap:.2f}", each))
    return table(("", "PUT, POST, LIST", "GET, HEAD", "by name"), rows)


def corpora_table(costs: Sequence[Cost]) -> str:
    head = ("corpus", "videos", "hours", "units", "CPU hours", "windows", "dataset")
    rows = [
        (
            corpus.name,
            f"{corpus.videos:,}",
            f"{corpus.hours:,.0f}",
            f"{found.units:,}",
            f"{found.cpu_hours:,.0f}",
            f"{found.windows / 1e6:,.1f} M",
            size(found.bytes_),
        )
        for corpus, found in zip(CORPORA, costs, strict=True)
    ]
    return table(head, rows)


def wall_table(costs: Sequence[Cost]) -> str:
    head = ("corpus", *(f"{cores:,} cores" for cores in CORES))
    rows = [
        (corpus.name, *(duration(found.cpu_hours / cores) for cores in CORES))
        for corpus, found in zip(CORPORA, costs, strict=True)
    ]
    return table(head, rows)


def money_table(costs: Sequence[Cost]) -> str:
    head = (
        *("corpus", "PUT, POST, LIST", "GET, HEAD", "requests, $", "store the dataset, $ a month"),
        *("store the videos, $ a month", "cores, $"),
    )
    rows = []
    for corpus, found in zip(CORPORA, costs, strict=True):
        requests = (found.puts * PRICES.put + found.gets * PRICES.get) / 1000
        rows.append(
            (
                corpus.name,
                f"{found.puts:,.0f}",
                f"{found.gets:,.0f}",
                f"{requests:,.2f}",
                f"{found.bytes_ / 1e9 * PRICES.month_gb:,.2f}",
                f"{corpus.bytes_ / 1e9 * PRICES.month_gb:,.2f}",
                f"{found.cpu_hours * PRICES.core_hour:,.2f}",
            )
        )
    return table(head, rows)


def gpu_table(costs: Sequence[Cost]) -> str:
    head = ("corpus", "pairs of frames", "GPU hours", "CPU hours beside it")
    rows = [
        (
            corpus.name,
            f"{found.pairs / 1e6:,.0f} M",
            f"{found.pairs / 3600:,.0f} / r",
            f"{found.hours_without_flow:,.0f}",
        )
        for corpus, found in zip(CORPORA, costs, strict=True)
    ]
    return table(head, rows)


def driver_table(costs: Sequence[Cost], driver: Sequence[Mapping[str, Any]] | None) -> str:
    engines = {row["engine"]: row for row in driver or ()}
    head = ("corpus", "units a second on 1,024 cores", *(f"driver of {name}" for name in engines))
    rows = []
    for corpus, found in zip(CORPORA, costs, strict=True):
        wall_s = found.cpu_hours / 1024 * 3600
        busy = [
            (found.units * row["ms a unit"] + corpus.videos * row["ms a video"]) / 1000 / wall_s
            for row in engines.values()
        ]
        shares = (f"{share:.1%} busy" for share in busy)
        rows.append((corpus.name, f"{found.units / wall_s:.1f}", *shares))
    return table(head, rows)


def size(bytes_: float) -> str:
    return f"{bytes_ / 1e12:,.2f} TB" if bytes_ >= 1e12 else f"{bytes_ / 1e9:,.1f} GB"


def duration(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    if hours >= 2:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 20 else f"{hours * 3600:.0f} s"


def read(path: Path) -> Any:
    """What a file of results holds, None where there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if given.measure:
        MEASURED.write_text(json.dumps(measure(), indent=1) + "\n")
        print(f"wrote {MEASURED.relative_to(ROOT)}", file=sys.stderr)
        return
    measured = read(MEASURED)
    assert measured, "run it with --measure first"
    found = tables(measured, read(DRIVER))
    if given.write:
        PAGE.write_text(filled(PAGE.read_text(), found))
    else:
        print("\n\n".join(found.values()))


if __name__ == "__main__":
    main()
