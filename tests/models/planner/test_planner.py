"""The planner as a whole, on a real skill model and windows whose task decides how things move."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sofdata.errors import ConfigError
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.evaluation import PlannerEvaluation
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.types import Batch, Skill

STEPS, SIDE = 4, 32
TEXTS = ("", "Pulling it to the left", "Pushing it to the right")
SMALL = {
    "prior": {"width": 32, "layers": 1},
    "dynamics": {"width": 32, "layers": 1},
    "mpc": {"candidates": 16, "elites": 4},
}
KINDS = pytest.mark.parametrize("kind", ["fsq", "kl"])


def skill_model(kind: str = "fsq") -> SkillVAE:
    torch.manual_seed(0)
    settings = {"bottleneck": kind, "tokens": 3, "width": 32, "heads": 2, "channels": (8, 16, 24)}
    return SkillVAE(SkillConfig.parse(settings), FlowShape(STEPS, SIDE, 0.2))


def planner(kind: str = "fsq", **settings: object) -> Planner:
    skill = skill_model(kind)
    return Planner(PlannerConfig.parse({**SMALL, **settings}), skill, TEXTS)


def windows(size: int = 8, seed: int = 1) -> Batch:
    """Pictures of noise, each once in each of two tasks: all to the left, or all to the right.

    In the last frame the whole picture has moved. Window 2 k and 2 k + 1 begin alike.
    """
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(0, 256, (size // 2, 3, 8, 8), generator=draw).repeat_interleave(2, 0)
    first = torch.nn.functional.interpolate(first.float(), (SIDE, SIDE)).to(torch.uint8)
    right = torch.arange(size) % 2
    flow = torch.zeros(size, STEPS, 2, SIDE, SIDE)
    flow[:, :, 0] = (4.0 * right - 2)[:, None, None, None]
    last = torch.where(right[:, None, None, None] > 0, first.roll(8, 3), first.roll(-8, 3))
    keys = tuple(f"v{index}-000000" for index in range(size))
    return Batch(flow, first, last, torch.ones(size, STEPS, dtype=torch.bool), right + 1, keys)


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(
        batch.flow[rows],
        batch.first[rows],
        batch.last[rows],
        batch.mask[rows],
        batch.text_ids[rows],
        batch.keys[rows],
    )


def train(model: Planner, batch: Batch, steps: int) -> float:
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(steps):
        loss, _ = model.loss(batch, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return loss.item()


@pytest.fixture(scope="module")
def trained() -> Planner:
    model = planner()
    model.count([windows()])
    train(model, windows(), 60)
    return model.eval()


@KINDS
def test_shapes(kind: str) -> None:
    model, batch = planner(kind), windows()
    skill = model.skill
    observation = model.observe(batch.first)
    task = model.tasks(model.texts_of(batch))
    assert observation.shape == (8, *skill.observation_shape)
    assert task.shape == (8, 256)
    codes, tokens, log_prob = model.propose(observation, task, 5)
    assert codes.shape == (8, 5, skill.tokens, skill.code_dim)
    assert tokens.shape == (8, 5, skill.tokens if kind == "fsq" else 0)
    assert log_prob.shape == (8, 5)
    assert model.predict(observation, codes[:, 0]).shape == observation.shape
    again = model.log_prob(observation, task, Skill(codes[:, 2], tokens[:, 2]))
    torch.testing.assert_close(again, log_prob[:, 2], atol=1e-4, rtol=1e-4)


@KINDS
@pytest.mark.parametrize("encoder", ["frozen", "tuned", "fresh"])
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(kind: str, encoder: str) -> None:
    model, batch = planner(kind, image_encoder=encoder).train(), windows()
    torch.nn.init.normal_(model.dynamics.change.weight, std=0.1)
    whole, metrics = model.loss(batch, 3)
    parts = [model.loss(part(batch, slice(k, k + 2)), 3) for k in range(0, 8, 2)]
    mean = torch.stack([loss for loss, _ in parts]).mean()
    torch.testing.assert_close(mean, whole, atol=1e-5, rtol=1e-5)
    for name, value in metrics.items():
        mean = torch.stack([found[name] for _, found in parts]).mean()
        torch.testing.assert_close(mean, value, atol=1e-5, rtol=1e-5)


def test_dropout_changes_from_step_to_step_and_is_off_outside_training() -> None:
    model, batch = planner(), windows()
    model.train()
    assert model.loss(batch, 0)[0] != model.loss(batch, 1)[0]
    model.eval()
    assert model.loss(batch, 0)[0] == model.loss(batch, 1)[0]


@KINDS
def test_flow_that_is_no_number_shows_in_the_loss_and_spoils_no_count(kind: str) -> None:
    model, batch = planner(kind).train(), windows()
    batch.flow[3, 0] = torch.nan
    loss, _ = model.loss(batch, 0)
    assert loss.isnan()
    model.count([batch])
    assert all(value.isfinite().all() for value in model.seen.state_dict().values())
    good = model.seen.state_dict().get("counts", torch.tensor(21)).sum()
    assert good == 7 * model.skill.tokens


@KINDS
def test_it_learns_which_task_makes_what_move(kind: str, trained: Planner) -> None:
    model, batch = trained, windows()
    if kind == "kl":
        model = planner(kind)
        train(model, batch, 200)
        model.eval()
    with torch.no_grad():
        skill, observation, _ = model.read(batch)
        tasks = model.tasks(model.texts_of(batch))
        right = model.log_prob(observation, tasks, skill)
        wrong = model.log_prob(observation, tasks.roll(1, 0), skill)
    assert (right > wrong + 1).all()


def test_held_out_likelihoods_and_errors_stand_beside_their_baselines(trained: Planner) -> None:
    evaluation = PlannerEvaluation(trained)
    evaluation.add(windows(8, seed=2))
    evaluation.add(windows(4, seed=3))
    found = evaluation.result()
    points, codes = trained.skill.tokens, trained.skill.codebook_size
    assert found["prior_nats_uniform"] == pytest.approx(points * math.log(codes), rel=1e-6)
    assert found["prior_nats"] == pytest.approx(points * found["prior_nats_token"], rel=1e-6)
    assert found["prior_nats"] < found["prior_nats_uniform"]
    assert found["prior_nats_right_task"] < found["prior_nats_wrong_task"] - 1
    assert found["prior_nats_right_task"] == pytest.approx(found["prior_nats"], rel=1e-6)
    assert found["prior_nats_unigram"] < found["prior_nats_uniform"]
    assert set(found) >= {"dynamics_mse", "dynamics_mse_no_change", "dynamics_mse_wrong_skill"}
    share = 1 - found["dynamics_mse"] / found["dynamics_mse_no_change"]
    assert found["dynamics_explained"] == pytest.approx(share)
    assert 0 < found["observation_spread"] < 1.1


def test_dynamics_that_are_trained_beat_no_change_and_the_wrong_skill(trained: Planner) -> None:
    evaluation = PlannerEvaluation(trained)
    evaluation.add(windows())
    found = evaluation.result()
    assert found["dynamics_mse"] < 0.7 * found["dynamics_mse_no_change"]
    assert found["dynamics_mse"] < found["dynamics_mse_wrong_skill"]


def test_evaluation_does_not_depend_on_the_batches(trained: Planner) -> None:
    batch = windows()
    whole, parts = PlannerEvaluation(trained), PlannerEvaluation(trained)
    whole.add(batch)
    parts.add(part(batch, slice(0, 2)))
    parts.add(part(batch, slice(2, 8)))
    expected = whole.result()
    for name, value in parts.result().items():
        if "wrong" not in name:
            assert value == pytest.approx(expected[name], rel=1e-4), name


@pytest.mark.parametrize("text", [0, 1])
def test_without_two_texts_there_is_no_wrong_task_and_no_picture(
    trained: Planner, text: int
) -> None:
    batch = replace(windows(), text_ids=torch.full((8,), text))
    evaluation = PlannerEvaluation(trained)
    evaluation.add(batch)
    assert not {name for name in evaluation.result() if name.endswith("_task")}
    assert evaluation.pictures() == {}


def test_one_window_alone_has_no_wrong_skill(trained: Planner) -> None:
    evaluation = PlannerEvaluation(trained)
    assert evaluation.result() == {}
    evaluation.add(part(windows(), slice(0, 1)))
    assert "dynamics_mse_wrong_skill" not in evaluation.result()


def test_kl_skills_are_measured_against_gaussians() -> None:
    model, batch = planner("kl"), windows()
    model.count([batch])
    train(model, batch, 5)
    evaluation = PlannerEvaluation(model)
    evaluation.add(batch)
    found = evaluation.result()
    assert found["prior_nats_gaussian"] < found["prior_nats_normal"]
    assert "prior_nats_uniform" not in found


def test_evaluation_leaves_training_mode_and_counts_as_they_were() -> None:
    model = planner().train()
    model.count([windows()])
    model.loss(windows(), 0)
    counted = int(model.seen.get_buffer("counts").sum())
    evaluation = PlannerEvaluation(model)
    evaluation.add(windows())
    evaluation.pictures()
    assert model.training
    assert model.prior.training
    assert counted == int(model.seen.get_buffer("counts").sum()) == 8 * 3


def test_the_picture_shows_two_tasks_that_differ(trained: Planner) -> None:
    evaluation = PlannerEvaluation(trained)
    evaluation.add(windows())
    picture = evaluation.pictures()["prior_samples"]
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    height, width = picture.shape[0], picture.shape[1] // 2
    left, right = picture[height // 2 :, :width], picture[height // 2 :, width : 2 * width]
    assert (left != right).any(-1).mean() > 0.1


def test_the_skill_model_is_no_part_of_the_state_but_goes_along() -> None:
    model = planner()
    assert not [name for name in model.state_dict() if "skill" in name or "encoder" in name]
    model.to(torch.float64)
    assert all(weight.dtype == torch.float64 for weight in model.skill.parameters())


@pytest.mark.parametrize("encoder", ["tuned", "fresh"])
def test_a_trained_encoder_is_a_part_of_the_state_and_leaves_the_skill_models_alone(
    encoder: str,
) -> None:
    model, batch = planner(image_encoder=encoder), windows()
    assert [name for name in model.state_dict() if name.startswith("encoder.")]
    skills, observed = model.skill.observe(batch.first), model.observe(batch.first)
    assert torch.allclose(skills, observed) == (encoder == "tuned")
    train(model, batch, 2)
    torch.testing.assert_close(model.skill.observe(batch.first), skills, atol=0, rtol=0)
    assert not torch.allclose(model.observe(batch.first), observed, atol=1e-3)


def test_the_dynamics_does_not_train_the_encoder() -> None:
    def gradients(weight: float) -> list[Tensor]:
        dynamics = {**SMALL["dynamics"], "weight": weight}
        model = planner(image_encoder="tuned", dynamics=dynamics).eval()
        torch.nn.init.normal_(model.dynamics.change.weight)
        model.loss(windows(), 0)[0].backward()  # type: ignore[no-untyped-call]
        assert model.encoder is not None
        return [weight.grad for weight in model.encoder.parameters() if weight.grad is not None]

    torch.testing.assert_close(gradients(0.0), gradients(10.0))
    assert gradients(0.0)


@KINDS
@pytest.mark.parametrize("text", ["words", "id"])
def test_a_planner_is_rebuilt_from_its_spec_and_state(kind: str, text: str) -> None:
    model = planner(kind, text=text)
    train(model, windows(), 2)
    spec = json.loads(json.dumps(model.spec()))
    copy = Planner.from_spec(spec, skill_model(kind))
    copy.load_state_dict(model.state_dict())
    image, texts = windows().first[:2], [TEXTS[1], TEXTS[2]]
    ours, theirs = model.plan(image, texts), copy.plan(image, texts)
    torch.testing.assert_close(ours.codes, theirs.codes, atol=0, rtol=0)
    torch.testing.assert_close(ours.score, theirs.score, atol=0, rtol=0)


# Planning


@KINDS
@pytest.mark.parametrize("goal", ["none", "image", "observation", "score"])
def test_a_plan_holds_as_many_skills_as_asked_for_and_repeats(kind: str, goal: str) -> None:
    model, batch = planner(kind).train(), windows(2)
    target = {"image": batch.last, "observation": model.observe(batch.last)}.get(goal)
    score = (lambda seen: seen[:, -1].mean((1, 2))) if goal == "score" else None
    config = MPCConfig(horizon=3, candidates=12, elites=3, iterations=2)
    first, again, other = (
        model.plan(
            batch.first,
            model.texts_of(batch),
            goal=target,
            score=score,
            mpc=config,
            seed=seed,
        )
        for seed in (1, 1, 2)
    )
    points = model.skill.tokens
    assert first.codes.shape == (2, 3, points, model.skill.code_dim)
    assert first.tokens.shape == (2, 3, points if kind == "fsq" else 0)
    assert first.score.shape == (2,)
    torch.testing.assert_close(first.codes, again.codes, atol=0, rtol=0)
    assert not torch.equal(first.codes, other.codes)
    assert model.training
    if kind == "fsq":
        torch.testing.assert_close(model.skill.codes_of(first.tokens), first.codes)


def test_without_a_goal_a_plan_follows_the_task(trained: Planner) -> None:
    batch = windows()
    plan = trained.plan(batch.first, trained.texts_of(batch))
    skill, _, _ = trained.read(batch)
    assert (plan.tokens[:, 0] == skill.tokens).float().mean() > 0.8


def test_without_a_goal_the_score_is_the_likelihood_of_the_likeliest_sample() -> None:
    model = planner().eval()
    image, text = windows().first[:1], [TEXTS[1]]
    config = MPCConfig(horizon=1, candidates=50)
    plan = model.plan(image, text, mpc=config, seed=4)
    observation, task = model.observe(image), model.tasks(text)
    generator = torch.Generator().manual_seed(4)
    _, tokens, log_prob = model.propose(observation, task, 50, 1.0, generator)
    assert plan.score.item() == pytest.approx(log_prob.max().item())
    assert torch.equal(plan.tokens[0, 0], tokens[0, log_prob.argmax()])


def test_a_goal_image_is_the_same_as_its_observation(trained: Planner) -> None:
    batch = part(windows(), slice(0, 2))
    texts = trained.texts_of(batch)
    by_image = trained.plan(batch.first, texts, goal=batch.last)
    by_observation = trained.plan(batch.first, texts, goal=trained.observe(batch.last))
    assert torch.equal(by_image.tokens, by_observation.tokens)


def test_a_plan_comes_nearer_to_the_goal_than_samples_of_the_prior(trained: Planner) -> None:
    batch = part(windows(), slice(0, 1))
    text = [TEXTS[1]]
    config = MPCConfig(horizon=1, prior_weight=0, iterations=5, temperature=3)
    plan = trained.plan(batch.first, text, goal=batch.last, mpc=config)
    with torch.no_grad():
        observation, goal = trained.observe(batch.first), trained.observe(batch.last)
        codes, _, _ = trained.propose(observation, trained.tasks(text), 32, 3.0)
        seen = trained.predict(observation.expand(32, -1, -1), codes[0])
        distances = (seen - goal).square().mean((1, 2))
    assert -plan.score.item() <= distances.min().item() + 1e-5
    assert -plan.score.item() < distances.mean().item()


def test_a_score_sees_the_observations_after_every_skill(trained: Planner) -> None:
    shapes = set()

    def score(seen: Tensor) -> Tensor:
        shapes.add(tuple(seen.shape[1:]))
        return seen.mean((1, 2, 3))

    trained.plan(windows().first[:1], [TEXTS[1]], score=score, mpc=MPCConfig(horizon=2))
    assert shapes == {(2, *trained.skill.observation_shape)}


def test_wrong_numbers_of_texts_or_goals_are_refused(trained: Planner) -> None:
    image = windows().first[:2]
    with pytest.raises(ConfigError, match="2 images need as many texts"):
        trained.plan(image, [TEXTS[1]])
    with pytest.raises(ConfigError, match="2 images need as many texts"):
        trained.plan(image, [TEXTS[1]] * 2, goal=image[:1])
    with pytest.raises(ConfigError, match="not both"):
        trained.plan(image, [TEXTS[1]] * 2, goal=image, score=lambda seen: seen[:, 0, 0, 0])


def test_an_unknown_key_of_the_config_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'prior.witdh'; did you mean 'prior.width'"):
        PlannerConfig.parse({"prior": {"witdh": 3}})
