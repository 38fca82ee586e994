"""What one GPU gives: decoding, learned flow and a whole ingest, in ten minutes.

From a bare machine with one NVIDIA GPU and its driver, and the wheels in a folder (or an index):

    python3 -m venv .venv
    .venv/bin/pip install --find-links WHEELS '.[cluster,ptlflow]' PyNvVideoCodec nvidia-ml-py
    .venv/bin/python benchmarks/gpu.py [--minutes 10] [--json gpu.json]

prints Markdown tables, and writes the same figures as JSON:

- decode on the CPU: `open_video` to 128 px, on one core and on all;
- decode on the GPU: every frame by NVDEC through PyNvVideoCodec, where that is installed, reduced
  to 128 px there; on one stream and on four;
- flow: NeuFlow v2 and RAFT of ptlflow in each precision, at the size that `flow.estimator=auto`
  takes, in batches up to the largest that fits (`flow.batch_pairs: auto`). Weights are drawn from a
  seed, since speed does not depend on them: no flow computed here means anything;
- end to end: `ingest` of rendered clips with flow on the GPU and decoding on all cores, with the
  share of time in which the GPU computes nothing, from NVML (nvidia-ml-py), asked ten times a
  second.

Without a GPU everything but NVDEC runs small on the CPU, in about a minute, to show that it works.
No figure of a GPU stands in this project until one has given it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import make_estimator, resolve
from sofdata.flow.learned import AUTO_SIZE
from sofdata.ingest.config import IngestConfig, load_config
from sofdata.ingest.run import execute, prepare
from sofdata.scenes import write_ssv2_corpus
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.system.extras import is_installed
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.video.writer import write_video

MODELS = ("ptlflow:neuflow2", "ptlflow:raft")
DTYPES = ("float32", "bfloat16", "float16")
SIDE = 128  # `flow.size`
SPAWN = multiprocessing.get_context("spawn")
FILMS = {  # what is decoded: codec, height, width, frames a second
    "VP9 240p": ("vp9", 240, 428, 12),
    "H.264 1080p": ("h264", 1080, 1920, 30),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done. seconds: of each measurement, at least one pass."""

    cuda: bool
    seconds: float
    clips: int
    film_s: float
    most_pairs: int
    model_size: tuple[int, int]
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, cuda: bool, minutes: float) -> Scale:
        """What fits into so many minutes on a GPU; on a CPU, what shows that it works."""
        if cuda:  # some thirty measurements and their start-up share the time
            return cls(True, minutes * 60 / 60, 300, 20.0, 512, AUTO_SIZE, DTYPES)
        return cls(False, 0.5, 4, 1.0, 2, (128, 128), ("float32",))


@dataclass(slots=True)
class Found:
    """The figures, by table: each row a name and its values."""

    machine: dict[str, Any] = field(default_factory=dict)
    decode: list[dict[str, Any]] = field(default_factory=list)
    flow: list[dict[str, Any]] = field(default_factory=list)
    ingest: list[dict[str, Any]] = field(default_factory=list)


# --- measuring ------------------------------------------------------------------------------------


def rate(work: Callable[[], int], seconds: float) -> float:
    """Items a second: `work` is called until so many seconds are over, and returns its items."""
    work()  # what is done once only: kernels, caches
    began, items = time.perf_counter(), 0
    while (taken_s := time.perf_counter() - began) < seconds or not items:
        items += work()
    return items / taken_s


def films(folder: Path, scale: Scale) -> dict[str, str]:
    """Rendered films by name of their kind."""
    made = {}
    for name, (codec, height, width, fps) in FILMS.items():
        path = folder / f"{name.replace(' ', '-')}.{'webm' if codec == 'vp9' else 'mp4'}"
        frames = moving(round(scale.film_s * fps), height, width)
        write_video(path, frames, fps=fps, codec=codec)
        made[name] = str(path)
    return made


