"""Flow of whole videos to bytes and back: less lossy than a window's codec, and still compact.

`fixed` rounds each component to a multiple of `step_px`, so that its error is at most half of that,
and stores the differences between neighbours of a row, which are small. `float32` keeps every bit.

Both are a .npy.gz of bytes, uint8 [b,S,2,h,w]: of each number first all lowest bytes, then all of
the next ones, since equal bytes beside each other are what deflate makes short. A step of 64 x 64
takes about 3 KB and 0.4 ms as `fixed`, 20 KB and 0.5 ms as `float32`, and a tenth of a millisecond
to read (`benchmarks/rewindow.py` prints what they take).
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.arrays import read_npy_gz
from sofdata.bounded.pictures import check_values
from sofdata.errors import ContractError, InputError
from sofdata.flow.codec import claimed_shape
from sofdata.flow.config import KeptConfig

SUFFIX = "flow.npy.gz"
_LEVEL = 6  # of deflate: 9 takes several times as long for a hundredth less
_MOST_LEVELS = 32767
_COARSEST_PX = 2.0**20

Flow = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class KeptFlow:
    """The flow of some steps as bytes.

    meta: what `unpack` needs and what was measured, as JSON-able values: codec, shape [S, h, w, 2],
        step_px (fixed), error_mean_px and error_max_px (end-point error).
    """

    data: bytes
    meta: dict[str, Any]


def pack(flow: Flow, config: KeptConfig) -> KeptFlow:
    """Store flow [S,h,w,2], px a step; the error is measured by reading the bytes again.

    Raises `ContractError` for another dtype or shape and for values that are not finite.
    """
    if flow.dtype != np.float32 or flow.ndim != 4 or flow.shape[-1] != 2 or flow.size == 0:
        raise ContractError(
            f"flow must be float32 [S,h,w,2] and not empty, got {flow.dtype} {list(flow.shape)}"
        )
    if not np.isfinite(flow).all():
        raise ContractError("flow holds values that are not finite")
    planes = np.ascontiguousarray(flow.transpose(0, 3, 1, 2))  # [S, 2, h, w]
    meta: dict[str, Any] = {"codec": config.codec, "shape": list(flow.shape)}
    if config.codec == "fixed":
        meta["step_px"] = _fitting_step(planes, config.step_px)
        words = _differences(planes, meta["step_px"])
    else:
        words = planes.astype("<f4")
    data = gzipped(_apart(words))
    squares = (unpack(data, meta) - flow) ** 2
    error_px = np.sqrt(squares[..., 0] + squares[..., 1])
    meta["error_mean_px"] = round(float(error_px.mean(dtype=np.float64)), 6)
    meta["error_max_px"] = round(float(error_px.max()), 6)
    return KeptFlow(data, meta)


def unpack(data: bytes, meta: Mapping[str, Any]) -> Flow:
    """Give back the flow, float32 [S,h,w,2] in px a step, from what `pack` returned.

    Raises `InputError` for bytes that do not fit `meta`, and for a `meta` that nothing here writes.
    """
    try:
        steps, height, width, _ = claimed_shape(meta)
        shape = (steps, 2, height, width)
        if meta["codec"] == "fixed":
            planes = _summed(_together(data, "<u2", shape), float(meta["step_px"]))
        elif meta["codec"] == "float32":
            planes = _together(data, "<f4", shape).astype(np.float32)
        else:
            raise ValueError(f"unknown codec {meta['codec']!r:.60}")
        if not np.isfinite(planes).all():
            raise ValueError("it holds values that are not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{SUFFIX} cannot be read as kept flow: {error}") from None
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def gzipped(values: NDArray[Any]) -> bytes:
    """A .npy.gz, of which the same values give the same bytes."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return gzip.compress(out.getvalue(), _LEVEL, mtime=0)


def _fitting_step(planes: Flow, step_px: float) -> float:
    """`step_px`, doubled until the largest component has a level."""
    largest_px = max(float(planes.max()), -float(planes.min()))
    while largest_px / step_px > _MOST_LEVELS:
        step_px *= 2
        if step_px > _COARSEST_PX:
            raise ContractError(f"flow of {largest_px:g} px a step cannot be kept")
    return step_px


def _differences(planes: Flow, step_px: float) -> NDArray[np.uint16]:
    """Levels as differences from the left neighbour, modulo 2^16, small ones of both signs low."""
    levels = np.rint(planes / np.float32(step_px)).astype(np.int16)
    steps = levels.copy()
    steps[..., 1:] -= levels[..., :-1]  # wraps around, and so does the sum
    words: NDArray[np.uint16] = ((steps << 1) ^ (steps >> 15)).view(np.uint16).astype("<u2")
    return words


def _summed(words: NDArray[np.uint16], step_px: float) -> Flow:
    if not 0 < step_px <= _COARSEST_PX:
        raise ValueError(f"step_px {step_px} is no step")
    halves = words.astype(np.uint16)
    steps = ((halves >> 1) ^ (-(halves & 1).astype(np.int16)).view(np.uint16)).view(np.int16)
    levels = np.cumsum(steps, axis=-1, dtype=np.int16)
    return levels.astype(np.float32) * np.float32(step_px)


def _apart(words: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers [...] as bytes [b,...], the lowest first."""
    width = words.dtype.itemsize
    parts = words.view(np.uint8).reshape(*words.shape, width)
    return np.ascontiguousarray(np.moveaxis(parts, -1, 0))


def _together(data: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    check_values(int(np.prod(shape)), "kept flow")
    parts = read_npy_gz(data, "|u1", (width, *shape))
    return np.ascontiguousarray(np.moveaxis(parts, 0, -1)).view(dtype)[..., 0]
