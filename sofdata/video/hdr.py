"""High dynamic range to the 8-bit frames of everything else: PQ and HLG, most often BT.2020.

swscale converts matrix and range but neither transfer nor primaries: the frames of an HDR video
come out flat and pale, PQ ones dark. `tone_map` makes of them what a standard display would show of
the same scene graded for it:

1. light in nits of each channel: PQ by the EOTF of SMPTE ST 2084; HLG by the inverse OETF and the
   OOTF of ITU-R BT.2100-2 for a display of 1000 nits (gamma 1.2);
2. primaries to those of BT.709, by a matrix in linear light (for BT.2020 that of ITU-R BT.2087);
   what lies outside is cut off;
3. the tone curve of ITU-R BT.2390 (section 5.4, EETF) from 1000 nits to 203, the level of diffuse
   white (ITU-R BT.2408), on the largest channel, so that hues stay: nothing changes up to 88 nits,
   white comes down to 159, and 1000 nits become 203. More than 1000 is cut off;
4. 203 nits are 255 in 8 bits, by the inverse of the display gamma 2.4 (ITU-R BT.1886).

All powers come from tables, the rest is single arithmetic steps, so that every machine gives the
same bytes. About 0.4 ms a frame of 128 px.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError

Transfer = Literal["pq", "hlg"]

PEAK_NITS = 1000.0  # of the display that HLG is shown on, and the most that PQ is looked at
WHITE_NITS = 203.0  # diffuse white, BT.2408
GAMMA = 2.4  # BT.1886
HLG_GAMMA = 1.2  # of BT.2100's OOTF at 1000 nits
_TOP = 65535  # of 16 bits, and of the tables

# FFmpeg's numbers (ITU-T H.273, table 3): `frame.color_trc` of PyAV.
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
# ITU-T H.273, table 2: chromaticities (x, y) of red, green and blue; white is D65.
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),  # BT.709
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # P3 with D65
}
_WHITE = (0.3127, 0.3290)

Light = NDArray[np.float32]


def hdr_transfer(color_trc: int) -> Transfer | None:
    """Which transfer a frame's number stands for (`av.VideoFrame.color_trc`); None: not HDR."""
    return _TRANSFERS.get(int(color_trc))


def tone_map(
    rgb: NDArray[np.uint16], transfer: Transfer, color_primaries: int = 9
) -> NDArray[np.uint8]:
    """Show an HDR frame as a standard one.

    rgb: uint16 [...,3], full range: what swscale gives as rgb48.
    color_primaries: as `av.VideoFrame.color_primaries`; an unknown number counts as BT.2020.
    Returns uint8 [...,3]. Raises `ContractError` for an array of another type or shape.
    """
    if rgb.dtype != np.uint16 or rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ContractError(f"an HDR frame must be uint16 [...,3], got {rgb.dtype} {rgb.shape}")
    tables = _tables(transfer, color_primaries if color_primaries in _PRIMARIES else 9)
    channels = [tables.light[rgb[..., channel]] for channel in range(3)]  # 1 is 1000 nits
    if transfer == "hlg":
        red, green, blue = channels
        luminance = np.float32(0.2627) * red + np.float32(0.6780) * green
        luminance += np.float32(0.0593) * blue
        gain = tables.system[_index(luminance)]
        channels = [channel * gain for channel in channels]
    if tables.matrix is not None:
        channels = [_weighted(channels, row) for row in tables.matrix]
    largest = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    gain = tables.tone[_index(largest)]
    return np.stack([tables.code[_index(channel * gain)] for channel in channels], axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """light: by 16-bit code. All others by `_index`: of light where 1 is 1000 nits, of code 203."""

    light: Light
    system: Light
    matrix: Light | None
    tone: Light
    code: NDArray[np.uint8]


@functools.cache
def _tables(transfer: Transfer, primaries: int) -> _Tables:
    signal = np.arange(_TOP + 1) / _TOP
    nits = signal**2 * PEAK_NITS
    curve = np.divide(tone_curve(nits), nits, out=np.ones_like(nits), where=nits > 0)
    if transfer == "pq":
        light = np.minimum(pq_to_nits(signal) / PEAK_NITS, 1)
    else:
        light = hlg_to_scene(signal)
    return _Tables(
        light=light.astype(np.float32),
        system=(signal ** (2 * (HLG_GAMMA - 1))).astype(np.float32),
        matrix=None if primaries == 1 else to_bt709(primaries).astype(np.float32),
        tone=(curve * PEAK_NITS / WHITE_NITS).astype(np.float32),
        code=np.rint(255 * signal ** (2 / GAMMA)).astype(np.uint8),
    )


def _index(light: Light) -> NDArray[np.uint16]:
    """Where light from 0 to 1 stands in a table: by its root, which is finer in the dark."""
    root = np.sqrt(np.clip(light, 0, 1))
    root *= np.float32(_TOP)
    return np.rint(root).astype(np.uint16)


def _weighted(channels: list[Light], weights: Light) -> Light:
    total: Light = channels[0] * weights[0]
    total += channels[1] * weights[1]
    total += channels[2] * weights[2]
    return total


# The formulas of the standards, in float64.

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073


def pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """EOTF of SMPTE ST 2084: signal 0..1 to nits 0..10000."""
    power = signal ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `pq_to_nits`."""
    power = (nits / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse OETF of HLG (ARIB STD-B67, BT.2100): signal 0..1 to light of the scene 0..1."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)


def tone_curve(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """EETF of BT.2390 from black to `PEAK_NITS` to black to `WHITE_NITS`; nits to nits."""
    peak, white = nits_to_pq(np.array([PEAK_NITS, WHITE_NITS]))
    most = white / peak
    knee = 1.5 * most - 0.5
    signal = np.minimum(nits_to_pq(nits) / peak, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return np.asarray(np.where(signal < knee, nits, pq_to_nits(spline * peak)), np.float64)


def to_bt709(primaries: int) -> NDArray[np.float64]:
    """The matrix [3,3] from linear light of these primaries to that of BT.709."""
    return np.asarray(np.linalg.solve(_to_xyz(1), _to_xyz(primaries)), np.float64)


def _to_xyz(primaries: int) -> NDArray[np.float64]:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*_PRIMARIES[primaries], _WHITE)]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))
