"""Time of `ingest` on short clips, against its parts and against scripts for the same windows.

The clips are rendered (VP9, 427 x 240 px, 12 frames/s, 4 s) and kept under benchmarks/cache, or
those of a folder (`--real`), of which any that decord or sofdata cannot read is left out. Two
processes each run, in turn within every round:

- decode only: `open_video` over all clips;
- flow only: the estimator over decoded frames, for exactly the steps that `ingest` estimates;
- the scripts of scripts.py: one of the same error as `flow.quality=fine`, as it is and with the one
  trick added that saves `ingest` the flow of still steps; the first of these with Ray Data; one as
  most would write it; one with the flow of video2dataset;
- `ingest` itself with the defaults, so on the engine that `auto` takes.

Seconds are those of work alone: each contestant first starts its processes and imports what it
needs (Ray Data starts its actors within the work, Ray itself before). Beside the wall time stands
the CPU time of all processes of the contestant: on a machine with other work it is the steadier
figure. The share of the machine that such other work took meanwhile is printed too.

    python benchmarks/ingest_speed.py [--clips 100] [--rounds 5]
    python benchmarks/ingest_speed.py --real ../shared/clips

prints Markdown tables; about two minutes a round with 100 rendered clips on two cores, and one with
the shared ones. Rounds that have ended are kept under benchmarks/cache as long as neither sofdata
nor these scripts change, so that a command that was broken off goes on (`--fresh`: begin again).
Where the time of a worker goes is shown by ingest_stages.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import scripts
from numpy.typing import NDArray
from scripts import SPAWN, WORKERS

from sofdata.errors import SofdataError
from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.engines.crew import Crew
from sofdata.ingest.events import Event, Ready, UnitDone
from sofdata.ingest.run import execute, prepare
from sofdata.ingest.stages import estimate_flow
from sofdata.scenes import write_ssv2_corpus
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling

CACHE = Path(__file__).resolve().parent / "cache"
VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm")
Measured = dict[str, float]
PHASES = ("plan", "engine start", "work", "engine stop, tables")

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


@contextmanager
def begun_together() -> Iterator[None]:
    """Let no worker process take a unit before all have started, as the scripts' barrier does."""
    started: set[Any] = set()
    take, give_back = Crew.take, Crew.give_back

    def taken(crew: Crew) -> Any:
        return take(crew) if len(started) >= WORKERS else None

    def given_back(crew: Crew, worker: Any) -> None:
        started.add(worker)
        give_back(crew, worker)

    with patch.object(Crew, "take", taken), patch.object(Crew, "give_back", given_back):
        yield


def ingest(source: str, dest: str, engine: str = "auto") -> Measured:
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
    with begun_together():
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
    result = run_command([__file__, "--ingest", str(source), str(fresh(CACHE / "ingest"))])
    result["imports, exit"] = result["whole"] - sum(result[phase] for phase in PHASES)
    return result


