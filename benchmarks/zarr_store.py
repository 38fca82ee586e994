"""What it takes to read a large Zarr store: memory and CPU time of the process that decodes.

    python benchmarks/zarr_store.py --gib 20
    python benchmarks/zarr_store.py --members 700000

The first reads every 20th picture of a folder of raw pictures, 480 x 640, one a chunk; all but a
few of its files are hard links, so that it takes hardly any room. The second looks into a zip of
JPEG XL pictures of 16 x 16 px, of as many members as UMI's largest store, and reads two episodes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import zipfile
from pathlib import Path

import imagecodecs
import imagecodecs.numcodecs
import numpy as np
import psutil
import zarr

from sofdata.video.config import VideoConfig
from sofdata.video.isolate import DecoderProcess
from sofdata.video.limits import LimitConfig
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.isolated import RecordReader
from sofdata.video.sequences.place import SequencePlace

DIFFERENT = 8  # pictures
FPS = 10.0
EPISODES = 100


def write_folder(path: Path, gib: float) -> int:
    """A store of so many GiB; gives the number of pictures."""
    shape = (480, 640, 3)
    rows = int(gib * 2**30 / np.prod(shape))
    root = zarr.create_group(path, zarr_format=2)
    array = root.create_array(
        "img", shape=(rows, *shape), chunks=(1, *shape), dtype="u1", compressors=None
    )
    array[:DIFFERENT] = np.random.default_rng(0).integers(0, 256, (DIFFERENT, *shape), np.uint8)
    for row in range(DIFFERENT, rows):
        os.link(path / f"img/{row % DIFFERENT}.0.0.0", path / f"img/{row}.0.0.0")
    return rows


def write_zip(path: Path, members: int) -> int:
    """A zip of UMI's layout; gives the number of rows of an episode."""
    packed = [
        imagecodecs.jpegxl_encode(np.full((16, 16, 3), 30 * number, np.uint8))
        for number in range(DIFFERENT)
    ]
    imagecodecs.numcodecs.register_codecs(["imagecodecs_jpegxl"], verbose=False)
    files = zarr.storage.ZipStore(path, mode="w")
    root = zarr.create_group(files, zarr_format=2)
    root.create_array(
        "data/camera0_rgb",
        shape=(members, 16, 16, 3),
        chunks=(1, 16, 16, 3),
        dtype="u1",
        compressors=imagecodecs.numcodecs.Jpegxl(),
    )
    ends = np.arange(1, EPISODES + 1) * (members // EPISODES)
    array = root.create_array("meta/episode_ends", shape=ends.shape, dtype="i8")
    array[:] = ends
    files.close()
    with zipfile.ZipFile(path, "a") as archive:
        for row in range(members):
            archive.writestr(f"data/camera0_rgb/{row}.0.0.0", packed[row % DIFFERENT])
    return members // EPISODES


def read(process: DecoderProcess, path: str, place: SequencePlace, step_s: float) -> int:
    """Decode a sequence; gives the number of frames."""
    wanted = Sampling(size=128, step_s=step_s)
    stream = process.open(path, VideoConfig(), wanted, "pyav", sequence=place.text)
    return 1 + sum(
        len(chunk) - 1 for chunk in stream
    )  # each begins with the last of the one before


def report(what: str, process: DecoderProcess, since_s: float = 0.0) -> float:
    """Print peak memory and CPU time of the child; gives the latter."""
    assert process._child is not None
    child = psutil.Process(process._child.pid)
    status = Path(f"/proc/{child.pid}/status").read_text()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    cpu = child.cpu_times()
    cpu_s = float(cpu.user + cpu.system)
    print(f"{what}: {cpu_s - since_s:.1f} s of CPU, peak {peak_kib / 1024:.0f} MiB")
    return cpu_s


def folder(root: Path, gib: float) -> None:
    rows = write_folder(root / "a.zarr", gib)
    process = DecoderProcess(LimitConfig())
    place = SequencePlace.of("zarr", "img", fps=FPS)
    frames = read(process, f"{root}/a.zarr/", place, step_s=20 / FPS)
    report(f"{rows} pictures, {gib:g} GiB; {frames} frames", process)
    process.close()


def members(root: Path, count: int) -> None:
    path = root / "a.zarr.zip"
    each = write_zip(path, count)
    reader = RecordReader(LimitConfig())
    reader.look(str(path), "zarr")
    since_s = report(f"a look into {count} members", reader._process)
    for number in (0, 1):
        place = SequencePlace.of(
            "zarr", "data/camera0_rgb", fps=FPS, start=number * each, end=(number + 1) * each
        )
        frames = read(reader._process, str(path), place, step_s=20 / FPS)
        what = f"episode {number}, {each} rows; {frames} frames"
        since_s = report(what, reader._process, since_s)
    reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float)
    parser.add_argument("--members", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if args.gib:
            folder(Path(temporary), args.gib)
        if args.members:
            members(Path(temporary), args.members)


if __name__ == "__main__":
    main()
