"""A dataset of any number of windows, of which the tables are whole and the shards made on demand.

Videos are named as in Something-Something V2 and have ten windows each, 64 of them a shard. Keys,
places, captions and labels differ as they do in a dataset that was ingested; the windows of a shard
that is read are copies of one of a rendered clip, under keys of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scale_figures import CACHE

from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.scenes import write_ssv2_corpus
from sofdata.shards.layout import DATASET, INDEX, PLAN, SHARDS
from sofdata.shards.parquet import ROW_GROUP
from sofdata.shards.sample import sample_key
from sofdata.shards.schema import index_schema, plan_schema
from sofdata.shards.tar import TarWriter, read_samples
from sofdata.storage.tree import Tree

WINDOWS, VIDEOS = 10, 64  # of a video; of a shard
SAMPLE_BYTES = 1 << 15  # at least so far from one window to the next
WORDS, TEMPLATES = 700, 174


def dataset_of(videos: int, every_text_differs: bool = False) -> Path:
    """The dataset, made on first use.

    every_text_differs: give each video a caption of its own, as narrations are; else there are
    some hundred thousand, as in Something-Something V2.
    """
    folder = CACHE / f"windows-{videos}{'-texts' if every_text_differs else ''}"
    if not (folder / INDEX).exists():
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        record = (_template() / DATASET).read_bytes()
        (folder / DATASET).write_bytes(record)
        _write(folder / PLAN, plan_schema(), _plan(videos, every_text_differs))
        _write(folder / INDEX, index_schema(), _index(videos, every_text_differs))
    return folder


def write_shards(dataset: Path, names: Sequence[str]) -> None:
    """Write these shards, with the windows that the index lists in them."""
    wanted = [name for name in names if not (dataset / SHARDS / name).exists()]
    columns = ["shard", "key", "offset", "source", "window", "text"]
    file = pq.ParquetFile(dataset / INDEX)
    for group in range(file.num_row_groups if wanted else 0):
        rows = file.read_row_group(group, columns)
        for name in wanted:
            part = rows.filter(pc.equal(rows["shard"], name))
            if part.num_rows:
                _write_shard(dataset / SHARDS / name, part.to_pylist())


def _write_shard(path: Path, rows: list[dict[str, object]]) -> None:
    """Append windows to a shard, as a file with holes between them."""
    shard = next(iter(sorted((_template() / SHARDS).glob("*.tar"))))
    with open(shard, "rb") as stream:
        _, _, members = next(read_samples(stream, shard.name))
    record = json.loads(members["json"])
    with open(path, "ab") as target:
        for row in rows:
            own = {name: row[name] for name in ("key", "source", "window", "text")}
            data = json.dumps({**record, **own}).encode()
            part = path.with_suffix(".sample")
            writer = TarWriter(str(part))
            writer.add(str(row["key"]), {**members, "json": data})
            writer.finish()
            target.truncate(int(str(row["offset"])))
            target.seek(int(str(row["offset"])))
            target.write(part.read_bytes()[:SAMPLE_BYTES])
            part.unlink()


def _template() -> Path:
    """A rendered corpus, ingested once."""
    dataset = CACHE / "windows-template"
    if not (dataset / INDEX).exists():
        corpus = CACHE / "windows-corpus"
        write_ssv2_corpus(corpus, videos=2, seconds=2.5)
        config = load_config(None, ["run.engine=inline"])
        execute(prepare(Tree(str(corpus)), Tree(str(dataset)), config, "ssv2"), lambda event: None)
    return dataset


def _write(path: Path, schema: pa.Schema, tables: Iterator[dict[str, pa.Array]]) -> None:
    part = path.with_suffix(".writing")
    with pq.ParquetWriter(part, schema) as writer:
        for columns in tables:
            arrays = [columns[field.name].cast(field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    part.rename(path)


def _groups(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, ROW_GROUP):
        yield start, min(rows, start + ROW_GROUP)


def _plan(videos: int, every_text_differs: bool) -> Iterator[dict[str, pa.Array]]:
    for start, stop in _groups(videos):
        numbers, size = range(start, stop), stop - start
        labels = [json.dumps(dict(_labels(number)), sort_keys=True) for number in numbers]
        prints = [hashlib.md5(_id(each).encode(), usedforsecurity=False) for each in numbers]
        yield {
            "id": pa.array([_id(number) for number in numbers]),
            "uri": pa.array([f"20bn-something-something-v2/{_id(each)}.webm" for each in numbers]),
            "size_bytes": pa.array(np.full(size, 100_000)),
            "fingerprint": pa.array([each.hexdigest() for each in prints]),
            "span_start_s": pa.nulls(size, pa.float64()),
            "span_end_s": pa.nulls(size, pa.float64()),
            "text": pa.array([_text(number, every_text_differs) for number in numbers]),
            "labels": pa.array(labels),
            "unit": pa.array([_unit(number // VIDEOS) for number in numbers]),
            "ordinal": pa.array([number // VIDEOS for number in numbers]),
            "problem": pa.array([""] * size),
            "detail": pa.array([""] * size),
        }


def _index(videos: int, every_text_differs: bool) -> Iterator[dict[str, pa.Array]]:
    random = np.random.default_rng(0)
    for start, stop in _groups(WINDOWS * videos):
        yield _rows(start, stop, random, every_text_differs)


def _rows(
    start: int, stop: int, random: np.random.Generator, every_text_differs: bool
) -> dict[str, pa.Array]:
    rows = np.arange(start, stop)
    first, last = start // WINDOWS, (stop - 1) // WINDOWS
    video, window = pa.array(rows // WINDOWS - first), rows % WINDOWS
    numbers, size = range(first, last + 1), stop - start
    keys = pa.array([sample_key(_id(number), 0)[:-6] for number in numbers])
    ending = pc.utf8_lpad(pa.array(window).cast(pa.string()), 6, "0")
    shards = pa.array([_shard(number // VIDEOS) for number in numbers])
    texts = pa.array([_text(number, every_text_differs) for number in numbers])
    labels = pa.array([_labels(number) for number in numbers], index_schema().field("labels").type)
    start_s = 1.04 * window
    columns = {
        "shard": shards.take(video),
        "key": pc.binary_join_element_wise(keys.take(video), ending, ""),
        "offset": pa.array(_offsets(rows)),
        "source": pa.array([_id(number) for number in numbers]).take(video),
        "window": pa.array(window),
        "steps": pa.array(np.full(size, 8)),
        "start_s": pa.array(start_s),
        "end_s": pa.array(start_s + 1.04),
        "cut": pa.array([""] * size),
        "text": texts.take(video),
        "codec": pa.array(["q8"] * size),
        "labels": labels.take(video),
    }
    for field in index_schema():
        if field.name not in columns:  # motion and errors: numbers of six digits
            columns[field.name] = pa.array(np.round(random.gamma(2.0, 0.3, size), 6))
    return columns


def _offsets(rows: np.ndarray) -> np.ndarray:
    """Bytes from the start of each row's shard: uneven steps, in blocks of a tar."""
    within = rows % (WINDOWS * VIDEOS)
    offsets: np.ndarray = within * 2 * SAMPLE_BYTES + 512 * (rows * 2_654_435_761 % 61)
    return offsets


def _id(number: int) -> str:
    return str(100_000 + number)


def _unit(number: int) -> str:
    return hashlib.sha256(f"unit {number}".encode()).hexdigest()[:16]


def _shard(number: int) -> str:
    return f"sof-{number:08x}-{_unit(number)}-{_unit(-1 - number)[:8]}.tar"


def _text(number: int, every_text_differs: bool) -> str:
    one, other = number * 7919 % WORDS, number * 104_729 % (WORDS - 1)
    text = f"putting thing {one} on top of thing {other}"
    return f"{text} as number {number}" if every_text_differs else text


def _labels(number: int) -> list[tuple[str, str]]:
    return [
        ("class_id", str(number % TEMPLATES)),
        ("placeholders", f'["thing {number * 7919 % WORDS}"]'),
        ("split", "validation" if number % 9 == 0 else "train"),
        ("template", f"Putting [something] on top of thing {number % TEMPLATES}"),
    ]
