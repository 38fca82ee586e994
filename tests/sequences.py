"""Pictures that carry their number, as files and formats of sequences hold them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.tar import read_samples
from sofdata.types import Frames
from tests.conformance.barcode import draw, read

WIDTH, HEIGHT = 192, 128


def encoded(number: int, kind: str = "JPEG", **options: object) -> bytes:
    """The picture of this number (0 to 255), encoded by Pillow."""
    return image_bytes(draw(number, WIDTH, HEIGHT), kind, **options)


def image_bytes(rgb: NDArray[np.uint8], kind: str = "JPEG", **options: object) -> bytes:
    """An array [H,W,3], or [H,W], encoded by Pillow."""
    target = io.BytesIO()
    quality = {"quality": 95} if kind == "JPEG" else {}
    Image.fromarray(rgb).save(target, kind, **quality, **options)
    return target.getvalue()


def write_frames(
    folder: Path, numbers: Iterable[int], pattern: str = "frame_{:06d}.jpg", kind: str = "JPEG"
) -> Path:
    """A folder of numbered pictures, each of which carries its own number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / pattern.format(number)).write_bytes(encoded(number, kind))
    return folder


def write_frames_tar(
    path: Path, numbers: Iterable[int], pattern: str = "frame_{:010d}.jpg", **files: bytes
) -> Path:
    """A tar of numbered pictures that carry their numbers, and of other files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = [(pattern.format(number), encoded(number)) for number in numbers]
    with tarfile.open(path, "w") as tar:
        for name, data in [*members, *((f"{name}.txt", data) for name, data in files.items())]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def numbers_of(chunks: Iterable[Frames]) -> list[int | None]:
    """The numbers that sampled frames carry; each chunk begins with the last frame of the one
    before."""
    found: list[int | None] = []
    for chunk in chunks:
        first = 1 if found else 0
        found += [read(rgb).number for rgb in chunk.rgb[first:]]
    return found


def samples(dest: Path) -> Iterator[DecodedSample]:
    """The windows of a dataset, shard by shard."""
    for shard in sorted((dest / "shards").glob("*.tar")):
        with shard.open("rb") as stream:
            for key, _, members in read_samples(stream, shard.name):
                yield decode_sample(key, members)


def wrong_frames(dest: Path, fps: float, first: dict[str, int]) -> list[str]:
    """Windows whose first or last frame is not the one of its time; none where all is right.

    first: the number that the picture at 0 s carries, for each video.
    """
    wrong = []
    for sample in samples(dest):
        record = sample.record
        ends = zip((sample.first, sample.last), (record.pts_s[0], record.pts_s[-1]), strict=True)
        for rgb, time_s in ends:
            wanted = first[record.source] + round(fps * time_s)
            if (found := read(rgb).number) != wanted:
                wrong.append(f"{record.key} at {time_s:.3f} s: {found}, expected {wanted}")
    return wrong