def moving(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Frames [H,W,3] of a texture that moves, as films of a camera do."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    for number in range(count):
        yield np.roll(picture, (number, 3 * number), axis=(0, 1))


# --- decoding -------------------------------------------------------------------------------------


def decode_once(path: str) -> int:
    """Decode every frame of a film to 128 px on this core; returns how many."""
    stream = open_video(path, VideoConfig(), Sampling(SIDE, 1e-4))
    return sum(len(frames) for frames in stream)


def decode_for(path: str, seconds: float) -> float:
    """Frames a second of one process."""
    return rate(lambda: decode_once(path), seconds)


def decode_on_cpu(path: str, processes: int, seconds: float) -> float:
    """Frames a second of several processes together."""
    if processes == 1:
        return decode_for(path, seconds)
    with SPAWN.Pool(processes) as pool:
        return sum(pool.starmap(decode_for, [(path, seconds)] * processes))


def decode_on_gpu(path: str, streams: int, seconds: float) -> float:
    """Frames a second of NVDEC on several threads, each frame reduced to 128 px on the GPU."""
    rates = [0.0] * streams

    def run(number: int) -> None:
        rates[number] = rate(lambda: nvdec_once(path), seconds)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def nvdec_once(path: str, batch: int = 16) -> int:
    """Decode every frame of a film by NVDEC; returns how many."""
    import PyNvVideoCodec
    import torch
    from torch.nn import functional
    from torch.utils.dlpack import from_dlpack

    planes = PyNvVideoCodec.OutputColorType.RGBP
    decoder = PyNvVideoCodec.ThreadedDecoder(path, 4 * batch, output_color_type=planes)
    count = 0
    try:
        while frames := decoder.get_batch_frames(batch):
            pictures = torch.stack([from_dlpack(frame) for frame in frames]).float()
            functional.interpolate(pictures, (SIDE, SIDE), mode="area")
            count += len(frames)
        torch.cuda.synchronize()
    finally:
        decoder.end()
    return count


def measure_decode(found: Found, paths: dict[str, str], scale: Scale) -> None:
    for name, path in paths.items():
        for processes in dict.fromkeys((1, cores())):
            figure = decode_on_cpu(path, processes, scale.seconds)
            found.decode.append(row(film=name, by=f"CPU, {processes} cores", frames_per_s=figure))
        if not (scale.cuda and is_installed("PyNvVideoCodec")):
            continue
        for streams in (1, 4):
            figure = decode_on_gpu(path, streams, scale.seconds)
            found.decode.append(row(film=name, by=f"NVDEC, {streams} streams", frames_per_s=figure))


# --- flow -----------------------------------------------------------------------------------------


def flow_config(model: str, dtype: str, scale: Scale, pairs: int | str) -> FlowConfig:
    return FlowConfig(
        estimator=model,
        checkpoint="random",
        device="cuda" if scale.cuda else "cpu",
        dtype=dtype,
        size=SIDE,
        model_size=scale.model_size,
        batch_pairs=pairs,
    )


def measure_flow(found: Found, scale: Scale) -> None:
    """Pairs a second by model, precision and size of batch, up to the largest that fits."""
    for model in MODELS:
        for dtype in scale.dtypes:
            most = resolve(flow_config(model, dtype, scale, "auto")).batch_pairs
            assert isinstance(most, int)
            for pairs in batches(min(most, scale.most_pairs)):
                figure = pairs_per_s(flow_config(model, dtype, scale, pairs), pairs, scale)
                found.flow.append(
                    row(model=model, dtype=dtype, batch=pairs, auto=most, pairs_per_s=figure)
                )


def batches(most: int) -> list[int]:
    """1, 4, 16, ... and the largest."""
    return sorted({*(4**power for power in range(6) if 4**power < most), most})


def pairs_per_s(config: FlowConfig, pairs: int, scale: Scale) -> float:
    estimator = make_estimator(config)
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, pairs, SIDE, SIDE, 3), np.uint8)
    return rate(lambda: len(estimator.estimate(first, second)), scale.seconds)


# --- end to end -----------------------------------------------------------------------------------


