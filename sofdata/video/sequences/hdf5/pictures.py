"""Which datasets of HDF5 hold pictures, and those pictures, read chunk by chunk.

    uint8 [T,H,W,3], [T,H,W,4], [T,H,W,1], [T,H,W], [T,3,H,W], ...     raw ones
    uint8 [T,N]; vlen uint8, bytes of one length or opaque bytes [T]   encoded ones, each in a row
    uint8 [H,W,3], ...; uint8 [N]; one value of bytes                  one picture: see `.singles`

The fourth channel of a picture is left out: it says how opaque it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.hdf5.files import MOST_CHUNK_BYTES

LEAST_SIDE = 16  # px: smaller arrays are matrices and masks
CACHE_SLOTS = 100_003  # of chunks: two that fall into one slot drive each other out
MOST_ROW_BYTES = 256 << 20  # of one picture, encoded or not
LOOKED_AT = 100  # rows, to tell whether they are encoded pictures: the first may be missing
HEAD_BYTES = 16  # that tell
CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Layout:
    """How pictures lie in a dataset.

    encoded: what they are, "jpeg", "png" or "webp"; "" for pixels. single: it is one picture rather
    than many. planar: its channels come before its rows.
    """

    encoded: str
    single: bool
    planar: bool = False


def may_be_pictures(dataset: Any) -> bool:
    """Whether a dataset is of such a type and shape that it may hold pictures; reads nothing."""
    shape = dataset.shape
    if shape is None or 0 in shape:
        return False
    if dataset.dtype == np.uint8 and len(shape) in (3, 4):
        return _raw_layout(tuple(map(int, shape))) is not None
    return _is_bytes(dataset) and len(shape) in ((1, 2) if dataset.dtype == np.uint8 else (0, 1))


def layout_of(dataset: Any) -> Layout | None:
    """How a dataset holds pictures, None where it holds none. Reads a few rows of bytes."""
    if not may_be_pictures(dataset):
        return None
    shape = tuple(map(int, dataset.shape))
    if len(shape) > 2:
        return _raw_layout(shape)
    single = len(shape) == (1 if dataset.dtype == np.uint8 else 0)
    for number in range(1 if single else min(LOOKED_AT, shape[0])):
        head = _head(dataset, None if single else number)
        if any(head):
            return Layout(kind, single) if (kind := _kind(head)) else None
    return None


def _head(dataset: Any, row: int | None) -> bytes:
    """How the bytes of a row begin, or those of all."""
    if dataset.dtype != np.uint8:
        return stored_bytes(dataset, row)[:HEAD_BYTES]
    return bytes(dataset[:HEAD_BYTES] if row is None else dataset[row, :HEAD_BYTES])


def _raw_layout(shape: tuple[int, ...]) -> Layout | None:
    single = len(shape) == 3 and (shape[2] in CHANNELS or shape[0] in CHANNELS)
    picture = shape if single else shape[1:]
    planar = len(picture) == 3 and picture[2] not in CHANNELS
    if planar and picture[0] not in CHANNELS:
        return None
    sides = picture[1:] if planar else picture[:2]
    return Layout("", single, planar) if min(sides) >= LEAST_SIDE else None


def are_stacked(dataset: Any, layout: Layout) -> bool:
    """Whether the four channels of pictures are moments, as where learners stack grey frames.

    Then each row has those of the row before, moved by one. Reads two rows.
    """
    if layout.encoded or layout.single or _depth(dataset.shape, layout) != 4:
        return False
    rows = np.moveaxis(dataset[:2], 1, -1) if layout.planar else dataset[:2]
    same = len(rows) == 2 and np.array_equal(rows[0, ..., 1:], rows[1, ..., :-1])
    return same and bool((rows != rows[..., :1]).any())


def _is_bytes(dataset: Any) -> bool:
    """Whether values of a dataset are strings of bytes, or bytes themselves."""
    import h5py

    dtype = dataset.dtype
    opaque = dtype.kind == "V" and dtype.names is None and dtype.subdtype is None
    return dtype == np.uint8 or dtype.kind == "S" or opaque or h5py.check_vlen_dtype(dtype) == "u1"


def _kind(data: bytes) -> str:
    """What an encoded picture is, "" for other bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _unfilled(data: bytes) -> bytes:
    """A picture without the zeros that fill up a row of one length for all."""
    kind = _kind(data)
    if kind == "webp":  # which may end in a zero, and says how long it is
        return data[: 8 + int.from_bytes(data[4:8], "little")]
    return data.rstrip(b"\0") if kind else data


