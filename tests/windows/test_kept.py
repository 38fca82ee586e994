"""`sofdata.windows.kept`: what is kept of steps gives the steps that their frames gave."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.errors import ContractError
from sofdata.scenes import moving_texture
from sofdata.types import FlowClip, Frames
from sofdata.windows.config import WindowConfig
from sofdata.windows.kept import KeptSteps, joined, kept_steps, observed_steps
from sofdata.windows.segment import make_steps
from sofdata.windows.steps import Step

STEPS = 6


def frames_and_flow() -> tuple[Frames, FlowClip]:
    rgb = np.stack(list(moving_texture(2.0, 1.0, STEPS + 1, (64, 64), 0)))
    rng = np.random.default_rng(1)
    flow = rng.normal((2, 1), 0.1, (STEPS, 64, 64, 2)).astype(np.float32)
    flow[2] = 0
    return Frames(rgb, np.arange(STEPS + 1) / 8), FlowClip(flow, np.full(STEPS, 1 / 8))


def observed(size: int, breaks: list[str] | None = None) -> KeptSteps:
    frames, clip = frames_and_flow()
    breaks = breaks or [""] * STEPS
    config = WindowConfig(size=size)
    return observed_steps(frames, clip, breaks, make_steps(frames, clip, breaks, config), size)


def assert_same(found: list[Step | None], wanted: list[Step | None]) -> None:
    assert [step is None for step in found] == [step is None for step in wanted]
    for one, other in zip(found, wanted, strict=True):
        if one is None or other is None:
            continue
        assert np.array_equal(one.flow, other.flow)
        assert np.array_equal(one.magnitude, other.magnitude)
        assert one.camera == other.camera
        assert (one.evidence is None) == (other.evidence is None)
        if one.evidence is not None and other.evidence is not None:
            assert np.array_equal(one.evidence, other.evidence)


@pytest.mark.parametrize(
    ("size", "config"),
    [
        (32, {"size": 32}),
        (64, {"size": 16}),  # kept as it was estimated: any smaller size comes out the same
        (32, {"size": 32, "camera": "subtract", "camera_fit": "ransac"}),
        (32, {"size": 32, "camera": "off", "min_texture": 0}),
    ],
)
def test_kept_steps_are_those_that_the_frames_gave(size: int, config: dict[str, object]) -> None:
    frames, clip = frames_and_flow()
    breaks = ["", "", "", "shot", "", ""]
    wanted = make_steps(frames, clip, breaks, WindowConfig.parse(config))
    assert_same(kept_steps(observed(size), breaks, WindowConfig.parse(config)), wanted)


def test_the_flow_of_a_shot_change_is_kept_for_windows_that_do_without() -> None:
    frames, clip = frames_and_flow()
    kept = observed(32, ["", "shot", "", "text", "", ""])
    config = WindowConfig(size=32)
    assert_same(
        kept_steps(kept, [""] * STEPS, config), make_steps(frames, clip, [""] * STEPS, config)
    )


@pytest.mark.parametrize("reason", ["gap", "redacted"])
def test_no_flow_is_kept_of_what_no_window_may_ever_hold(reason: str) -> None:
    kept = observed(32, ["", reason, "", "", "", ""])
    assert not kept.flow[1].any()
    assert not kept.evidence[1].any()
    assert kept.known.tolist() == [True, False, True, True, True, True]
    with pytest.raises(ContractError, match="not known"):
        kept_steps(kept, [""] * STEPS, WindowConfig(size=32))


def test_flow_is_not_made_larger_than_it_is_kept() -> None:
    with pytest.raises(ContractError, match="too small for 64"):
        kept_steps(observed(32), [""] * STEPS, WindowConfig(size=64))


def test_pieces_of_a_video_are_joined_to_what_they_were_cut_of() -> None:
    whole = observed(16)
    again = joined([whole.part(0, 2), whole.part(2, 2), whole.part(2, STEPS)])
    for name in KeptSteps.__slots__:
        assert np.array_equal(getattr(again, name), getattr(whole, name))
