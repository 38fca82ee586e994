"""Whether a unit is what its record says, and its record what the plan says: a sentence a fault."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import BinaryIO

from sofdata.errors import InputError
from sofdata.ingest.units import Unit
from sofdata.shards.columns import LedgerColumns
from sofdata.shards.layout import SHARDS
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.schema import DatasetActions, DatasetRecord, ShardRecord
from sofdata.shards.tar import hash_file, read_samples
from sofdata.storage.tree import Tree

TOLERATED_S = 1e-6
_LISTED = ("key", "offset", "source", "window", "steps")
SizeProblem = Callable[[str, ShardRecord], str]


def size_problems(dest: Tree) -> SizeProblem:
    """A function that says what is wrong with the size of a shard of a folder, "" for nothing.

    Of a remote dataset all sizes are listed at once, a request for a thousand.
    """
    if dest.is_local:
        return lambda folder, shard: _local_problem(dest, folder, shard)
    sizes = cache(lambda folder: {item.rel: item.size_bytes for item in dest.walk(folder)})
    return lambda folder, shard: _size_problem(sizes(folder).get(shard.name), shard)


def _local_problem(dest: Tree, folder: str, shard: ShardRecord) -> str:
    where = f"{folder}/{shard.name}"
    try:
        size = dest.size(where)
    except FileNotFoundError:
        return _size_problem(None, shard)
    except (OSError, ValueError) as error:  # no file can have its name
        return f"its size cannot be read: {error}"
    return _size_problem(size, shard) if dest.is_file(where) else "it is not a file"


def _size_problem(size: int | None, shard: ShardRecord) -> str:
    if size is None:
        return "it is missing"
    return "" if size == shard.size_bytes else f"it has {size} bytes instead of {shard.size_bytes}"


def record_problems(unit: Unit, record: LedgerColumns, dataset: DatasetRecord) -> Iterator[str]:
    """Check that a record accounts for its unit's videos and windows."""
    if record.unit != unit.id or record.ordinal != unit.ordinal:
        yield f"it is the record of unit {record.unit}, number {record.ordinal}"
    if record.config_sha256 != dataset.config_sha256:
        yield "it was made with another configuration"
    if record.videos["id"].to_pylist() != unit.video_ids:
        yield "its videos are not those of the plan"
    yield from _kept_list_problems(record, dataset)
    yield from _count_problems(record)
    yield from _redaction_problems(unit, record)
    samples, windows = record.shard.samples if record.shard else 0, record.windows.num_rows
    if windows != samples:
        yield f"it lists {windows} windows, and its shard has {samples} samples"


def _kept_list_problems(record: LedgerColumns, dataset: DatasetRecord) -> Iterator[str]:
    """Check that flow is kept of the videos that were read to their end, where it is kept.

    A dataset that was made of others keeps none, whatever they have.
    """
    wanted = bool(dataset.config.get("flow", {}).get("keep")) and not dataset.lineage
    if wanted and record.kept is None:
        yield "it lists no kept flow"
    if record.kept is None:
        return
    columns = (record.videos[name].to_pylist() for name in ("id", "frames", "windows_rejected"))
    seen = {id for id, frames, rejected in zip(*columns, strict=True) if frames or rejected}
    kept = [video.id for video in record.kept.videos]
    if len({*kept}) < len(kept) or not seen <= {*kept} <= {*record.videos["id"].to_pylist()}:
        yield "its kept flow is not that of its videos"


def _count_problems(record: LedgerColumns) -> Iterator[str]:
    """Check that each video has the windows that are counted."""
    written = Counter(record.windows["source"].to_pylist())
    rejected = Counter(record.rejected_windows["video"].to_pylist())
    names = ("id", "status", "reason", "windows", "windows_rejected")
    columns = (record.videos[name].to_pylist() for name in names)
    for video, status, reason, windows, windows_rejected in zip(*columns, strict=True):
        if windows != written.pop(video, 0):
            yield f"{video}: counts of written windows differ"
        if windows_rejected != rejected.pop(video, 0):
            yield f"{video}: counts of rejected windows differ"
        if (status == "done") != (windows > 0 and not reason):
            yield f"{video}: is {status} with {windows} windows"
    if written or rejected:
        yield "it lists windows of videos that are not its own"


