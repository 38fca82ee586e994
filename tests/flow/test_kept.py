"""`sofdata.flow.kept`: flow of whole videos to bytes and back."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest

from sofdata.errors import ContractError, InputError
from sofdata.flow.config import KeptConfig
from sofdata.flow.kept import pack, unpack


def some_flow(scale_px: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    flow = rng.normal(0, scale_px, (5, 16, 24, 2)).astype(np.float32)
    flow[:, :4] = 0
    return flow


def test_fixed_is_off_by_at_most_half_a_step_and_says_by_how_much() -> None:
    flow = some_flow()
    kept = pack(flow, KeptConfig(step_px=1 / 64))
    off = np.abs(unpack(kept.data, kept.meta) - flow)
    assert off.max() <= 1 / 128
    assert kept.meta["error_max_px"] == pytest.approx(
        np.hypot(off[..., 0], off[..., 1]).max(), abs=1e-6
    )
    assert kept.meta["step_px"] == 1 / 64


def test_fixed_keeps_zero_exactly_zero() -> None:
    kept = pack(some_flow(), KeptConfig())
    assert not unpack(kept.data, kept.meta)[:, :4].any()


def test_float32_keeps_every_bit() -> None:
    flow = some_flow(1e-3)
    kept = pack(flow, KeptConfig(codec="float32"))
    assert np.array_equal(unpack(kept.data, kept.meta), flow)
    assert kept.meta["error_max_px"] == 0


def test_the_step_is_doubled_until_sixteen_bits_hold_the_largest_flow() -> None:
    flow = some_flow()
    flow[0, 0, 0, 0] = 300.0  # 38,400 steps of 1 / 128
    kept = pack(flow, KeptConfig())
    assert kept.meta["step_px"] == 1 / 64
    assert np.abs(unpack(kept.data, kept.meta) - flow).max() <= 1 / 128


def test_neighbours_that_differ_by_more_than_sixteen_bits_hold_come_back() -> None:
    flow = np.zeros((1, 8, 8, 2), np.float32)
    flow[..., ::2, :] = 200.0
    flow[..., 1::2, :] = -200.0
    kept = pack(flow, KeptConfig())
    assert np.array_equal(unpack(kept.data, kept.meta), flow)


def test_the_same_flow_gives_the_same_bytes() -> None:
    assert pack(some_flow(), KeptConfig()).data == pack(some_flow(), KeptConfig()).data


def test_numpy_and_gzip_alone_read_float32() -> None:
    flow = some_flow()
    kept = pack(flow, KeptConfig(codec="float32"))
    parts = np.load(io.BytesIO(gzip.decompress(kept.data)))  # [4, S, 2, h, w]
    planes = np.ascontiguousarray(np.moveaxis(parts, 0, -1)).view("<f4")[..., 0]
    assert np.array_equal(planes.transpose(0, 2, 3, 1), flow)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4, 16, 24, 2]},
        {"shape": [1 << 20, 1 << 12, 1 << 12, 2]},
        {"shape": "all"},
        {"codec": "q8"},
        {"codec": "float32"},
        {"step_px": 0},
        {"step_px": "wide"},
        {"step_px": float("nan")},
    ],
)
def test_a_record_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    kept = pack(some_flow(), KeptConfig())
    with pytest.raises(InputError):
        unpack(kept.data, {**kept.meta, **change})


@pytest.mark.parametrize("damage", ["cut", "more", "bomb", "none"])
def test_bytes_that_are_not_what_the_record_says_are_refused(damage: str) -> None:
    kept = pack(some_flow(), KeptConfig())
    data = {
        "cut": kept.data[:-9],
        "more": kept.data + b"\0",
        "bomb": gzip.compress(bytes(1 << 24)),
        "none": b"",
    }[damage]
    with pytest.raises(InputError, match="cannot be read as kept flow"):
        unpack(data, kept.meta)


def test_flow_that_is_not_finite_is_not_kept() -> None:
    flow = some_flow()
    flow[0, 0, 0, 0] = np.nan
    with pytest.raises(ContractError, match="not finite"):
        pack(flow, KeptConfig())
