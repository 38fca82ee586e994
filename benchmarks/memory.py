"""Peak memory of one worker on a long 1080p video.

A clip is scaled to 1920 x 1080, encoded as H.264 at 30 frames/s (with B-frames, a key frame every
ten seconds or less) and repeated without encoding it again until it lasts an hour; the film is kept
under benchmarks/cache. `sofdata ingest` then runs on it with one worker, on each engine, while the
resident memory of all its processes is read from /proc every quarter of a second.

- inline: one process does everything.
- ray: the worker is the actor that computes flow together with the process that decodes for it.
  The command's own process and Ray's processes are listed beside it; they do not grow with the
  number of videos.

Resident sizes are added up, so that libraries which two processes share count twice. `quarters` are
the largest sums in each quarter of the run: they show whether memory grows with the video.

    python benchmarks/memory.py [--minutes 60] [--engines inline ray]

prints a Markdown table; about fifteen minutes an engine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.scenes import moving_texture, write_video

LIMIT_MIB = 700
SAMPLE_S = 0.25
FPS, HEIGHT, WIDTH, SEGMENT_FRAMES = 30, 1080, 1920, 300
CACHE = Path(__file__).resolve().parent / "cache"
CLIP = Path(__file__).resolve().parents[2] / "shared" / "clips" / "sam2_02_cups.mp4"
X264 = {"preset": "faster", "crf": "23", "g": str(SEGMENT_FRAMES)}


@dataclass(frozen=True)
class Sample:
    """Resident MiB of the processes of a run at one moment, by kind."""

    at_s: float
    mib: dict[str, float]


# --- the film -------------------------------------------------------------------------------------


def make_film(minutes: float) -> Path:
    """The long video, made once."""
    film = CACHE / f"film-{minutes:g}min" / "film.mp4"
    if film.exists():
        return film
    film.parent.mkdir(parents=True, exist_ok=True)
    segment, unfinished = film.parent / "segment.mp4", film.parent / "unfinished.mp4"
    write_video(segment, segment_frames(), FPS, "h264", options=X264)
    repeat(segment, unfinished, round(minutes * 60 * FPS / SEGMENT_FRAMES))
    segment.unlink()
    return unfinished.rename(film)


def segment_frames() -> Iterator[NDArray[np.uint8]]:
    """Ten seconds in 1080p: a real clip, or a rendered texture where it is not at hand."""
    import av
    import cv2

    def enlarged(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        large = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        return np.asarray(large, np.uint8)

    if not CLIP.exists():
        yield from map(enlarged, moving_texture(1.5, 1, SEGMENT_FRAMES, (270, 480)))
        return
    with av.open(str(CLIP)) as video:
        for number, frame in enumerate(video.decode(video=0)):
            if number < SEGMENT_FRAMES:
                yield enlarged(frame.to_ndarray(format="rgb24"))


def repeat(segment: Path, film: Path, times: int) -> None:
    """Write a video's packets one after the other, `times` times."""
    import av

    with av.open(str(film), "w") as out:
        stream: Any = None
        offset = 0
        for _ in range(times):
            with av.open(str(segment)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                ticks = round(SEGMENT_FRAMES / FPS / video.time_base)
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue  # the empty packet at the end
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    out.mux(packet)
                offset += ticks


# --- the run --------------------------------------------------------------------------------------


def run(film: Path, engine: str) -> tuple[float, list[Sample]]:
    """Ingest the film; returns the seconds it took and the samples."""
    dest = CACHE / f"memory-{engine}"
    shutil.rmtree(dest, ignore_errors=True)
    command = [sys.executable, "-m", "sofdata", "ingest", str(film.parent), str(dest)]
    options = ["--engine", engine, "--workers", "1", "--quiet", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    samples = []
    started = time.monotonic()
    process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        samples.append(Sample(time.monotonic() - started, resident(process.pid, engine)))
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"ingest ended with exit code {process.returncode}")
    return time.monotonic() - started, samples


def resident(root: int, engine: str) -> dict[str, float]:
    """Resident MiB of a process and all that descend from it, added up by kind."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := parent_of(int(entry))) is not None:
            children.setdefault(parent, []).append(int(entry))
    sums: dict[str, float] = {}

    def visit(pid: int, inherited: str) -> None:
        kind = kind_of(pid, inherited)
        sums[kind] = sums.get(kind, 0.0) + resident_mib(pid)
        for child in children.get(pid, []):
            visit(child, kind if kind.startswith("worker") else "Ray's own")

    visit(root, "worker" if engine == "inline" else "command")
    sums["worker"] = sum(mib for kind, mib in sums.items() if kind.startswith("worker"))
    return sums


def kind_of(pid: int, inherited: str) -> str:
    words = read(pid, "cmdline").replace("\0", " ")
    if words.startswith("ray::UnitWorker"):
        return "worker: flow, windows, shards"
    if "sofdata.video.child" in words:
        return "worker: decoding"
    return inherited


def parent_of(pid: int) -> int | None:
    fields = read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else None


def resident_mib(pid: int) -> float:
    fields = read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if fields else 0.0


def read(pid: int, name: str) -> str:
    """A file of /proc; "" once the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


# --- the table ------------------------------------------------------------------------------------


def print_rows(engine: str, wall_s: float, samples: list[Sample]) -> bool:
    """Print a row a kind of process; returns whether the worker stayed below the limit."""
    kinds = sorted({kind for sample in samples for kind in sample.mib}, key=lambda k: (k[:1], k))
    for kind in kinds:
        quarters = [0.0] * 4
        for sample in samples:
            quarter = int(4 * sample.at_s / wall_s)
            quarters[quarter] = max(quarters[quarter], sample.mib.get(kind, 0.0))
        name = f"**{kind}**" if kind == "worker" else kind
        peaks = ", ".join(f"{part:.0f}" for part in quarters)
        print(f"| {engine} | {name} | {max(quarters):.0f} | {peaks} | {wall_s:.0f} |", flush=True)
    return max(sample.mib["worker"] for sample in samples) < LIMIT_MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="length of the film")
    parser.add_argument("--engines", nargs="+", default=["inline", "ray"])
    arguments = parser.parse_args()
    film = make_film(arguments.minutes)
    size_mib = film.stat().st_size / 2**20
    print(f"film: {arguments.minutes:g} min of {WIDTH} x {HEIGHT}, {size_mib:.0f} MiB\n")
    print("| engine | processes | peak MiB | quarters MiB | wall s |\n|---|---|---|---|---|")
    below = [print_rows(engine, *run(film, engine)) for engine in arguments.engines]
    print(f"\nworker below {LIMIT_MIB} MiB: {'yes' if all(below) else 'NO'}")
    if not all(below):
        sys.exit(1)


if __name__ == "__main__":
    main()