def _redaction_problems(unit: Unit, record: LedgerColumns) -> Iterator[str]:
    """Check that no window shows what its corpus says must not be seen."""
    hidden = {video.id: video.annotations.hidden_s for video in unit.annotated()}
    if not any(hidden.values()):
        return
    shown: dict[str, list[tuple[int, float, float]]] = {}
    names = ("source", "window", "start_s", "end_s")
    columns = (record.windows[name].to_pylist() for name in names)
    for source, *window in zip(*columns, strict=True):
        shown.setdefault(source, []).append((window[0], window[1], window[2]))
    for video, spans_s in hidden.items():
        for number, (start_s, end_s) in reaching_into(shown.get(video, []), spans_s):
            yield f"{video}: window {number} reaches into {start_s} s to {end_s} s"


def reaching_into(
    windows: Sequence[tuple[int, float, float]], spans_s: Sequence[tuple[float, float]]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Which of the windows (number, start_s, end_s) touch a span, each with one that it touches."""
    spans_s = sorted(spans_s)
    starts_s = [start_s for start_s, _ in spans_s]
    furthest = [*accumulate(spans_s, _further)]
    for number, start_s, end_s in windows:
        begun = bisect_right(starts_s, end_s)  # spans that begin before the window ends
        if begun and furthest[begun - 1][1] >= start_s:
            yield number, furthest[begun - 1]


def _further(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return other if other[1] > one[1] else one


def shard_problems(
    dest: Tree, record: LedgerColumns, actions: DatasetActions | None
) -> Iterator[str]:
    """Check a shard's hash and, if it is the right one, decode each of its samples.

    What has another hash is not what was written here, and nothing of it is decoded.
    """
    shard = record.shard
    assert shard is not None
    where = f"{SHARDS}/{shard.name}"
    try:
        with dest.local_copy(where, shard.size_bytes) as path:
            sha256, md5 = hash_file(path)
            if sha256 != shard.sha256:
                yield "its sha256 is not that of the ledger; nothing of it was decoded"
                return
            if md5 != shard.md5:
                yield "its md5 is not that of the ledger"
            with open(path, "rb") as stream:
                yield from _content_problems(stream, where, record, actions)
    except (FileNotFoundError, InputError) as error:
        yield "it is missing" if isinstance(error, FileNotFoundError) else str(error)


def _content_problems(
    stream: BinaryIO, where: str, record: LedgerColumns, actions: DatasetActions | None
) -> Iterator[str]:
    """Decode each sample of a shard and compare it with the ledger. Raises `InputError`."""
    rows = zip(*(record.windows[name].to_pylist() for name in _LISTED), strict=True)
    samples = 0
    for key, offset, members in read_samples(stream, where):
        samples += 1
        sample = decode_sample(key, members)
        found = (key, offset, sample.record.source, sample.record.window, len(sample.flow))
        if next(rows, None) != found:
            yield f"sample {key} is not the one that the ledger lists there"
        yield from _sample_problems(sample)
        yield from _action_problems(sample, actions)
    if record.shard and samples != record.shard.samples:
        yield f"it holds {samples} samples instead of {record.shard.samples}"


def _sample_problems(sample: DecodedSample) -> Iterator[str]:
    """Check that a sample's own figures agree with each other."""
    record = sample.record
    if record.start_s != record.pts_s[0] or record.end_s != record.pts_s[-1]:
        yield f"sample {record.key}: start and end are not its first and last time"
    if sample.last.shape != sample.first.shape:
        yield f"sample {record.key}: first and last frame differ in size"


def _action_problems(sample: DecodedSample, dataset: DatasetActions | None) -> Iterator[str]:
    """Check that a sample's actions are those of the dataset, and were taken in its window."""
    record, actions = sample.record, sample.record.actions
    if (actions is None) != (dataset is None):
        which = "lacks the actions of the dataset" if dataset else "has actions, the dataset none"
        yield f"sample {record.key}: {which}"
    if actions is None or dataset is None:
        return
    if (actions.names, actions.dimension) != (dataset.names, dataset.dimension):
        yield f"sample {record.key}: its actions are not those of the dataset"
    start_s, end_s = record.start_s - 0.5 / dataset.fps, record.end_s - 0.5 / dataset.fps
    first_s, last_s = actions.times_s[0], actions.times_s[-1]
    if not start_s - TOLERATED_S <= first_s <= last_s < end_s + TOLERATED_S:
        yield f"sample {record.key}: its actions were not taken in its window"