def stored_bytes(dataset: Any, row: int | None) -> bytes:
    """The bytes of a row, or of all, without what fills it up. Raises `Unusable` for too many."""
    count = prod(dataset.shape[1:]) if row is not None else dataset.size
    if count * dataset.dtype.itemsize > MOST_ROW_BYTES:
        raise Unusable("too_large", f"{dataset.name}: one picture takes too many bytes")
    # As an array: a value of bytes alone is without those at its end that are zero.
    value = dataset[...] if row is None else dataset[row : row + 1]
    whole = value.reshape(-1)[0] if value.dtype == object else value  # of variable length
    return _unfilled(whole if isinstance(whole, bytes) else np.asarray(whole).tobytes())


def as_picture(stored: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Pixels as they lie as uint8 [H,W,3], or [H,W] of grey."""
    pixels = np.moveaxis(stored, 0, -1) if layout.planar else stored
    if pixels.ndim == 2:
        return pixels
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3]


@dataclass(slots=True)
class RowPictures:
    """The pictures of a dataset, a row each.

    rows: int64 [n]; the rows that were written. black: how many raw ones that were read hold
    nothing but zeros, as rows do that were never written.
    """

    dataset: Any
    layout: Layout
    rows: NDArray[np.int64]
    black: int = 0
    read: int = 0

    @property
    def codec(self) -> str:
        """As of a `Sequence`."""
        grey = _depth(self.dataset.shape, self.layout) == 1
        return self.layout.encoded or ("raw grey" if grey else "raw rgb24")

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        """As of a `Sequence`."""
        for number in numbers:
            PROGRESS.packets += 1
            yield self._image(int(self.rows[number]))

    def _image(self, row: int) -> StoredImage:
        try:
            if self.layout.encoded:
                return stored_bytes(self.dataset, row)
            found = as_picture(self.dataset[row], self.layout)
        except (OSError, RuntimeError, ValueError):  # a chunk that cannot be unpacked
            return None
        self.read += 1
        self.black += not found.any()
        return found


def rows_together(dataset: Any) -> int:
    """How many rows lie in the same chunks."""
    return int(dataset.chunks[0]) if dataset.chunks else 1


def reopened(dataset: Any) -> Any:
    """The same dataset with room for all chunks in which one picture lies, which it shares.

    Else HDF5 would unpack them once more for the next picture. Raises `Unusable` where they take
    too much.
    """
    import h5py

    needed = _shared_bytes(dataset)
    if needed > MOST_CHUNK_BYTES:
        raise Unusable(
            "too_large",
            f"{dataset.name}: {rows_together(dataset)} pictures share their chunks, which take "
            f"{needed >> 20} MiB; convert it, as by h5repack -l, to chunks of a few",
        )
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(CACHE_SLOTS, needed, 0.0)
    file, name = h5py.h5i.get_file_id(dataset.id), h5py.h5i.get_name(dataset.id)
    dataset.id.close()  # the size of the cache is that with which a dataset is opened first
    return h5py.Dataset(h5py.h5d.open(file, name, access))


def _shared_bytes(dataset: Any) -> int:
    if not dataset.chunks:
        return 0
    chunk_bytes = int(prod(dataset.chunks)) * int(dataset.dtype.itemsize)
    return _chunks_across(dataset) * chunk_bytes


def _chunks_across(dataset: Any) -> int:
    """How many chunks it takes to cover one row."""
    sides = zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    return prod(ceil(size / chunk) for size, chunk in sides)


def written_rows(dataset: Any) -> NDArray[np.int64]:
    """The rows of a dataset that were written: int64 [n]. HDF5 gives zeros for others."""
    import h5py

    count = int(dataset.shape[0])
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CONTIGUOUS and dataset.id.get_offset() is None:
        return np.zeros(0, np.int64)
    if layout != h5py.h5d.CHUNKED:
        return np.arange(count)
    height = rows_together(dataset)
    found = np.zeros(ceil(count / height), np.int64)

    def see(chunk: Any) -> None:
        PROGRESS.packets += 1
        found[chunk.chunk_offset[0] // height] += 1

    dataset.id.chunk_iter(see)
    whole = found >= _chunks_across(dataset)
    return np.flatnonzero(np.repeat(whole, height)[:count])


def _depth(shape: tuple[int, ...], layout: Layout) -> int:
    if len(shape) < 4:
        return 1
    return int(shape[1] if layout.planar else shape[3])


def row_bytes(dataset: Any) -> int:
    """Bytes of one row."""
    return int(prod(dataset.shape[1:])) * int(dataset.dtype.itemsize)
