"""Damaged videos: every mutation follows from its seed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sofdata.scenes import plan_clip, render, write_video

Rng = np.random.Generator

# What names a header in the containers that are made here: atoms, EBML elements, RIFF chunks.
_ATOMS = (
    *(b"ftyp", b"moov", b"mvhd", b"trak", b"tkhd", b"edts", b"elst", b"mdia", b"mdhd", b"hdlr"),
    *(b"minf", b"stbl", b"stsd", b"avc1", b"avcC", b"stts", b"stss", b"ctts", b"stsc", b"stsz"),
    *(b"stco", b"mdat", b"free"),
)
_ELEMENTS = (
    *(b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66"),
    *(b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"\x2a\xd7\xb1", b"\x44\x89"),
    *(b"\xae\x80", b"\xb0\x82", b"\xba\x81", b"\xe7\x81", b"\xa3\x40"),
)
_CHUNKS = (b"RIFF", b"LIST", b"avih", b"strl", b"strh", b"strf", b"movi", b"00dc", b"idx1")
_TAGS = (*_ATOMS, *_ELEMENTS, *_CHUNKS)
_VALUES = (0, 1, 2, 8, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def write_originals(folder: Path, shared: Path | None = None, most_bytes: int = 200_000) -> None:
    """Sound videos to mutate: four codecs in four containers, and small real ones if there are."""
    folder.mkdir(parents=True)
    for index, (suffix, codec) in enumerate(
        (("webm", "vp9"), ("mp4", "h264"), ("avi", "mpeg4"), ("webm", "vp8"), ("mkv", "h264"))
    ):
        frames = [frame[:, :426] for frame in render(plan_clip(index, seed=3, seconds=2.0))]
        write_video(folder / f"{codec}-{index}.{suffix}", frames, codec=codec)
    for path in sorted(shared.iterdir()) if shared else ():
        if path.suffix != ".tsv" and path.is_file() and path.stat().st_size <= most_bytes:
            shutil.copyfile(path, folder / path.name)


def mutants(originals: Path, target: Path, first: int, number: int, seed: int) -> list[Path]:
    """Write the mutants `first` ... `first + number - 1` of a seed; returns their paths."""
    sound = [(path, path.read_bytes()) for path in sorted(originals.iterdir())]
    written = []
    for index in range(first, first + number):
        rng = np.random.default_rng((seed, index))
        path, data = sound[index % len(sound)]
        names = list(MUTATIONS)
        name = names[index // len(sound) % len(names)]
        other = sound[int(rng.integers(len(sound)))][1]
        damaged = MUTATIONS[name](bytearray(data), other, rng)
        written.append(target / f"{index:05d}-{name}-{path.stem}{path.suffix}")
        written[-1].write_bytes(damaged)
    return written


def _flip_bits(data: bytearray, _: bytes, rng: Rng) -> bytes:
    """Flip 1 to 1000 bits anywhere."""
    for place in rng.integers(len(data), size=int(10 ** rng.uniform(0, 3))):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _flip_head(data: bytearray, _: bytes, rng: Rng) -> bytes:
    """Flip bits where headers are."""
    for place in rng.integers(min(4096, len(data)), size=int(rng.integers(1, 20))):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _truncate(data: bytearray, _: bytes, rng: Rng) -> bytes:
    return bytes(data[: int(rng.integers(1, len(data)))])


def _edit_header(data: bytearray, other: bytes, rng: Rng) -> bytes:
    """Put awkward sizes, counts and durations around a few headers."""
    places = _headers(data)
    for _ in range(int(rng.integers(1, 4))):
        place = places[int(rng.integers(len(places)))] + 4 * int(rng.integers(-1, 8))
        value = _VALUES[int(rng.integers(len(_VALUES)))]
        if 0 <= place <= len(data) - 4:
            data[place : place + 4] = value.to_bytes(4, "big" if rng.random() < 0.5 else "little")
    return bytes(data)


def _splice(data: bytearray, other: bytes, rng: Rng) -> bytes:
    """The head of one video, the tail of another."""
    return bytes(data[: int(rng.integers(len(data)))]) + other[int(rng.integers(len(other))) :]


def _zero(data: bytearray, _: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(len(data), size=2))
    data[start:end] = bytes(end - start)
    return bytes(data)


def _duplicate(data: bytearray, _: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(len(data), size=2))
    return bytes(data[:end]) + bytes(data[start:])


def _drop(data: bytearray, _: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(len(data), size=2))
    return bytes(data[:start]) + bytes(data[end:])


def _headers(data: bytearray) -> list[int]:
    """Where headers begin."""
    places = [0]
    for tag in _TAGS:
        place = data.find(tag)
        while place >= 0 and len(places) < 1000:
            places.append(place)
            place = data.find(tag, place + 1)
    return places


MUTATIONS: dict[str, Callable[[bytearray, bytes, Rng], bytes]] = {
    "bits": _flip_bits,
    "header": _edit_header,
    "truncated": _truncate,
    "head": _flip_head,
    "spliced": _splice,
    "header2": _edit_header,
    "zeroed": _zero,
    "duplicated": _duplicate,
    "dropped": _drop,
}
