"""Time of `ingest` on a few hundred short clips, against its parts and against a plain script.

The clips are rendered (VP9, 427 x 240 px, 12 frames/s, 4 s) and kept under benchmarks/cache. Two
processes each run, in turn within every round:

- decode only: `open_video` over all clips;
- flow only: the estimator over decoded frames, for exactly the steps that `ingest` estimates;
- the plain script: `plain` below, what a competent user would write for the same windows: decord,
  the same DIS, `webdataset.ShardWriter`. Once as it is, and once with the one trick added that
  saves `ingest` the flow of still steps;
- `ingest` itself, on the Ray engine with the defaults.

Seconds are those of work alone: each contestant first starts its processes and imports what it
needs. What that takes `ingest` is printed apart. Beside the wall time stands the CPU time of all
processes of the contestant, the Ray engine's own included: on a machine with other work it is the
steadier figure. The share of the machine that such other work took meanwhile is printed too.

    python benchmarks/ingest_speed.py [--clips 300] [--rounds 5]

prints Markdown tables; about two and a half minutes a round on two cores. Where the time of a
worker goes is shown by ingest_stages.py.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.events import Event, Ready, UnitDone
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.stages import estimate_flow
from sofdata.scenes import write_ssv2_corpus
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling

WORKERS = 2
CACHE = Path(__file__).resolve().parent / "cache"
SPAWN = multiprocessing.get_context("spawn")
Measured = dict[str, float]
PHASES = ("plan", "engine start", "work", "engine stop, tables")

# --- the plain script -----------------------------------------------------------------------------

SIZE, STORED, STEP_S = 128, 64, 0.13
LENGTH, STRIDE, STATIC_PX = 8, 4, 0.15


def plain(paths: list[str], labels: dict[str, str], shard: str, skip_still: bool) -> int:
    """Turn some videos into the windows of one shard; returns how many."""
    import webdataset

    search = plain_dis()
    written = 0
    with webdataset.ShardWriter(shard, verbose=0) as sink:
        for path in paths:
            rgb, pts_s = plain_decode(path)
            flow = plain_flow(search, rgb, skip_still)
            for sample in plain_windows(rgb, pts_s, flow, Path(path).stem, labels):
                sink.write(sample)
                written += 1
    return written


def plain_dis() -> Any:
    import cv2

    cv2.setNumThreads(1)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(8)
    search.setPatchStride(3)
    search.setGradientDescentIterations(16)
    search.setVariationalRefinementIterations(5)
    search.setVariationalRefinementAlpha(30)
    return search


def plain_decode(path: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    import decord

    reader = decord.VideoReader(path, width=SIZE, height=SIZE, num_threads=1)
    every = max(1, round(STEP_S * reader.get_avg_fps()))
    indices = list(range(0, len(reader), every))
    return reader.get_batch(indices).asnumpy(), reader.get_frame_timestamp(indices)[:, 0]


def plain_flow(search: Any, rgb: NDArray[np.uint8], skip_still: bool) -> NDArray[np.float32]:
    import cv2

    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    flow = np.zeros((len(rgb) - 1, STORED, STORED, 2), np.float32)
    for step in range(len(flow)):
        if skip_still and np.mean(cv2.absdiff(rgb[step], rgb[step + 1]) > 1) <= 0.001:
            continue
        full = search.calc(grey[step], grey[step + 1], None)
        flow[step] = cv2.resize(full, (STORED, STORED), interpolation=cv2.INTER_AREA)
    return flow * (STORED / SIZE)


def plain_windows(
    rgb: NDArray[np.uint8],
    pts_s: NDArray[np.float64],
    flow: NDArray[np.float32],
    name: str,
    labels: dict[str, str],
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
            "text": labels.get(name, ""),
            "pts_s": pts_s[start : end + 1].tolist(),
            "scale": scale.tolist(),
            "mean_px": float(magnitude.mean()),
        }
        yield {
            "__key__": f"{name}-{number:04d}",
            "flow.jpg": plain_jpeg(mosaic, quality=95),
            "first.jpg": plain_jpeg(rgb[start], quality=92, subsampling=0),
            "last.jpg": plain_jpeg(rgb[end], quality=92, subsampling=0),
            "json": record,
        }


def plain_jpeg(picture: NDArray[np.uint8], **options: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", **options)
    return out.getvalue()


def plain_start(barrier: Any) -> None:
    """Import in the worker all that it needs, then wait until all workers have."""
    import cv2  # noqa: F401
    import decord
    import PIL.Image  # noqa: F401
    import webdataset  # noqa: F401

    decord.logging.set_level(decord.logging.QUIET)
    barrier.wait()


def time_plain(paths: list[str], labels: dict[str, str], skip_still: bool) -> Measured:
    """Times and number of windows of the plain script on `WORKERS` processes."""
    folder = fresh(CACHE / "plain")
    folder.mkdir()
    per_shard = -(-len(paths) // 16)  # as many shards as ingest writes
    tasks = [
        (paths[at : at + per_shard], labels, f"{folder}/{at:06d}-%06d.tar", skip_still)
        for at in range(0, len(paths), per_shard)
    ]
    barrier = SPAWN.Barrier(WORKERS + 1)
    with SPAWN.Pool(WORKERS, plain_start, (barrier,)) as pool:
        barrier.wait()
        clock = Clock()
        windows = sum(pool.starmap(plain, tasks, chunksize=1))
        return {**clock.read(), "windows": windows}


# --- clocks ---------------------------------------------------------------------------------------


class Clock:
    """Wall time since it was made, and CPU time of this process and all that descend from it."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s, self._busy_s = time.perf_counter(), cpu_s(), busy_s()

    def read(self) -> Measured:
        """Seconds, and the share of the machine that other processes took."""
        wall_s, own_s = time.perf_counter() - self._wall_s, cpu_s() - self._cpu_s
        others_s = max(0.0, busy_s() - self._busy_s - own_s)
        return {"wall": wall_s, "cpu": own_s, "others": others_s / wall_s / cores()}


