"""What it costs to read pictures from rows of Parquet files, as LeRobot keeps them, and from tars.

    python benchmarks/picture_rows.py --mib 1024

Writes noisy JPEGs of 1280x720 into a temporary folder as lerobot writes its rows (a row group an
episode of 300, two cameras) and as a tar, and samples every fifth of them in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

LENGTH = 300  # rows of an episode
CAMERAS = ("observation.images.top", "observation.images.wrist")


def pictures(count: int) -> list[bytes]:
    """Encoded pictures, all different."""
    import numpy as np
    from PIL import Image

    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        target = io.BytesIO()
        small = Image.fromarray(rng.integers(0, 256, (180, 320, 3), dtype=np.uint8))
        small.resize((1280, 720)).save(target, "JPEG", quality=95)
        found.append(target.getvalue())
    return found


def write(root: Path, mib: int) -> int:
    """A file of rows and a tar; returns how many episodes the first has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pictures(40)
    size = sum(map(len, data)) / len(data)
    episodes = max(1, round(mib * (1 << 20) / size / LENGTH / len(CAMERAS)))
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    plain = {"timestamp": pa.float32(), "episode_index": pa.int64()}
    schema = pa.schema([*(dict.fromkeys(CAMERAS, image) | plain).items()])
    with pq.ParquetWriter(root / "a.parquet", schema) as writer:
        for episode in range(episodes):
            each = [data[at % 40] + bytes([at % 256]) for at in range(LENGTH)]
            rows = [{"bytes": one, "path": "x"} for one in each]
            times = [at / 30 for at in range(LENGTH)]
            writer.write_table(pa.table([rows, rows, times, [episode] * LENGTH], schema))
    with tarfile.open(root / "a.tar", "w") as tar:
        for number in range(episodes * LENGTH):
            member = tarfile.TarInfo(f"frame_{number:010d}.jpg")
            member.size = len(data[number % 40])
            tar.addfile(member, io.BytesIO(data[number % 40]))
    print(f"{episodes} episodes; {(root / 'a.parquet').stat().st_size >> 20} MiB of rows, ", end="")
    print(f"{(root / 'a.tar').stat().st_size >> 20} MiB of tar, {size / 1024:.0f} KiB a picture")
    return episodes


def read(path: str, *places: str) -> None:
    """Sample every fifth picture of some sequences, in this process."""
    from sofdata.video.config import VideoConfig
    from sofdata.video.sampling import Sampling
    from sofdata.video.sequences.place import SequencePlace
    from sofdata.video.sequences.stream import SequenceStream

    before = peak_mib()
    began, cpu, count = time.monotonic(), time.process_time(), 0
    for place in places:
        sampling = Sampling(128, 1 / 6)
        found = SequenceStream(path, SequencePlace.parse(place), VideoConfig(), sampling)
        count += sum(len(frames.rgb) - 1 for frames in found) + 1
        del found  # before the next one unpacks a row group
    took = f"{time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
    print(f"{Path(path).name}: {count} frames in {took}; ", end="")
    print(f"peak memory {peak_mib()} MiB, of which {before} before")


def peak_mib() -> int:
    """Of this process; what its parent had counts in getrusage."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.read:
        read(*told.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        episodes = write(Path(folder), told.mib)
        rows = [f"parquet:{CAMERAS[0]}?episode={at}&fps=30" for at in range(episodes)]
        for name, places in (("a.parquet", rows), ("a.tar", ["tar:frame_*.jpg?fps=30"])):
            command = [sys.executable, __file__, "--read", f"{folder}/{name}", *places]
            # As in the decoding process: see `sofdata.video.isolate`.
            pool = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
            subprocess.run(command, check=True, env=os.environ | pool)


if __name__ == "__main__":
    main()
