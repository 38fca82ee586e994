"""What `sofdata ingest --dry-run` says: a table for people, plain values for `--json`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sofdata.ingest.estimate.estimate import Estimate, NoEstimate, Sample, Sampled
from sofdata.ingest.estimate.figures import Figure
from sofdata.ingest.estimate.wall import Wall
from sofdata.ui.console import note, say
from sofdata.ui.text import clock

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
PERCENT = 100


def estimate_summary(found: Estimate | NoEstimate) -> dict[str, Any]:
    """The estimate as plain values; `why` says why there is none."""
    sample = _sample(found.sample) if found.sample else None
    if isinstance(found, NoEstimate):
        return {"why": found.why, "sample": sample}
    return {
        "why": "",
        "videos": found.videos,
        "videos_taken_over": found.carried,
        "hours_of_video": _figure(found.seconds.times(1 / 3600)),
        "windows": _figure(found.windows),
        "dataset_bytes": _figure(found.bytes),
        "fetched_bytes": found.fetched_bytes,
        "cpu_hours": _figure(found.cpu_hours),
        "gpu_hours": _figure(found.gpu_hours),
        "flow_pairs": _figure(found.pairs),
        "wall": _wall(found.wall),
        "on_cluster_s": _figure(found.on_cluster_s),
        "notes": list(_notes(found)),
        "sample": sample,
    }


def print_estimate(console: Console, found: Estimate | NoEstimate) -> None:
    """Print a table of figures with their ranges, and what they leave out."""
    if isinstance(found, NoEstimate):
        say(console, f"no estimate: {found.why}")
        return
    table = Table("", "estimate", "range (95 %)", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figure, words in _rows(found):
        low, high = figure.low, figure.high
        spread = "unknown" if low is None or high is None else _range(words, low, high)
        table.add_row(escape(name), words(figure.value), spread)
    console.print(table)
    say(console, _how(found.sample))
    for text in _notes(found):
        note(console, text)


def _rows(found: Estimate) -> Iterator[tuple[str, Figure, Any]]:
    yield "hours of video", found.seconds.times(1 / 3600), _hours
    yield "windows", found.windows, _count
    yield "bytes of the dataset", found.bytes, _size
    if found.fetched_bytes:
        yield "bytes to fetch", Figure.exact(found.fetched_bytes), _size
    yield "CPU hours", found.cpu_hours, _hours
    if found.gpu_hours:
        yield "GPU hours", found.gpu_hours, _hours
    elif found.pairs:
        yield "pairs of frames for GPUs", found.pairs, _count
    if found.wall:
        workers = found.wall.workers
        name = f"wall time, {workers} worker{'s' * (workers > 1)}"
        yield name, found.wall.total, _time


def _how(sample: Sample) -> str:
    spans = sum(not video.took.whole for video in sample.videos)
    parts = f" ({spans} long ones in part)" if spans else ""
    count = len(sample.videos)
    videos = f"{count} video{'s' * (count > 1)}"
    processes = f"{sample.processes} process{'es' * (sample.processes > 1)}"
    text = (
        f"measured on {videos}{parts}, chosen by seed {sample.seed}, "
        f"with {processes} at once, in {sample.took_s:.0f} s"
    )
    if sample.reasons:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sample.reasons.items())
        text += f"; not usable: {reasons}, about {sample.unusable:.0%} of all videos"
    return text


def _notes(found: Estimate) -> Iterator[str]:
    yield (
        "the range is that of the sample alone: a machine that is busier, a colder disk or a "
        "slower network is not in it"
    )
    if found.carried:
        yield f"{found.carried} videos are taken over from earlier results, and are no work"
    if found.wall is None:
        yield "say how many workers the cluster will have (--workers N) for a wall time"
    elif found.wall.cores is None:
        yield "the wall time takes the cores of the cluster to be as fast as those here"
    elif found.on_cluster_s:
        wall = found.wall
        yield (
            f"this machine has {wall.cores} cores, which {wall.workers} workers would share; on a "
            f"cluster (--address) of {wall.workers} cores like these the work would take "
            f"{_time(found.on_cluster_s.value)}"
        )
    if found.wall and found.wall.longest_s > found.wall.work.value / 2:
        yield (
            f"the longest unit alone takes {_time(found.wall.longest_s)}: more workers will not "
            "make it shorter"
        )
    if found.fetched_bytes:
        yield "files were fetched with no more than these processes; a shared network is slower"
    if found.gpu_hours:
        yield "one process used the GPU at a time: what several would wait for is not in it"
    elif found.pairs:
        yield (
            "flow is for GPUs, and there is none here: windows and bytes are those of another "
            "estimator (dis), the wall time is that of decoding alone, and GPU hours are pairs "
            "over what one GPU does in an hour"
        )


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "seed": sample.seed,
        "headers": sample.headers,
        "processes": sample.processes,
        "took_s": round(sample.took_s, 3),
        "reasons": sample.reasons,
        "unusable_share": round(sample.unusable, 4),
        "videos": [_video(video) for video in sample.videos],
    }


def _video(video: Sampled) -> dict[str, Any]:
    whole = video.took.whole
    return {
        "id": video.ref.id,
        "weight": round(video.weight, 4),
        "ended": video.ended,
        "spans_s": None if whole else [list(part.ref.span_s or ()) for part in video.parts],
        "measured_s": round(sum(part.record.covered_s for part in video.parts), 3),
        "windows": sum(part.record.windows for part in video.parts),
        "bytes": sum(part.bytes for part in video.parts),
        "cpu_s": round(sum(part.spent.cpu_s + part.commit.cpu_s for part in video.parts), 4),
    }


def _figure(figure: Figure | None) -> dict[str, float | None] | None:
    return asdict(figure) if figure else None


def _wall(wall: Wall | None) -> dict[str, Any] | None:
    if wall is None:
        return None
    return {**asdict(wall), "total": _figure(wall.total)}


def _range(words: Any, low: float, high: float) -> str:
    one, other = words(low), words(high)
    return one if one == other else f"{one} to {other}"


def _hours(hours: float) -> str:
    if hours >= PERCENT:
        return f"{hours:,.0f}"
    return f"{hours:.2f}" if hours >= 1 else f"{hours:.2g}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _size(size: float) -> str:
    step = 0
    while size >= 1000 and step < len(_UNITS) - 1:
        size, step = size / 1000, step + 1
    return (
        f"{size:.0f} {_UNITS[step]}"
        if size >= PERCENT or not step
        else f"{size:.1f} {_UNITS[step]}"
    )


def _time(seconds: float) -> str:
    """'38 s', '12:30 min', '5:02:10 h'; from two days on in days."""
    if seconds < PERCENT:
        return f"{seconds:.0f} s"
    if seconds > 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    return f"{clock(seconds)} {'h' if seconds >= 3600 else 'min'}"