class Idle:
    """How much of a time the GPU computed nothing, by NVML. None where that is not to be had."""

    def __init__(self) -> None:
        self.share: float | None = None
        self._busy: list[int] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask ten times a second until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._ask, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if self._busy:
                self.share = 1 - sum(self._busy) / len(self._busy) / 100

    def _ask(self, ended: threading.Event) -> None:
        with suppress(ImportError):
            import pynvml

            with suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                device = pynvml.nvmlDeviceGetHandleByIndex(0)
                while not ended.wait(0.1):
                    self._busy.append(pynvml.nvmlDeviceGetUtilizationRates(device).gpu)


def measure_ingest(found: Found, folder: Path, scale: Scale) -> None:
    """Frames a second of whole ingests, flow in each precision of the first model."""
    source = folder / "clips"
    write_ssv2_corpus(source, videos=scale.clips, seconds=4.0 if scale.cuda else 2.0)
    for dtype in scale.dtypes:
        dest, idle = folder / f"dataset-{dtype}", Idle()
        prepared = prepare(Tree(str(source)), Tree(str(dest)), ingest_config(dtype, scale), "auto")
        with idle.watching():
            summary = execute(prepared, lambda event: None)
        found.ingest.append(
            row(
                model=MODELS[0],
                dtype=dtype,
                batch=prepared.job.config.flow.batch_pairs,
                frames_per_s=summary.frames / summary.work_s,
                windows=summary.dataset.counts.windows,
                start_s=summary.start_up_s,
                gpu_waits=idle.share,
            )
        )
        shutil.rmtree(dest)


def ingest_config(dtype: str, scale: Scale) -> IngestConfig:
    flow = flow_config(MODELS[0], dtype, scale, "auto")
    engine = "ray" if scale.cuda else "inline"
    stated = flow.model_dump(mode="json", include={"estimator", "checkpoint", "device", "dtype"})
    settings = [f"flow.{name}={value}" for name, value in stated.items()]
    settings += [f"flow.model_size={list(scale.model_size)}", f"run.engine={engine}"]
    settings += ["windows.static_px=0", "windows.min_texture=0"]  # random flow: all windows count
    return load_config(None, settings)


# --- printing -------------------------------------------------------------------------------------


def row(**values: Any) -> dict[str, Any]:
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}


def machine(scale: Scale) -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    stated = {"date": time.strftime("%Y-%m-%d"), "cores": cores(), "torch": torch.__version__}
    stated |= {"python": platform.python_version(), "gpu": "none: a trial on the CPU"}
    if scale.cuda:
        properties = torch.cuda.get_device_properties(0)
        stated |= {"gpu": properties.name, "gpu_memory_mib": properties.total_memory >> 20}
        stated |= {"cuda": torch.version.cuda, "nvdec": is_installed("PyNvVideoCodec")}
    return stated


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as Markdown, a column for each key of the first."""
    if not rows:
        return "nothing was measured"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(map(str, each.values())) + " |" for each in rows]
    return "\n".join(lines)


def measure(scale: Scale) -> Found:
    """All figures. What a model cannot do here is said, and the rest goes on."""
    found = Found(machine(scale))
    with tempfile.TemporaryDirectory(prefix="sofgpu") as name:
        folder = Path(name)
        steps: dict[str, Callable[[], None]] = {
            "decode": lambda: measure_decode(found, films(folder, scale), scale),
            "flow": lambda: measure_flow(found, scale),
            "ingest": lambda: measure_ingest(found, folder, scale),
        }
        for what, step in steps.items():
            began = time.perf_counter()
            try:
                step()
            except ConfigError as error:
                found.machine[f"{what}_failed"] = str(error)
            print(f"{what}: {time.perf_counter() - began:.0f} s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    found = measure(Scale.of(torch.cuda.is_available(), arguments.minutes))
    for title, rows in asdict(found).items():
        print(f"\n## {title}\n")
        print(table(rows if isinstance(rows, list) else [rows]))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(found), indent=1))


if __name__ == "__main__":
    main()
