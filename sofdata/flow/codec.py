"""Flow of a window to bytes and back, with the error measured and recorded.

`q8` stores a grey JPEG: one row of two pictures (dx left, dy right) a step, steps below each other.
A grey level g of step i stands for (g - 128) * step_px[i], so 128 is exactly zero. `step_px` is the
largest component of that step over 127, but never finer than `CodecConfig.step_px`: a calm step
needs few levels, and then costs few bytes. The JPEG's quantisation table is flat. The usual tables
are made for the eye and coarse at high frequencies, which is where the outlines of flow lie: at the
same bytes and mean error a flat table has the smaller largest error (benchmarks/codec.py shows it).

`float16` stores a .npy and is exact to float16's precision.

Both are read with Pillow and numpy alone, and by webdataset's own decoders. A window of 8 steps at
64 x 64 takes about 2 ms to encode as q8 (which includes decoding it once to measure the error) and
0.3 ms to decode.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sofdata.bounded.arrays import read_npy
from sofdata.bounded.pictures import check_values, opened_jpeg
from sofdata.config.section import Section
from sofdata.errors import ContractError, InputError

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

_ZERO = 128  # the grey level of no motion
_LEVELS = 127  # levels on each side of it
LONGEST_SIDE_PX = 65_500  # the longest side that libjpeg writes
_FLOAT16_MAX = float(np.finfo(np.float16).max)


class CodecConfig(Section):
    """How the flow of a window is stored. The paper does not say how it does; defaults are ours."""

    name: Literal["q8", "float16"] = Field(
        "q8",
        description="q8: 8 bits a component in a grey JPEG, lossy, below a fifteenth of float16; "
        "float16: exact to float16's precision.",
    )
    step_px: float = Field(
        1 / 16,
        gt=0,
        le=1,
        description="q8: the finest step between two levels, in px. Default ours: smaller steps "
        "cost bytes in calm windows and save error below the noise of estimated flow.",
    )
    quantiser: int = Field(
        3,
        ge=1,
        le=32,
        description="q8: the value of all 64 entries of the JPEG's quantisation table, in levels; "
        "1 is nearly lossless. Default ours: the coarsest that kept the mean error of calm real "
        "clips below 0.05 px at 64 px.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFlow:
    """The flow of one window as bytes.

    members: from the suffix of the file in the shard ("flow.jpg" or "flow.npy") to its bytes.
    meta: what `decode` needs and what was measured, as JSON-able values: codec, shape [L, h, w, 2],
        step_px (q8: px a level for each step), error_mean_px and error_max_px (end-point error).
    stored: what `decode` gives back, float32 [L,h,w,2] in px a step.
    """

    members: dict[str, bytes]
    meta: dict[str, Any]
    stored: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to store the flow of a window in one member of a sample.

    name: as `CodecConfig.name` and as the `codec` of a sample's record. suffix: of the member.
    encode: flow [L,h,w,2] to bytes, and what else `decode` needs, which goes into the record.
    decode: these bytes and the record to planes, float32 [L,2,h,w]: into the array that is given,
        if it is not None and large enough (`fitting_planes`).

    The bytes may be a stranger's: `decode` raises `ValueError`, `KeyError`, `TypeError`,
    `OSError` or `InputError` for what is wrong, and allocate no more than the record's shape says.
    """

    name: str
    suffix: str
    encode: Callable[[NDArray[np.float32], CodecConfig], tuple[bytes, dict[str, Any]]]
    decode: Callable[[bytes, Mapping[str, Any], NDArray[np.float32] | None], NDArray[np.float32]]


