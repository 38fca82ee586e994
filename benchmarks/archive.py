"""What it costs to read clips from an archive in parts: the first pass, then clips in any order.

    python benchmarks/archive.py --mb 800 [--zipped]

Writes clips of 88 kB of random bytes, the mean size of those of Something-Something V2, as a
tar.gz in parts of 200 MB into a temporary folder, and needs twice their room there.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FOLDER = "20bn-something-something-v2"
CLIP_BYTES = 88_000
READ = 300


def write(root: Path, clips: int, zipped: bool) -> None:
    """An archive in parts, with a label file."""
    source = root / "unpacked" / FOLDER
    source.mkdir(parents=True)
    for number in range(clips):
        # Some of it uneven, so that gzip has codes to make, as it has with video.
        uneven = bytes(random.Random(number).choices(range(230), k=CLIP_BYTES // 3))
        (source / f"{number}.webm").write_bytes(uneven + os.urandom(CLIP_BYTES - len(uneven)))
    parts = root / "parts"
    (parts / "labels").mkdir(parents=True)
    (parts / "labels" / "train.json").write_text('[{"id": "0", "label": "pushing it"}]')
    tar = subprocess.Popen(["tar", "czf", "-", FOLDER], cwd=source.parent, stdout=subprocess.PIPE)
    split = ["split", "-b", "200M", "-d", "-", str(parts / f"{FOLDER}-")]
    subprocess.run(split, stdin=tar.stdout, check=True)
    if tar.wait():
        raise SystemExit("tar failed")
    if zipped:
        for part in sorted(parts.glob(f"{FOLDER}-*")):
            with zipfile.ZipFile(f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(part, part.name)
            part.unlink()


def timed(what: Callable[[], T]) -> tuple[T, str]:
    began, cpu = time.monotonic(), time.process_time()
    value = what()
    return value, f"{time.monotonic() - began:.2f} s, {time.process_time() - cpu:.2f} s of CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--zipped", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["SOFDATA_CACHE"] = str(root / "cache")
        write(root, chosen.mb * 1_000_000 // CLIP_BYTES, chosen.zipped)
        measure(root)


def measure(root: Path) -> None:
    from sofdata.corpora.ssv2 import SomethingSomethingV2
    from sofdata.storage.tree import Tree

    tree = Tree(str(root / "parts"))
    listing, took = timed(lambda: SomethingSomethingV2().listing(tree))
    size = sum(entry.size_bytes for entry in listing.entries)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"pass over {len(listing.entries)} clips, {size / 1e6:.0f} MB: {took}, {peak:.0f} MiB")
    index = sum(path.stat().st_size for path in (root / "cache").rglob("*") if path.is_file())
    print(f"index: {index / 1e6:.1f} MB")
    print(f"listing again: {timed(lambda: SomethingSomethingV2().listing(tree))[1]}")
    some = random.Random(0).sample(listing.entries, min(READ, len(listing.entries)))

    def read() -> None:
        for entry in some:
            with tree.local_copy(entry.uri):
                pass

    print(f"{len(some)} clips in any order: {timed(read)[1]}")


if __name__ == "__main__":
    main()
