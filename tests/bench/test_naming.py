"""Actions of videos: read off what was seen around a window, and averaged over windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import cell_settings, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.memory import MemoryWindows
from sofdata.bench.study.naming import named_actions, naming_error, timeline, with_context
from sofdata.bench.study.stage_settings import clone_stage, decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells
from sofdata.errors import ConfigError
from sofdata.loading.catalog import Geometry
from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.space import measure_actions
from sofdata.types import ActionBatch, Batch
from tests.bench.conftest import tiny
from tests.models.toy_actions import skill_model

STEPS, RATE, STRIDE, SIZE = 4, 2, 2, 32
MOTION = "naming.condition=motion"
NO_SHOTS = "ingest.windows.shots=false"


def videos(lengths: list[int], stride: int = STRIDE) -> MemoryWindows:
    """Windows of videos of so many steps; step t of video v has the flow 100 v + t + 1, and its two
    actions have that number, and half more, divided by 100. The last window of a video may be
    short."""
    flows, masks, keys, actions = [], [], [], []
    for video, length in enumerate(lengths):
        for number, start in enumerate(range(0, max(1, length - STEPS + stride), stride)):
            steps = torch.arange(start, start + STEPS)
            real = steps < length
            value = (100 * video + steps + 1.0) * real
            flows.append(value[:, None, None, None].expand(-1, 2, SIZE, SIZE))
            masks.append(real)
            keys.append(f"video-{video}-{number:06d}")
            each = value.repeat_interleave(RATE) + torch.tensor([0, 0.5]).repeat(STEPS)
            actions.append(each[:, None].expand(-1, 2) / 100)
    size, mask = len(keys), torch.stack(masks)
    image = torch.zeros(size, 3, 64, 64, dtype=torch.uint8)
    batch = ActionBatch(
        flow=torch.stack(flows).half(),
        first=image,
        last=image,
        mask=mask,
        text_ids=torch.tensor([int(key.split("-")[1]) for key in keys]),
        keys=tuple(keys),
        actions=torch.stack(actions),
        action_mask=mask.repeat_interleave(RATE, 1),
    )
    texts = tuple(f"task {video}" for video in range(len(lengths)))
    return MemoryWindows(batch, texts, 2.0, Geometry(STEPS, SIZE, 64))


def config(*overrides: str) -> BenchConfig:
    return tiny(NO_SHOTS, f"ingest.windows.stride={STRIDE}", *overrides)


def decoder_for(windows: MemoryWindows, **settings: Any) -> ActionDecoder:
    torch.manual_seed(0)
    assert isinstance(windows.batch, ActionBatch)
    chosen = DecoderConfig.parse(
        {"width": 32, "condition": "motion", "encoder": "fresh"} | settings
    )
    return ActionDecoder(chosen, skill_model(), measure_actions([windows.batch])).eval()


class Says:
    """A decoder that names what `say` makes of a batch, beside the ways of a real one."""

    def __init__(self, windows: MemoryWindows, say: Any) -> None:
        self._real, self.named = decoder_for(windows), lambda batch, images: say(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_timeline_holds_each_step_of_each_video_once() -> None:
    windows = videos([7, 4])
    line = timeline(windows, STRIDE)
    assert line.flow[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 101, 102, 103, 104]
    assert line.start.tolist() == [0, 2, 4, 7]


def test_context_is_what_was_seen_before_and_after_and_zero_beyond_a_video() -> None:
    wide = with_context(videos([7, 4]), STRIDE, 2)
    values = wide.batch.flow[:, :, 0, 0, 0].tolist()
    assert values[0] == [0, 0, 1, 2, 3, 4, 5, 6]
    assert values[1] == [1, 2, 3, 4, 5, 6, 7, 0]
    assert values[3] == [0, 0, 101, 102, 103, 104, 0, 0]
    assert wide.batch.mask.all()
    assert with_context(wide, STRIDE, 0) is wide


def test_what_is_named_is_read_off_the_window_and_what_is_around_it() -> None:
    windows = videos([12, 12])
    decoder = decoder_for(windows, context=2)
    named = named_actions(windows, [decoder], None, config()).batch
    assert isinstance(named, ActionBatch)
    wide = with_context(windows, STRIDE, 2)
    alone = decoder.finish(decoder.named(wide.rows([1]))).values
    assert torch.allclose(named.actions[1:2], alone, atol=1e-5)
    # The last step of the first video lies two steps behind the window that ends at its tenth.
    batch = windows.batch
    flow = batch.flow.clone()
    flow[batch.flow == 12] = 0
    other = named_actions(
        replace(windows, batch=replace(batch, flow=flow)), [decoder], None, config()
    )
    assert isinstance(other.batch, ActionBatch)
    moved = (other.batch.actions != named.actions).flatten(1).any(1).tolist()
    assert moved[:5] == [False, False, False, True, True]
    assert not any(moved[5:])


def test_an_action_in_several_windows_gets_the_mean_of_what_they_name() -> None:
    windows = videos([8])
    assert isinstance(windows.batch, ActionBatch)

    def errs(batch: Batch) -> torch.Tensor:
        rows = [windows.batch.keys.index(key) for key in batch.keys]
        offsets = torch.tensor([0.3, 0.0, -0.3])[rows]  # of the three windows
        return offsets[:, None, None].expand(-1, 8, 2)

    decoder: Any = Says(windows, errs)
    each = named_actions(windows, [decoder], None, config()).batch
    mean = named_actions(windows, [decoder], None, config("naming.overlap=true")).batch
    assert isinstance(each, ActionBatch)
    assert isinstance(mean, ActionBatch)
    found = decoder.normalise(mean.actions)[..., 0]
    first, between, last = found.tolist()
    assert first == pytest.approx([0.3] * 4 + [0.15] * 4, abs=1e-5)
    assert between == pytest.approx([0.15] * 4 + [-0.15] * 4, abs=1e-5)
    assert last == pytest.approx([-0.15] * 4 + [-0.3] * 4, abs=1e-5)
    assert decoder.normalise(each.actions)[1, :, 0].tolist() == pytest.approx([0] * 8, abs=1e-5)


def test_steps_that_are_not_real_count_in_no_mean() -> None:
    windows = videos([7])  # the last window has three real steps
    decoder: Any = Says(windows, lambda batch: torch.ones(len(batch.keys), 8, 2))
    mean = named_actions(windows, [decoder], None, config("naming.overlap=true")).batch
    assert isinstance(mean, ActionBatch)
    assert mean.action_mask[-1].tolist() == [True] * 6 + [False] * 2
    assert torch.allclose(decoder.normalise(mean.actions[-1, :6]), torch.ones(6, 2), atol=1e-5)


def test_the_error_of_named_actions_is_in_standard_deviations_and_shows_bias() -> None:
    windows = videos([8, 8])
    assert isinstance(windows.batch, ActionBatch)
    decoder: Any = Says(windows, lambda batch: None)

    def off(batch: Batch, images: torch.Tensor) -> Any:
        assert isinstance(batch, ActionBatch)
        sign = batch.text_ids[:, None, None] * 2.0 - 1
        return decoder.normalise(batch.actions) - 0.02 * sign * torch.tensor([1.0, 3.0])

    decoder.named = off
    found = naming_error(windows, [decoder], None, config())
    assert found["error"] == pytest.approx(0.04, abs=1e-4)
    assert found["error_1"] == pytest.approx(0.06, abs=1e-4)
    assert found["bias"] == pytest.approx((0.5 * (0.02**2 + 0.06**2)) ** 0.5, abs=1e-4)


def test_only_arms_that_clone_videos_name_by_motion() -> None:
    found = {
        name: decoder_stage(arm, config(MOTION, "naming.context=2")).model
        for name, arm in ARMS.items()
    }
    assert found["sof+clone"].condition == "motion"
    assert found["sof+clone"].context == 2
    assert {found[name].condition for name in ("sof", "lapa+clone")} == {"skill"}
    assert clone_stage(config(MOTION)).model.condition == "none"


def test_settings_as_before_keep_their_hashes_and_others_change_those_that_they_touch() -> None:
    before, after = config(), config("naming.overlap=true")
    assert "naming" not in str(sorted(cell_settings(wanted_cells(before, "test")[0], before)))
    assert chosen_hash(before) != chosen_hash(after)
    cells = {cell.arm: cell for cell in wanted_cells(before, "test")}
    for arm, cell in cells.items():
        same = cell_settings(cell, before) == cell_settings(cell, after)
        assert same == (not ARMS[arm].clones), arm


def test_settings_that_need_windows_in_order_say_so() -> None:
    with pytest.raises(ConfigError, match="shots=false"):
        tiny("naming.overlap=true", "ingest.windows.shots=true")
    with pytest.raises(ConfigError, match="condition=motion"):
        config("naming.context=2")


def test_clones_of_actions_named_by_motion_are_trained_and_evaluated(trainer: Trainer) -> None:
    settings = tiny(NO_SHOTS, MOTION, "naming.overlap=true")
    per_step = trainer.windows.demonstrations(DataBudget(1, 3, 0)).batch.mask.shape[1]
    settings = settings.model_copy(
        update={"naming": settings.naming.model_copy(update={"context": per_step})}
    )
    named = replace(trainer, config=settings)
    stages = train_arm(ARMS["sof+clone"], DataBudget(demos=1, videos=3, seed=0), named)
    decoder = stages["decoder"]
    assert decoder.model.config.context == per_step
    assert decoder.record["metrics"]["action_error"] > 0
    assert "action_error_wrong_skill" in decoder.record["metrics"]
    held_out = named.windows.held_out(DataBudget(1, 3, 0))
    assert held_out is not None
    assert naming_error(held_out, [decoder.model], None, settings)["error"] > 0