def encode(flow: NDArray[np.float32], config: CodecConfig) -> EncodedFlow:
    """Store flow [L,h,w,2] in px a step; the error is measured by decoding the bytes again.

    Raises `ContractError` for another dtype or shape, for values that are not finite, and for
    values or sizes that the codec cannot hold.
    """
    _check(flow)
    # One component after the other in memory, as codecs write and read it: brought apart once.
    flow = np.ascontiguousarray(flow.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    codec = CODECS[config.name]
    data, extra = codec.encode(flow, config)
    members = {codec.suffix: data}
    meta = {"codec": config.name, "shape": list(flow.shape), **extra}
    stored = decode(members, meta)
    error_px = _errors_px(stored, flow)
    meta["error_mean_px"] = round(float(error_px.mean(dtype=np.float64)), 5)
    meta["error_max_px"] = round(float(error_px.max()), 5)
    return EncodedFlow(members, meta, stored)


def _errors_px(stored: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """End-point error of each vector of [L,h,w,2]: [L,h,w], px."""
    squares = stored - flow
    squares *= squares
    error_px = squares[..., 0] + squares[..., 1]
    return np.sqrt(error_px, out=error_px)


def decode(
    members: Mapping[str, bytes], meta: Mapping[str, Any], planes: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Give back the flow, float32 [L,h,w,2] in px a step, from what `encode` returned.

    planes: float32 [L or more,2,h,w] into which the flow is written; one of its own if None or of
        another shape. The result is a view of it, so its last axis is not contiguous: that is how
        models take flow, and bringing dx and dy together would cost as much as reading the file.

    Raises `InputError` where a member is missing, cannot be read, or does not fit `meta`.
    """
    codec, data = _find(members, meta)
    with _named_errors(codec):
        return codec.decode(data, meta, planes).transpose(0, 2, 3, 1)


def _find(members: Mapping[str, bytes], meta: Mapping[str, Any]) -> tuple[Codec, bytes]:
    """The codec of a sample, and the bytes of its member."""
    name = meta.get("codec")
    if not isinstance(name, str) or name not in CODECS:
        raise InputError(f"unknown flow codec {name!r:.60}; this version reads {sorted(CODECS)}")
    codec = CODECS[name]
    if codec.suffix not in members:
        raise InputError(f"codec {name!r} keeps flow in {codec.suffix!r}, found {sorted(members)}")
    return codec, members[codec.suffix]


@contextmanager
def _named_errors(codec: Codec) -> Iterator[None]:
    """Turn whatever reading bytes raises into an `InputError` that names the member."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        what = f"{codec.suffix} cannot be read as {codec.name!r} flow"
        raise InputError(f"{what}: {error}") from None


def _check(flow: NDArray[np.float32]) -> None:
    if flow.dtype != np.float32 or flow.ndim != 4 or flow.shape[-1] != 2 or flow.size == 0:
        raise ContractError(
            f"flow must be float32 [L,h,w,2] and not empty, got {flow.dtype} {list(flow.shape)}"
        )
    if not np.isfinite(flow).all():
        raise ContractError(f"flow holds {int((~np.isfinite(flow)).sum())} values not finite")


def _encode_q8(flow: NDArray[np.float32], config: CodecConfig) -> tuple[bytes, dict[str, Any]]:
    from PIL import Image

    steps, height, width, _ = flow.shape
    if max(steps * height, 2 * width) > LONGEST_SIDE_PX:
        raise ContractError(
            f"q8 holds at most {LONGEST_SIDE_PX} px a side, a window of {list(flow.shape)} needs "
            f"{2 * width} x {steps * height}: shorten window.length or use float16"
        )
    planes = np.ascontiguousarray(flow.transpose(0, 3, 1, 2))  # [L, 2, h, w]
    values = planes.reshape(steps, -1)
    largest_px = np.maximum(values.max(axis=1), -values.min(axis=1))
    # Nine digits carry a float32 through JSON; six are enough here and shorter.
    step_px = [float(f"{max(config.step_px, px / _LEVELS):.6g}") for px in largest_px.tolist()]
    levels = planes / _per_step(step_px, steps)
    np.rint(levels, out=levels)  # at most 127: step_px is short of px / 127 by far less than 1/254
    signed = np.empty((steps, height, 2, width), np.int8)
    np.copyto(signed, levels.transpose(0, 2, 1, 3), casting="unsafe")
    mosaic = signed.view(np.uint8).reshape(steps * height, 2 * width)
    mosaic ^= _ZERO  # in two's complement the same as adding it
    out = io.BytesIO()
    # optimize: Huffman tables made for this picture, which cost no accuracy.
    Image.frombuffer("L", (2 * width, steps * height), mosaic, "raw", "L", 0, 1).save(
        out, "JPEG", qtables=[[config.quantiser] * 64], optimize=True
    )
    return out.getvalue(), {"step_px": step_px}


def _decode_q8(
    data: bytes, meta: Mapping[str, Any], planes: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    steps, height, width, _ = claimed_shape(meta)
    step_px = _per_step(meta["step_px"], steps)
    with _mosaic(data, meta) as image:
        levels = np.asarray(image).reshape(steps, height, 2, width)
    out = fitting_planes(planes, (steps, 2, height, width))
    np.subtract(levels.transpose(0, 2, 1, 3), np.float32(_ZERO), out=out)
    out *= step_px
    return out


def fitting_planes(
    planes: NDArray[np.float32] | None, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The first steps of `planes`, or new ones of this shape [L,2,h,w] where they do not fit."""
    if planes is None or planes.shape[1:] != shape[1:] or len(planes) < shape[0]:
        return np.empty(shape, np.float32)
    return planes[: shape[0]]


@contextmanager
def _mosaic(data: bytes, meta: Mapping[str, Any]) -> Iterator[JpegImageFile]:
    """The picture of all steps, not yet decoded. Raises `InputError` if it is another's size."""
    steps, height, width, _ = claimed_shape(meta)
    with opened_jpeg(data, (steps * height, 2 * width)) as image:
        if image.mode != "L":
            raise ValueError(f"{image.mode} is not grey")
        yield image


def claimed_shape(meta: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The shape [L,h,w,2] that a sample claims. Raises `ValueError` and `InputError`."""
    found = meta["shape"]
    if (
        not isinstance(found, list)
        or len(found) != 4
        or not all(type(side) is int and 0 < side <= LONGEST_SIDE_PX for side in found)
        or found[3] != 2
    ):
        raise ValueError(f"{found!r:.80} is no shape of flow [L, h, w, 2]")
    check_values(math.prod(found), "flow")
    return found[0], found[1], found[2], found[3]


def _per_step(values: Any, steps: int) -> NDArray[np.float32]:
    """The scales of the steps, to be multiplied with them. Raises `ValueError`."""
    if not isinstance(values, list) or len(values) != steps:
        raise ValueError(f"step_px must be {steps} numbers")
    if not all(type(each) in (int, float) and 0 < each < _FLOAT16_MAX for each in values):
        raise ValueError("step_px holds what is no scale in px")
    return np.array(values, np.float32).reshape(steps, 1, 1, 1)


def _encode_float16(flow: NDArray[np.float32], config: CodecConfig) -> tuple[bytes, dict[str, Any]]:
    largest_px = float(np.abs(flow).max())
    if largest_px > _FLOAT16_MAX:
        raise ContractError(f"float16 holds at most {_FLOAT16_MAX:.0f} px, got {largest_px:g}")
    out = io.BytesIO()
    np.save(out, flow.astype("<f2", order="C"), allow_pickle=False)
    return out.getvalue(), {}


def _decode_float16(
    data: bytes, meta: Mapping[str, Any], planes: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    apart = _check_float16(data, meta).transpose(0, 3, 1, 2)
    out = fitting_planes(planes, apart.shape)
    out[...] = apart
    return out


def _check_float16(data: bytes, meta: Mapping[str, Any]) -> NDArray[np.float16]:
    stored: NDArray[np.float16] = read_npy(data, "<f2", claimed_shape(meta))
    if not np.isfinite(stored).all():
        raise ValueError("it holds values that are not finite")
    return stored


# By name. To add one, put it here, its name into `CodecConfig.name`, its bytes into docs/format.md.
CODECS: dict[str, Codec] = {
    each.name: each
    for each in (
        Codec("q8", "flow.jpg", _encode_q8, _decode_q8),
        Codec("float16", "flow.npy", _encode_float16, _decode_float16),
    )
}
