"""The flow codec: exact cases, bounds on the error, and bytes that others can read."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from sofdata.errors import ContractError, InputError
from sofdata.flow.codec import CodecConfig, EncodedFlow, decode, encode

Q8 = CodecConfig()
FLOAT16 = CodecConfig(name="float16")


def moving_disc(steps: int = 8, height: int = 64, width: int = 64) -> NDArray[np.float32]:
    """A disc that moves over a still background: large flow with a sharp outline."""
    y, x = np.mgrid[:height, :width]
    flow = np.zeros((steps, height, width, 2), np.float32)
    for step in range(steps):
        inside = (x - 20 - 2 * step) ** 2 + (y - 30) ** 2 < 100
        flow[step, inside] = (2.0 + step, -1.5)
    return flow


def smooth(steps: int, height: int, width: int, px: float) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width]
    wave = np.stack([np.sin(x / 9), np.cos(y / 7)], axis=-1)
    return np.repeat(px * wave[None], steps, axis=0).astype(np.float32)


def roundtrip(flow: NDArray[np.float32], config: CodecConfig = Q8) -> NDArray[np.float32]:
    encoded = encode(flow, config)
    meta = json.loads(json.dumps(encoded.meta))  # as it comes back from a shard
    return decode(encoded.members, meta)


def largest_error(flow: NDArray[np.float32], config: CodecConfig = Q8) -> float:
    return float(np.linalg.norm(roundtrip(flow, config) - flow, axis=-1).max())


@pytest.mark.parametrize("config", [Q8, FLOAT16])
def test_no_motion_comes_back_as_exactly_zero(config: CodecConfig) -> None:
    back = roundtrip(np.zeros((8, 64, 64, 2), np.float32), config)
    assert back.dtype == np.float32
    assert back.shape == (8, 64, 64, 2)
    assert not back.any()


@pytest.mark.parametrize("config", [Q8, FLOAT16])
@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 1, 1), (3, 7, 13), (2, 33, 65), (8, 16, 48)])
def test_any_length_and_side_keeps_its_shape_and_its_values(
    config: CodecConfig, shape: tuple[int, int, int]
) -> None:
    flow = smooth(*shape, px=4.0)
    assert roundtrip(flow, config).shape == flow.shape
    assert largest_error(flow, config) < 0.3


def test_a_constant_shift_comes_back_within_half_a_level() -> None:
    flow = np.full((8, 64, 64, 2), [3, -2], np.float32)
    assert np.abs(roundtrip(flow) - flow).max() <= Q8.step_px / 2


def test_dx_dy_and_steps_are_not_mixed_up() -> None:
    flow = np.zeros((3, 16, 24, 2), np.float32)
    flow[0, ..., 0], flow[1, ..., 1], flow[2, :, :8, 0] = 5.0, -3.0, 1.0
    assert np.abs(roundtrip(flow) - flow).max() < 0.1


def test_every_step_has_its_own_scale_so_a_fast_step_does_not_coarsen_a_calm_one() -> None:
    flow = smooth(2, 64, 64, px=1.0)
    flow[1] *= 100
    error = np.linalg.norm(roundtrip(flow) - flow, axis=-1)
    assert error[0].max() < 0.15
    assert error[1].max() < 100 * 0.05


def test_a_single_outlier_is_not_clipped() -> None:
    flow = np.zeros((1, 64, 64, 2), np.float32)
    flow[0, 24, 24] = (90.0, -40.0)
    assert np.abs(roundtrip(flow)[0, 24, 24] - flow[0, 24, 24]).max() < 0.05 * 90


def test_sharp_outlines_of_a_moving_thing_survive() -> None:
    error = np.linalg.norm(roundtrip(moving_disc()) - moving_disc(), axis=-1)
    assert error.mean() < 0.05
    assert error.max() < 0.5


def test_the_recorded_error_is_the_one_that_a_reader_measures() -> None:
    flow = moving_disc()
    flow += smooth(8, 64, 64, px=0.3)
    for config in (Q8, FLOAT16):
        encoded = encode(flow, config)
        back = decode(encoded.members, encoded.meta)
        error = np.linalg.norm(back.astype(np.float64) - flow, axis=-1)
        assert encoded.meta["error_mean_px"] == pytest.approx(error.mean(), abs=1e-5)
        assert encoded.meta["error_max_px"] == pytest.approx(error.max(), abs=1e-5)


def test_a_smaller_quantiser_and_step_lower_the_error() -> None:
    fine = CodecConfig(step_px=1 / 128, quantiser=1)
    assert largest_error(moving_disc(), fine) < 0.5 * largest_error(moving_disc())


def test_float16_is_exact_for_values_that_float16_holds() -> None:
    flow = (np.arange(256) / 8 - 16).astype(np.float32).reshape(2, 8, 8, 2)
    encoded = encode(flow, FLOAT16)
    np.testing.assert_array_equal(roundtrip(flow, FLOAT16), flow)
    assert encoded.meta["error_max_px"] == 0
    stored = np.load(io.BytesIO(encoded.members["flow.npy"]), allow_pickle=False)
    assert stored.dtype.str == "<f2"
    assert stored.shape == (2, 8, 8, 2)


def test_q8_is_read_with_pillow_and_numpy_alone_as_the_format_page_says() -> None:
    flow = moving_disc()
    encoded = encode(flow, Q8)
    grey = np.asarray(Image.open(io.BytesIO(encoded.members["flow.jpg"]))).astype(np.float32)
    steps, height, width, _ = encoded.meta["shape"]
    planes = grey.reshape(steps, height, 2, width)
    scale = np.array(encoded.meta["step_px"], np.float32)
    by_hand = (planes - 128) * scale[:, None, None, None]
    np.testing.assert_array_equal(
        by_hand.transpose(0, 1, 3, 2), decode(encoded.members, encoded.meta)
    )


def test_stock_webdataset_decodes_the_members() -> None:
    autodecode = pytest.importorskip("webdataset.autodecode")
    for config in (Q8, FLOAT16):
        encoded = encode(moving_disc(), config)
        sample = {"__key__": "k", **encoded.members}
        handlers = [autodecode.imagehandler("l8")]
        decoded = autodecode.Decoder(handlers)(sample)
        stored = decoded[next(iter(encoded.members))]
        assert stored.dtype == (np.uint8 if config is Q8 else np.float16)


def test_the_same_flow_gives_the_same_bytes() -> None:
    first, second = encode(moving_disc(), Q8), encode(moving_disc(), Q8)
    assert first.members == second.members
    assert first.meta == second.meta


def test_q8_is_far_smaller_than_float16() -> None:
    flow = moving_disc()
    small, exact = encode(flow, Q8), encode(flow, FLOAT16)

    def size(encoded: EncodedFlow) -> int:
        return sum(map(len, encoded.members.values())) + len(json.dumps(encoded.meta))

    assert size(small) * 15 < size(exact)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("config", [Q8, FLOAT16])
def test_values_that_are_not_finite_are_refused(config: CodecConfig, bad: float) -> None:
    flow = np.zeros((2, 8, 8, 2), np.float32)
    flow[1, 2, 3, 0] = bad
    with pytest.raises(ContractError, match="1 values not finite"):
        encode(flow, config)


def test_float16_refuses_values_beyond_its_range() -> None:
    with pytest.raises(ContractError, match="65504"):
        encode(np.full((1, 4, 4, 2), 70_000, np.float32), FLOAT16)


@pytest.mark.parametrize(
    "flow",
    [
        np.zeros((2, 8, 8, 2), np.float64),
        np.zeros((8, 8, 2), np.float32),
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((0, 8, 8, 2), np.float32),
    ],
)
def test_another_dtype_or_shape_is_refused(flow: NDArray[np.float32]) -> None:
    with pytest.raises(ContractError, match=r"float32 \[L,h,w,2\]"):
        encode(flow, Q8)


def test_a_window_too_long_for_a_jpeg_is_refused_with_the_way_out() -> None:
    with pytest.raises(ContractError, match="use float16"):
        encode(np.zeros((1100, 64, 4, 2), np.float32), Q8)


@pytest.mark.parametrize("config", [Q8, FLOAT16])
def test_damaged_members_raise_an_input_error(config: CodecConfig) -> None:
    encoded = encode(moving_disc(), config)
    ((suffix, data),) = encoded.members.items()
    shorter = {**encoded.meta, "shape": [7, 64, 64, 2]}
    for members, meta in [
        ({}, encoded.meta),
        ({suffix: b""}, encoded.meta),
        ({suffix: data[: len(data) // 2]}, encoded.meta),
        ({suffix: b"not what it says"}, encoded.meta),
        (encoded.members, shorter),
        (encoded.members, {"codec": config.name}),
        (encoded.members, {**encoded.meta, "shape": [8, 64, 64, 2, 1]}),
        (encoded.members, {**encoded.meta, "codec": "q4"}),
        (encoded.members, {}),
    ]:
        with pytest.raises(InputError):
            decode(members, meta)


def test_scales_that_do_not_match_the_steps_raise_an_input_error() -> None:
    encoded = encode(moving_disc(), Q8)
    with pytest.raises(InputError, match="cannot be read"):
        decode(encoded.members, {**encoded.meta, "step_px": [0.1]})


def test_a_pickle_in_place_of_an_array_is_not_loaded() -> None:
    encoded = encode(moving_disc(), FLOAT16)
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for data in (out.getvalue(), pickle.dumps({"a": 1})):
        with pytest.raises(InputError, match="cannot be read"):
            decode({"flow.npy": data}, encoded.meta)


def test_config_refuses_values_without_meaning() -> None:
    for values in ({"name": "q4"}, {"step_px": 0}, {"quantiser": 0}):
        with pytest.raises(ValidationError):
            CodecConfig.model_validate(values)
