"""`sofdata.models.action.evaluation`: errors and baselines of known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.space import measure_actions
from sofdata.types import ActionBatch
from tests.models.toy_actions import ACTIONS, batch_of, pushes, skill_model


def constant_decoder(train: ActionBatch, condition: str = "skill") -> ActionDecoder:
    """One that always answers the mean action and a closed gripper."""
    config = DecoderConfig.parse({"width": 16, "condition": condition})
    decoder = ActionDecoder(config, skill_model(), measure_actions([train]))
    with torch.no_grad():
        for weight in decoder.heads.parameters():
            weight.zero_()
        if decoder.heads.gripper is not None:
            list(decoder.heads.gripper.parameters())[-1].fill_(1.0)
    return decoder


def test_a_constant_answer_scores_as_the_mean_action() -> None:
    train, held_out = pushes(16), pushes(8, seed=1)
    evaluation = ActionEvaluation(constant_decoder(train))
    evaluation.add(held_out)
    found = evaluation.result()
    assert found["action_error"] == pytest.approx(found["action_error_mean_action"], rel=1e-5)
    assert found["action_error"] == pytest.approx(found["action_error_wrong_skill"], rel=1e-5)
    mean = train.actions.mean(dim=(0, 1))
    errors = (held_out.actions - mean).abs().mean(dim=(0, 1))
    assert found["action_error_0"] == pytest.approx(float(errors[0]), rel=1e-4)
    assert found["action_error_1"] == pytest.approx(float(errors[1]), rel=1e-4)
    std = train.actions.std(dim=(0, 1), correction=0)
    assert found["action_error"] == pytest.approx(float((errors / std)[:2].mean()), rel=1e-4)


def test_the_gripper_is_scored_beside_the_majority_of_the_training_demonstrations() -> None:
    actions = torch.zeros(4, ACTIONS, 1)
    actions[0] = 1.0  # closed in a quarter of the training windows
    evaluation = ActionEvaluation(constant_decoder(batch_of(torch.ones(4, 2), actions)))
    held_out = torch.zeros(10, ACTIONS, 1)
    held_out[:3] = 1.0
    evaluation.add(batch_of(torch.ones(10, 2), held_out))
    assert evaluation.result() == pytest.approx(
        {
            "gripper_accuracy": 0.3,
            "gripper_accuracy_majority": 0.7,
            "gripper_accuracy_wrong_skill": 0.3,
        }
    )


def test_every_real_action_counts_once_over_batches() -> None:
    train = batch_of(
        torch.ones(2, 2), torch.tensor([-1.0, 1.0]).reshape(2, 1, 1) * torch.ones(6, 2)
    )
    decoder = ActionDecoder(
        DecoderConfig(width=16, gripper=None), skill_model(), measure_actions([train])
    )
    with torch.no_grad():
        for weight in decoder.heads.parameters():
            weight.zero_()
    evaluation = ActionEvaluation(decoder)
    evaluation.add(batch_of(torch.ones(2, 2), torch.full((2, 6, 2), 3.0), lengths=[1, 0]))
    evaluation.add(batch_of(torch.ones(1, 2), torch.full((1, 6, 2), 7.0), lengths=[3]))
    assert evaluation.result()["action_error"] == pytest.approx((3 + 3 * 7) / 4)


def test_nothing_counted_gives_no_metrics() -> None:
    evaluation = ActionEvaluation(constant_decoder(pushes(4)))
    assert evaluation.result() == {}
    assert evaluation.pictures() == {}
    evaluation.add(batch_of(torch.ones(2, 2), torch.zeros(2, ACTIONS, 3), lengths=[0, 0]))
    assert evaluation.result() == {}


def test_cloning_has_no_wrong_skill_to_compare_with() -> None:
    evaluation = ActionEvaluation(constant_decoder(pushes(4), condition="none"))
    evaluation.add(pushes(4))
    assert not any("wrong_skill" in name for name in evaluation.result())


def test_pictures_show_a_few_windows() -> None:
    evaluation = ActionEvaluation(constant_decoder(pushes(8)))
    evaluation.add(pushes(8, seed=1))
    picture = evaluation.pictures()["actions"]
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.shape[0] > 300
    assert picture.shape[1] > 900
    assert 100 < picture.mean() < 255