def cpu_s() -> float:
    """CPU seconds so far of this process and of its descendants that are alive."""
    ticks, parents = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(entry)], ticks[int(entry)] = int(fields[1]), int(fields[11]) + int(fields[12])

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return sum(ticks[pid] for pid in ticks if is_ours(pid)) / os.sysconf("SC_CLK_TCK")


def busy_s() -> float:
    """CPU seconds that all processes of the machine have taken since it started."""
    words = Path("/proc/stat").read_text().split(maxsplit=4)
    return sum(map(int, words[1:4])) / os.sysconf("SC_CLK_TCK")


# --- decode only, flow only -----------------------------------------------------------------------


class Recorder:
    """A `FlowSource` that keeps the pairs it is asked for and answers with zero flow."""

    name, depth = "none", 0

    def __init__(self) -> None:
        self.pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []

    def submit(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> Callable[[], NDArray[np.float32]]:
        self.pairs.append((first, second))
        return lambda: np.zeros((*first.shape[:3], 2), np.float32)


def part_worker(pipe: Any, paths: list[str], config: IngestConfig) -> None:
    """Decode, or estimate flow, at each command of the pipe."""
    recorder, estimator = Recorder(), make_estimator(config.flow)
    for path in paths:
        list(estimate_flow(frames_of(path, config), recorder, config))
    estimator.estimate(*recorder.pairs[0])
    pipe.send(sum(len(first) for first, _ in recorder.pairs))
    for command in iter(pipe.recv, "stop"):
        started = time.perf_counter()
        if command == "decode only":
            for path in paths:
                for _ in frames_of(path, config):
                    pass
        else:
            for first, second in recorder.pairs:
                estimator.estimate(first, second)
        pipe.send(time.perf_counter() - started)


def frames_of(path: str, config: IngestConfig) -> Any:
    return open_video(path, config.video, Sampling(config.flow.size, config.flow.step_s))


class Parts:
    """The processes that decode only or estimate flow only; idle while others are timed."""

    def __init__(self, paths: list[str], config: IngestConfig) -> None:
        self._pipes = []
        for number in range(WORKERS):
            ours, theirs = SPAWN.Pipe()
            arguments = (theirs, paths[number::WORKERS], config)
            SPAWN.Process(target=part_worker, args=arguments, daemon=True).start()
            self._pipes.append(ours)
        self.steps = sum(pipe.recv() for pipe in self._pipes)

    def measure(self, command: str) -> Measured:
        """Let all of them do one thing."""
        clock = Clock()
        for pipe in self._pipes:
            pipe.send(command)
        taken: list[float] = [pipe.recv() for pipe in self._pipes]
        # The mean, as if the work were shared out evenly to the second.
        return {**clock.read(), "wall": statistics.mean(taken)}

    def stop(self) -> None:
        for pipe in self._pipes:
            pipe.send("stop")


# --- ingest ---------------------------------------------------------------------------------------


def ingest(source: str, dest: str, engine: str) -> Measured:
    """Ingest in this process; returns the seconds of each phase and what came of it."""
    times = {"begin": time.perf_counter()}
    work: Measured = {}
    clock: list[Clock] = []

    def follow(event: Event) -> None:
        if isinstance(event, Ready):
            times["ready"] = time.perf_counter()
            clock.append(Clock())
        elif isinstance(event, UnitDone):
            times["done"] = time.perf_counter()
            work.update(clock[0].read())  # holds what it was when the last unit was committed

    config = load_config(None, [f"run.engine={engine}", f"run.workers={WORKERS}"])
    prepared = prepare(Tree(source), Tree(dest), config, "auto")
    times["prepared"] = time.perf_counter()
    counts = execute(prepared, follow).dataset.counts
    times["end"] = time.perf_counter()
    moments = ("begin", "prepared", "ready", "done", "end")
    phases = zip(PHASES, moments[:-1], moments[1:], strict=True)
    return {
        **{phase: times[after] - times[before] for phase, before, after in phases},
        **work,
        "windows": counts.windows,
    }


def time_ingest(source: Path) -> Measured:
    """`ingest` in a process of its own, as the command runs it."""
    command = [sys.executable, __file__, "--ingest", str(source), str(fresh(CACHE / "ingest"))]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    whole_s = time.perf_counter() - started
    result: Measured = json.loads(done.stdout)
    result["imports, exit"] = whole_s - sum(result[phase] for phase in PHASES)
    result["whole command"] = whole_s
    return result


# --- measuring and printing -----------------------------------------------------------------------

INGEST, PLAIN, PLAIN_SKIPS = "**ingest**", "plain script", "plain script, no flow of still steps"


def compare(source: Path, rounds: int) -> None:
    paths = sorted(str(path) for path in source.rglob("*.webm"))
    labels = read_labels(source)
    parts = Parts(paths, load_config(None, []))
    turns: dict[str, Callable[[], Measured]] = {
        INGEST: lambda: time_ingest(source),
        "decode only": lambda: parts.measure("decode only"),
        PLAIN: lambda: time_plain(paths, labels, skip_still=False),
        "flow only": lambda: parts.measure("flow only"),
        PLAIN_SKIPS: lambda: time_plain(paths, labels, skip_still=True),
    }
    measured: dict[str, list[Measured]] = {name: [] for name in turns}
    for number in range(rounds):
        names = list(turns)
        first = number % len(names)  # each round begins with another one
        for name in names[first:] + names[:first]:
            measured[name].append(turns[name]())
            figures = {key: round(value, 2) for key, value in measured[name][-1].items()}
            print(f"round {number + 1}: {name}: {figures}", file=sys.stderr, flush=True)
    parts.stop()
    ours, theirs = (int(measured[name][0]["windows"]) for name in (INGEST, PLAIN))
    print(
        f"{len(paths)} clips, {parts.steps} steps of flow estimated; windows: ingest {ours}, plain "
        f"script {theirs}; {rounds} rounds, {WORKERS} processes\n"
    )
    print_tables(measured)


def print_tables(measured: dict[str, list[Measured]]) -> None:
    parts = zip(measured["decode only"], measured["flow only"], strict=True)
    measured["decode + flow"] = [
        {
            "wall": decode["wall"] + flow["wall"],
            "cpu": decode["cpu"] + flow["cpu"],
            "others": (decode["others"] + flow["others"]) / 2,
        }
        for decode, flow in parts
    ]
    others = ("decode + flow", PLAIN, PLAIN_SKIPS)
    print("| median (least to most) | wall s | CPU s | other work |\n|---|---|---|---|")
    for name in ("decode only", "flow only", *others, INGEST):
        wall, cpu, share = ([run[k] for run in measured[name]] for k in ("wall", "cpu", "others"))
        print(f"| {name} | {spread(wall)} | {spread(cpu)} | {statistics.median(share):.0%} |")
    print("\n| ingest over | wall | CPU |\n|---|---|---|")
    for name in others:
        pairs = list(zip(measured[INGEST], measured[name], strict=True))
        wall, cpu = ([ours[k] / theirs[k] for ours, theirs in pairs] for k in ("wall", "cpu"))
        print(f"| {name} | {spread(wall)} | {spread(cpu)} |")
    print("\n| phase of ingest | wall s |\n|---|---|")
    for phase in ("imports, exit", *PHASES, "whole command"):
        print(f"| {phase} | {spread([run[phase] for run in measured[INGEST]])} |")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def read_labels(source: Path) -> dict[str, str]:
    entries: list[dict[str, Any]] = []
    for split in ("train", "validation"):
        entries += json.loads((source / "labels" / f"{split}.json").read_text())
    return {entry["id"]: entry["label"] for entry in entries}


def corpus(clips: int) -> Path:
    """The rendered corpus, made once."""
    folder = CACHE / f"clips-{clips}"
    if not (folder / "labels" / "labels.json").exists():
        print(f"rendering {clips} clips", file=sys.stderr)
        write_ssv2_corpus(folder, clips)
    return folder


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ingest", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if arguments.ingest:
        # Ray's workers otherwise give way to any other process, as the other contestants do not.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
        print(json.dumps(ingest(arguments.ingest[0], arguments.ingest[1], "ray")))
    else:
        compare(corpus(arguments.clips), arguments.rounds)


if __name__ == "__main__":
    main()
