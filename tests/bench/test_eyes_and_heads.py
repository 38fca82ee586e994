"""Eyes and heads in the benchmark: what they change, and what they leave as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, cell_hash, chunk_error, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.data import prepare_data
from sofdata.bench.study.evaluate import Simulators, evaluate
from sofdata.bench.study.frozen import chosen, chosen_hash
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import Cell
from sofdata.errors import ConfigError
from tests.bench.conftest import tiny

BUDGET = DataBudget(1, 3, 0)
NEW = (
    "skill.model.eyes=points",
    "skill.model.image_px=96",
    "decoder.model.head=both",
    "decoder.model.head_width=32",
    "decoder.model.history=1",
)
LARGER = "ingest.flow.size=96"  # so that frames are stored


@pytest.mark.parametrize("key", NEW)
def test_every_key_changes_what_is_chosen_and_the_hash_of_a_cell(key: str) -> None:
    cell = Cell("pushing", "bc", 1, 0, 0, "test")
    plain, changed = tiny(LARGER), tiny(LARGER, key)
    assert chosen_hash(changed) != chosen_hash(plain)
    assert cell_hash(cell, changed, "data", ()) != cell_hash(cell, plain, "data", ())


def test_settings_as_before_are_identified_as_before() -> None:
    models = [chosen(tiny())[stage]["model"] for stage in ("skill", "decoder", "lapa", "tracks")]
    assert not any(
        {"eyes", "image_px", "head", "head_width", "history"} & set(model) for model in models
    )


def succeeds_or_fails(arm: str, trainer: Trainer) -> None:
    """Train an arm and let it act; what it sees has key points."""
    stages = train_arm(ARMS[arm], BUDGET, trainer)
    latents = [getattr(stage.model, "skill", stage.model) for stage in stages.values()]
    assert all(latent.observation_shape[0] == 19 for latent in latents)
    suite = find_suite("pushing")
    tasks = tuple(task for task in suite.tasks if task.text in trainer.texts)
    simulators = Simulators(suite, 128)
    found = evaluate(
        actor_of(ARMS[arm], BUDGET, trainer, stages),
        tasks,
        (7,),
        trainer.config.evaluation,
        simulators=simulators.get,
        noise_seed=0,
        image_px=trainer.config.skill.model.image_px,
        history=trainer.config.decoder.model.history,
    )
    simulators.close()
    assert len(found.outcomes) == len(tasks)


@pytest.mark.parametrize("arm", ["bc", "sof", "lapa", "atm", "sof+clone"])
def test_an_arm_trains_and_acts_with_key_points_and_another_head(
    arm: str, trainer: Trainer
) -> None:
    at_64 = [key for key in NEW if "image_px" not in key and "history" not in key]
    succeeds_or_fails(arm, replace(trainer, config=tiny(*at_64)))


@pytest.mark.parametrize("arm", ["bc", "sof+mpc", "atm", "sof+clone"])
def test_an_arm_acts_by_frames_of_history(arm: str, trainer: Trainer) -> None:
    settings = ("decoder.model.history=2", "skill.model.eyes=points")
    with_history = replace(trainer, config=tiny(*settings))
    succeeds_or_fails(arm, with_history)
    held_out = with_history.windows.demonstrations(BUDGET)
    stages = train_arm(ARMS[arm], BUDGET, with_history)
    actor = actor_of(ARMS[arm], BUDGET, with_history, stages)
    assert chunk_error(actor, held_out, stages) > 0


def test_a_history_needs_windows_of_every_step() -> None:
    with pytest.raises(ConfigError, match=r"history needs ingest\.windows\.stride=1"):
        tiny("decoder.model.history=1", "ingest.windows.stride=2")


def test_images_that_would_be_stored_smaller_are_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"image_px is 96.*frames of 64 px.*flow\.size=96"):
        tiny("skill.model.image_px=96")


def test_an_arm_learns_from_larger_images(
    trainer: Trainer, collected: Path, tmp_path: Path
) -> None:
    config = tiny(*NEW, LARGER, "demos=[1]")
    data = prepare_data(config, find_suite("pushing").fps, collected, tmp_path)
    larger = Trainer(config, data, trainer.texts, tmp_path)
    assert larger.windows.demonstrations(BUDGET).batch.first.shape[1:] == (3, 96, 96)
    succeeds_or_fails("bc", larger)


def test_a_cloned_policy_is_trained_anew_with_other_eyes(trainer: Trainer) -> None:
    keys = {
        replace(trainer, config=tiny(*settings)).decoder(ARMS["bc"], BUDGET, None).key
        for settings in ((), ("skill.model.eyes=points",), ("skill.model.channels=[8, 16, 16]",))
    }
    assert len(keys) == 3