def run_command(arguments: list[str]) -> Measured:
    """What a Python program prints as JSON, with the seconds that it took as a whole."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
    whole_s = time.perf_counter() - started
    result: Measured = json.loads(done.stdout.splitlines()[-1])
    return {**result, "whole": whole_s}


# --- measuring and printing -----------------------------------------------------------------------

INGEST, PARTS = "**ingest**", "decode + flow"
SAME, SKIPS = "script, the same error", "the same, no flow of still steps"
RAY_DATA, USUAL, FARNEBACK = "Ray Data, the same error", "script, DIS medium", "script, Farneback"
GOALS = {PARTS: 1.10, SAME: 0.75}


def turns_of(source: Path) -> tuple[dict[str, Callable[[], Measured]], Parts]:
    """What is measured, by name: each called once a round; and the processes of some."""
    paths, texts = videos_in(source), read_texts(source)
    parts = Parts(paths, load_config(None, []))

    def script(search: str, skip_still: bool = False) -> Callable[[], Measured]:
        folder = CACHE / "plain"
        return lambda: scripts.in_processes(paths, texts, fresh(folder), search, skip_still, Clock)

    turns: dict[str, Callable[[], Measured]] = {
        INGEST: lambda: time_ingest(source),
        "decode only": lambda: parts.measure("decode only"),
        SAME: script("tuned"),
        "flow only": lambda: parts.measure("flow only"),
        SKIPS: script("tuned", skip_still=True),
        RAY_DATA: lambda: time_ray_data(source),
        USUAL: script("medium"),
        FARNEBACK: script("farneback"),
    }
    return turns, parts


def time_ray_data(source: Path) -> Measured:
    """The script with Ray Data, in a process of its own."""
    program = Path(__file__).with_name("scripts.py")
    return run_command([str(program), "ray", str(source), str(fresh(CACHE / "ray-data"))])


def compare(source: Path, rounds: int, begin_again: bool) -> None:
    """Measure what is missing of the rounds, and print the tables."""
    store = CACHE / f"ingest-speed-{source.name}-{state_of_code()}.json"
    done: list[dict[str, Measured]] = []
    if store.exists() and not begin_again:
        done = json.loads(store.read_text())[:rounds]
        print(f"{len(done)} rounds are there already: {store}", file=sys.stderr)
    if len(done) < rounds:
        turns, parts = turns_of(source)
        while len(done) < rounds:
            done.append(one_round(turns, len(done)))
            store.write_text(json.dumps(done))
        parts.stop()
    measured = {name: [each[name] for each in done] for name in done[0]}
    ours, theirs = (int(measured[name][0]["windows"]) for name in (INGEST, SAME))
    print(
        f"{len(videos_in(source))} clips; windows: ingest {ours}, script {theirs}; "
        f"{rounds} rounds, {WORKERS} processes\n"
    )
    print_tables(measured)


def one_round(turns: dict[str, Callable[[], Measured]], number: int) -> dict[str, Measured]:
    """Each contestant once; each round begins with another one."""
    names, found = list(turns), dict[str, Measured]()
    first = number % len(names)
    for name in names[first:] + names[:first]:
        found[name] = turns[name]()
        figures = {key: round(value, 2) for key, value in found[name].items()}
        print(f"round {number + 1}: {name}: {figures}", file=sys.stderr, flush=True)
    return {name: found[name] for name in names}


def state_of_code() -> str:
    """A hash of sofdata and of what measures it, so that rounds of other code do not count."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in (
        *sorted((here.parent / "sofdata").rglob("*.py")),
        Path(__file__),
        here / "scripts.py",
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def print_tables(measured: dict[str, list[Measured]]) -> None:
    measured[PARTS] = [
        {
            "wall": decode["wall"] + flow["wall"],
            "cpu": decode["cpu"] + flow["cpu"],
            "others": (decode["others"] + flow["others"]) / 2,
        }
        for decode, flow in zip(measured["decode only"], measured["flow only"], strict=True)
    ]
    others = (PARTS, SAME, SKIPS, RAY_DATA, USUAL, FARNEBACK)
    print("| median (least to most) | wall s | CPU s | other work |\n|---|---|---|---|")
    for name in ("decode only", "flow only", *others, INGEST):
        wall, cpu, share = ([run[k] for run in measured[name]] for k in ("wall", "cpu", "others"))
        print(f"| {name} | {spread(wall)} | {spread(cpu)} | {statistics.median(share):.0%} |")
    for name in (INGEST, RAY_DATA):
        print(f"| {name}, whole command | {spread([run['whole'] for run in measured[name]])} | | |")
    print("\n| ingest over | wall | CPU | goal |\n|---|---|---|---|")
    for name in others:
        pairs = list(zip(measured[INGEST], measured[name], strict=True))
        wall, cpu = ([ours[k] / theirs[k] for ours, theirs in pairs] for k in ("wall", "cpu"))
        print(f"| {name} | {spread(wall)} | {spread(cpu)} | {verdict(name, wall, cpu)} |")
    print("\n| phase of ingest | wall s |\n|---|---|")
    for phase in ("imports, exit", *PHASES, "whole"):
        print(f"| {phase} | {spread([run[phase] for run in measured[INGEST]])} |")


def verdict(name: str, wall: list[float], cpu: list[float]) -> str:
    """Whether the medians of both ratios reach their goal; "" where there is none."""
    if name not in GOALS:
        return ""
    goal = GOALS[name]
    is_met = max(statistics.median(wall), statistics.median(cpu)) <= goal
    return f"at most {goal:.2f}: {'met' if is_met else '**missed**'}"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def read_texts(source: Path) -> dict[str, str]:
    """The text of each clip of a Something-Something corpus, by name; none of another folder."""
    files = [source / "labels" / f"{split}.json" for split in ("train", "validation")]
    entries = [entry for file in files if file.exists() for entry in json.loads(file.read_text())]
    return {entry["id"]: entry["label"] for entry in entries}


def videos_in(source: Path) -> list[str]:
    return sorted(str(path) for path in source.rglob("*") if path.suffix in VIDEOS)


def corpus(clips: int) -> Path:
    """The rendered corpus, made once."""
    folder = CACHE / f"clips-{clips}"
    if not (folder / "labels" / "labels.json").exists():
        print(f"rendering {clips} clips", file=sys.stderr)
        write_ssv2_corpus(folder, clips)
    return folder


def real_corpus(folder: Path) -> Path:
    """Copies of the videos right in a folder that decord and sofdata read, made once."""
    copies = CACHE / f"real-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
    if not copies.exists():
        partial = fresh(copies.with_suffix(".partial"))
        partial.mkdir(parents=True)
        for path in sorted(path for path in folder.iterdir() if path.suffix in VIDEOS):
            if why := unreadable(str(path)):
                print(f"left out: {path.name}: {why}", file=sys.stderr)
            else:
                shutil.copy(path, partial)
        partial.rename(copies)
    return copies


def unreadable(path: str) -> str:
    """Why a video is of no use here, "" if it is."""
    try:
        for _ in frames_of(path, load_config(None, [])):
            pass
        scripts.load_libraries()
        scripts.decode(path)
    except (SofdataError, OSError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - decord raises errors of its own
        return f"decord: {type(error).__name__}"
    return ""


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--real", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--ingest", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    # Ray's workers otherwise give way to any other process, as the other contestants do not.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    if arguments.ingest:
        print(json.dumps(ingest(*arguments.ingest)))
        return
    CACHE.mkdir(exist_ok=True)
    source = real_corpus(arguments.real) if arguments.real else corpus(arguments.clips)
    compare(source, arguments.rounds, arguments.fresh)


if __name__ == "__main__":
    main()
