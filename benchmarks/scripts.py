"""What ingest_speed.py compares `ingest` with: scripts that people write for the same windows.

Each turns videos into shards with `webdataset.ShardWriter`: decord, a flow of each step, windows of
eight steps, a JPEG for the flow and one for each of two frames. None of them looks for shot changes
or camera motion, measures what the codec loses, keeps statistics, verifies or hashes, and a video
that hangs or crashes ends it. They differ in the flow (`SEARCHES`) and in what shares out the work,
which is a pool of processes or Ray Data.

    python benchmarks/scripts.py ray FOLDER DEST

runs the one with Ray Data alone and prints its seconds as JSON.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORKERS = 2
SHARDS = 16  # as many as ingest writes
SPAWN = multiprocessing.get_context("spawn")
SIZE, STORED, STEP_S = 128, 64, 0.13
LENGTH, STRIDE, STATIC_PX = 8, 4, 0.15

Search = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


def tuned_dis() -> Search:
    """DIS with settings found by measuring: those of `flow.quality=earlier`."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(8)
    search.setPatchStride(3)
    search.setGradientDescentIterations(16)
    search.setVariationalRefinementIterations(5)
    search.setVariationalRefinementAlpha(30)
    return lambda first, second: search.calc(first, second, None)


def medium_dis() -> Search:
    """DIS as OpenCV presets it, which most scripts take."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda first, second: search.calc(first, second, None)


def farneback() -> Search:
    """Farneback with the arguments of video2dataset's subsampler."""
    import cv2

    return lambda first, second: cv2.calcOpticalFlowFarneback(
        first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0
    )


SEARCHES: dict[str, Callable[[], Search]] = {
    "tuned": tuned_dis,
    "medium": medium_dis,
    "farneback": farneback,
}


def turn(
    paths: list[str], texts: dict[str, str], shard: str, search_name: str, skip_still: bool
) -> int:
    """Turn some videos into the windows of one shard; returns how many."""
    import cv2
    import webdataset

    cv2.setNumThreads(1)
    search = SEARCHES[search_name]()
    written = 0
    with webdataset.ShardWriter(shard, verbose=0) as sink:
        for path in paths:
            rgb, pts_s = decode(path)
            flow = flow_of(search, rgb, skip_still)
            for sample in windows(rgb, pts_s, flow, Path(path).stem, texts):
                sink.write(sample)
                written += 1
    return written


def decode(path: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    import decord

    reader = decord.VideoReader(path, width=SIZE, height=SIZE, num_threads=1)
    every = max(1, round(STEP_S * reader.get_avg_fps()))
    indices = list(range(0, len(reader), every))
    return reader.get_batch(indices).asnumpy(), reader.get_frame_timestamp(indices)[:, 0]


def flow_of(search: Search, rgb: NDArray[np.uint8], skip_still: bool) -> NDArray[np.float32]:
    import cv2

    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    flow = np.zeros((len(rgb) - 1, STORED, STORED, 2), np.float32)
    for step in range(len(flow)):
        if skip_still and np.mean(cv2.absdiff(rgb[step], rgb[step + 1]) > 1) <= 0.001:
            continue
        full = search(grey[step], grey[step + 1])
        flow[step] = cv2.resize(full, (STORED, STORED), interpolation=cv2.INTER_AREA)
    return flow * (STORED / SIZE)


def windows(
    rgb: NDArray[np.uint8],
    pts_s: NDArray[np.float64],
    flow: NDArray[np.float32],
    name: str,
    texts: dict[str, str],
) -> Iterator[dict[str, Any]]:
    last = len(flow) - LENGTH
    starts = [*range(0, last, STRIDE), last] if last >= 0 else []
    for number, start in enumerate(starts):
        end = start + LENGTH
        window = flow[start:end]
        magnitude = np.hypot(window[..., 0], window[..., 1])
        if np.percentile(magnitude, 99) < STATIC_PX:
            continue
        scale = np.maximum(np.abs(window).reshape(LENGTH, -1).max(axis=1), 1e-3) / 127
        levels = (np.rint(window / scale[:, None, None, None]) + 128).astype(np.uint8)
        mosaic = levels.transpose(0, 1, 3, 2).reshape(LENGTH * STORED, 2 * STORED)
        record = {
            "video": name,
            "text": texts.get(name, ""),
            "pts_s": pts_s[start : end + 1].tolist(),
            "scale": scale.tolist(),
            "mean_px": float(magnitude.mean()),
        }
        yield {
            "__key__": f"{name}-{number:04d}",
            "flow.jpg": jpeg(mosaic, quality=95),
            "first.jpg": jpeg(rgb[start], quality=92, subsampling=0),
            "last.jpg": jpeg(rgb[end], quality=92, subsampling=0),
            "json": record,
        }


def jpeg(picture: NDArray[np.uint8], **options: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", **options)
    return out.getvalue()


def load_libraries() -> None:
    """Import what a worker needs."""
    import cv2
    import decord
    import PIL.Image  # noqa: F401
    import webdataset  # noqa: F401

    cv2.setNumThreads(1)
    decord.logging.set_level(decord.logging.QUIET)


def begin(barrier: Any) -> None:
    """Import in a worker all that it needs, then wait until all workers have."""
    load_libraries()
    barrier.wait()


def in_processes(
    paths: list[str], texts: dict[str, str], folder: Path, search: str, skip_still: bool, clock: Any
) -> dict[str, float]:
    """Times and windows of a pool of processes. clock: makes what measures, when it is called."""
    folder.mkdir()
    tasks = [
        (part, texts, f"{folder}/{number:06d}-%06d.tar", search, skip_still)
        for number, part in enumerate(shares(paths))
    ]
    barrier = SPAWN.Barrier(WORKERS + 1)
    with SPAWN.Pool(WORKERS, begin, (barrier,)) as pool:
        barrier.wait()
        running = clock()
        found = sum(pool.starmap(turn, tasks, chunksize=1))
        return {**running.read(), "windows": found}


def shares(paths: list[str]) -> list[list[str]]:
    """The videos of each shard."""
    each = -(-len(paths) // SHARDS)
    return [paths[at : at + each] for at in range(0, len(paths), each)]


class RayShards:
    """An actor of Ray Data's pool: a row is the videos of a shard."""

    def __init__(self) -> None:
        load_libraries()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        paths = list(row["paths"])
        texts = json.loads(row["texts"])
        return {"windows": turn(paths, texts, row["shard"], "tuned", skip_still=False)}


def in_ray_data(paths: list[str], texts: dict[str, str], folder: Path, clock: Any) -> Any:
    """Times and windows with Ray Data, from when Ray has started."""
    import ray

    folder.mkdir()
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    running = clock()
    rows = [
        {"paths": part, "texts": json.dumps(texts), "shard": f"{folder}/{number:06d}-%06d.tar"}
        for number, part in enumerate(shares(paths))
    ]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    pool = ray.data.ActorPoolStrategy(size=WORKERS)
    found = data.map(RayShards, compute=pool, num_cpus=1).take_all()
    result = {**running.read(), "windows": sum(row["windows"] for row in found)}
    ray.shutdown()
    return result


def main() -> None:
    from ingest_speed import Clock, read_texts, videos_in

    os.environ.update(OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0")
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    import scripts  # by its name, under which Ray's workers find it

    source, dest = map(Path, sys.argv[2:4])
    begun = time.perf_counter()
    found = scripts.in_ray_data(videos_in(source), read_texts(source), dest, Clock)
    print(json.dumps({**found, "whole": time.perf_counter() - begun}))


if __name__ == "__main__":
    main()
