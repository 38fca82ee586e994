"""Zarr stores as Diffusion Policy, UMI and others write them, made by the library zarr.

Every picture carries its row's number; the action of row n is (n, n / 2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from sofdata.video.sequences import zarr as reader
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.place import SequencePlace
from tests.conformance.barcode import draw, read
from tests.sequences import HEIGHT, WIDTH

PICTURE = (HEIGHT, WIDTH, 3)


def pictures(numbers: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 [T,H,W,3]."""
    return np.stack([draw(number % 256, WIDTH, HEIGHT) for number in numbers])


@contextmanager
def store(path: Path, version: Literal[2, 3] = 2) -> Iterator[zarr.Group]:
    """The root group of a new store: a zip where its name says so, else a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        files: Any = zarr.storage.ZipStore(path, mode="w")
    else:
        files = zarr.storage.LocalStore(path)
    try:
        yield zarr.create_group(store=files, zarr_format=version)
    finally:
        files.close()


def put(group: zarr.Group, name: str, values: NDArray[Any], **options: Any) -> zarr.Array[Any]:
    """An array with these values. options: as of `zarr.Group.create_array`."""
    options.setdefault("chunks", (min(7, len(values)), *values.shape[1:]))
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, **options)
    array[:] = values
    return array


def actions(rows: int) -> NDArray[np.float32]:
    """float32 [rows, 2]; from 1 on, since zarr leaves chunks of zeros out."""
    return np.stack([np.arange(rows) + 1, np.arange(rows) / 2 + 1], axis=1).astype(np.float32)


def replay_buffer(
    path: Path,
    lengths: Sequence[int] = (20, 16),
    version: Literal[2, 3] = 2,
    cameras: Sequence[str] = ("img",),
    times_s: NDArray[Any] | None = None,
    **options: Any,
) -> Path:
    """A replay buffer of Diffusion Policy. options: of the arrays of pictures."""
    rows = sum(lengths)
    with store(path, version) as root:
        for camera in cameras:
            put(root, f"data/{camera}", pictures(range(rows)), **options)
        put(root, "data/action", actions(rows))
        put(root, "data/state", actions(rows) * 10)
        if times_s is not None:
            put(root, "data/timestamp", times_s)
        put(root, "meta/episode_ends", np.cumsum(lengths).astype(np.int64))
    return path


def umi_zip(path: Path, lengths: Sequence[int] = (20, 16), kind: str = "jpegxl") -> Path:
    """A store of UMI: a zip of Zarr 2 with a picture in each chunk, and poses without actions."""
    import imagecodecs.numcodecs as codecs

    kinds = {"jpegxl": codecs.Jpegxl, "jpeg": codecs.Jpeg, "jpeg2k": codecs.Jpeg2k}
    codecs.register_codecs([f"imagecodecs_{kind}"], verbose=False)
    rows = sum(lengths)
    packed = kinds[kind](level=95) if kind == "jpeg" else kinds[kind]()
    with store(path, 2) as root:
        put(
            root,
            "data/camera0_rgb",
            pictures(range(rows)),
            chunks=(1, HEIGHT, WIDTH, 3),
            compressors=packed,
        )
        put(root, "data/robot0_eef_pos", np.ones((rows, 3), np.float32))
        put(root, "data/robot0_eef_rot_axis_angle", np.ones((rows, 3), np.float32))
        put(root, "data/robot0_gripper_width", np.ones((rows, 1), np.float32))
        put(root, "meta/episode_ends", np.cumsum(lengths).astype(np.int64))
    return path


# What a reader makes of them


def source(path: Path) -> str:
    """A store as the reader takes it: a folder ends in "/"."""
    return str(path) if path.suffix == ".zip" else f"{path}/"


def place(name: str = "data/img", **options: Any) -> SequencePlace:
    """Of pictures, ten a second where nothing else is said."""
    return SequencePlace.of("zarr", name, **{"fps": 10.0, **options})


def numbers(path: Path, wanted: SequencePlace | None = None) -> list[int | None]:
    """What all pictures of a sequence carry, None for one that cannot be had."""
    found = shown(path, wanted)
    return [None if isinstance(each, DamagedImage) else read(each).number for each in found]


def shown(path: Path, wanted: SequencePlace | None = None) -> list[Any]:
    """All pictures of a sequence as the reader gives them."""
    sequence = reader.open_sequence(source(path), wanted or place())
    with closing(sequence):
        return list(sequence.images(range(len(sequence.times_s))))


def why(path: Path, wanted: SequencePlace | None = None) -> str:
    """Why the first picture is lost that is."""
    return next(str(each) for each in shown(path, wanted) if isinstance(each, DamagedImage))


def damage(path: Path, wanted: SequencePlace | None = None) -> tuple[int, tuple[str, ...]]:
    """What a sequence says of itself, before any picture is read."""
    with closing(reader.open_sequence(source(path), wanted or place())) as sequence:
        return sequence.damage


def document(path: Path, node: str = "data/img", name: str = ".zarray") -> dict[str, Any]:
    """The metadata of a node."""
    found: dict[str, Any] = json.loads((path / node / name).read_text())
    return found


def rewrite(path: Path, node: str = "data/img", name: str = ".zarray", **changed: Any) -> None:
    """Change the metadata of a node."""
    (path / node / name).write_text(json.dumps(document(path, node, name) | changed))
