"""The planner with goal value, subgoals and guidance: learned from videos, used in drawing, search.

Videos here are a number that grows from frame to frame: pictures of a bar that gets longer.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from sofdata.errors import ConfigError
from sofdata.loading.times import WindowTime
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.evaluation import PlannerEvaluation
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.types import Batch

STEPS, SIDE, VIDEOS, WINDOWS = 4, 32, 3, 6
TEXTS = ("", "one", "two")
SMALL: dict[str, Any] = {
    "prior": {"width": 32, "layers": 1},
    "dynamics": {"width": 32, "layers": 1},
    "mpc": {"candidates": 16, "elites": 4},
}
VALUE: dict[str, Any] = {"value": {"weight": 1.0, "width": 32, "embedding": 4}}
SUBGOAL: dict[str, Any] = {**VALUE, "subgoal": {"ahead": 2, "width": 32}}
DROPPED: dict[str, Any] = {"prior": {**SMALL["prior"], "task_dropout": 0.5, "subgoal_dropout": 0.5}}
FLOW: dict[str, Any] = {"prior": {**SMALL["prior"], "head": "flow_matching", "euler_steps": 3}}
BUILDS = pytest.mark.parametrize(
    "settings",
    [VALUE, SUBGOAL, {**SUBGOAL, **DROPPED}, {**SUBGOAL, **FLOW}],
    ids=["value", "subgoal", "dropped", "flow matching"],
)
KINDS = pytest.mark.parametrize("kind", ["fsq", "kl"])


def skill_model(kind: str) -> SkillVAE:
    torch.manual_seed(0)
    settings = {"bottleneck": kind, "tokens": 3, "width": 32, "heads": 2, "channels": (8, 16, 24)}
    return SkillVAE(SkillConfig.parse(settings), FlowShape(STEPS, SIDE, 0.2))


def planner(kind: str = "fsq", **settings: Any) -> Planner:
    model = Planner(PlannerConfig.parse({**SMALL, **settings}), skill_model(kind), TEXTS)
    model.keep([windows()], times())
    model.remember([windows()])
    return model


def times() -> dict[str, WindowTime]:
    return {
        f"v{video}-{row:06d}": WindowTime(f"v{video}", float(row), float(row + 1))
        for video in range(VIDEOS)
        for row in range(WINDOWS)
    }


def picture(video: int, at: int) -> Tensor:
    """A bar of a video's colour that is as long as its frame is late."""
    image = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    image[video, :, : 2 + 4 * at] = 255
    return image


def windows() -> Batch:
    places = [(video, row) for video in range(VIDEOS) for row in range(WINDOWS)]
    size = len(places)
    source = torch.Generator().manual_seed(0)
    return Batch(
        torch.randn(size, STEPS, 2, SIDE, SIDE, generator=source),
        torch.stack([picture(video, row) for video, row in places]),
        torch.stack([picture(video, row + 1) for video, row in places]),
        torch.ones(size, STEPS, dtype=torch.bool),
        torch.tensor([1 + video % 2 for video, _ in places]),
        tuple(times()),
    )


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(
        batch.flow[rows],
        batch.first[rows],
        batch.last[rows],
        batch.mask[rows],
        batch.text_ids[rows],
        batch.keys[rows],
    )


def train(model: Planner, steps: int, begin: int = 0) -> None:
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for step in range(begin, begin + steps):
        loss, _ = model.loss(windows(), step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@KINDS
@BUILDS
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(kind: str, settings: dict[str, Any]) -> None:
    model, batch = planner(kind, **settings).train(), windows()
    whole, metrics = model.loss(batch, 3)
    size = len(batch)
    parts = [model.loss(part(batch, slice(k, k + 3)), 3) for k in range(0, size, 3)]
    mean = torch.stack([loss for loss, _ in parts]).mean()
    torch.testing.assert_close(mean, whole, atol=1e-5, rtol=1e-5)
    for name, value in metrics.items():
        mean = torch.stack([found[name] for _, found in parts]).mean()
        torch.testing.assert_close(mean, value, atol=1e-5, rtol=1e-5)


@KINDS
@BUILDS
def test_a_planner_is_rebuilt_from_its_spec_and_state(kind: str, settings: dict[str, Any]) -> None:
    model = planner(kind, **settings)
    train(model, 2)
    spec = json.loads(json.dumps(model.spec()))
    copy = Planner.from_spec(spec, skill_model(kind))
    copy.load_state_dict(model.state_dict())
    image, texts = windows().first[:2], [TEXTS[1], TEXTS[2]]
    ours, theirs = model.plan(image, texts), copy.plan(image, texts)
    torch.testing.assert_close(ours.codes, theirs.codes, atol=0, rtol=0)


@BUILDS
def test_a_training_in_two_parts_is_the_same_as_in_one(settings: dict[str, Any]) -> None:
    whole, first, second = (planner(**settings).train() for _ in range(3))

    def sgd(model: Planner, steps: range) -> None:
        for step in steps:
            loss, _ = model.loss(windows(), step)
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.grad is not None:
                        weight.sub_(0.01 * weight.grad)

    sgd(whole, range(6))
    sgd(first, range(3))
    second.load_state_dict(first.state_dict())
    sgd(second, range(3, 6))
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], weight, atol=0, rtol=0)


def test_no_gradient_of_goal_value_and_subgoals_reaches_the_encoder() -> None:
    def gradients(weight: float) -> list[Tensor]:
        settings = {**SUBGOAL, "value": {**VALUE["value"], "weight": weight}}
        settings["subgoal"] = {"ahead": 2, "width": 32, "weight": weight}
        model = planner(image_encoder="tuned", **settings).eval()
        model.loss(windows(), 0)[0].backward()  # type: ignore[no-untyped-call]
        assert model.encoder is not None
        return [weight.grad for weight in model.encoder.parameters() if weight.grad is not None]

    torch.testing.assert_close(gradients(0.5), gradients(10.0))
    assert gradients(1.0)


def test_the_value_says_how_far_a_video_has_come_and_beats_other_windows_goals() -> None:
    model, batch = planner(**VALUE).eval(), windows()
    value, frames = model.value, model.frames
    assert value is not None
    assert frames is not None
    before, after = model.observe(batch.first), model.observe(batch.last)
    optimiser = torch.optim.Adam([p for p in value.parameters() if p.requires_grad], 3e-3)
    for step in range(300):
        value.follow(step)
        goals = frames.drawn(batch, step, model.config.goals)
        loss = value.loss(before, after, model.observe(goals.frames), goals.skills).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    end = model.observe(picture(0, WINDOWS)[None])
    with torch.no_grad():
        way = torch.cat([model.observe(picture(0, at)[None]) for at in range(WINDOWS + 1)])
        values = value(way, end.expand(len(way), -1, -1))
    assert values[0] < values[3] < values[6]
    assert values[0] < values[6] - 1
    evaluation = PlannerEvaluation(model)
    evaluation.add(batch)
    found = evaluation.result()
    assert found["value_other_window"] < found["value_one_skill"]


def test_subgoals_are_what_is_seen_so_many_skills_later() -> None:
    model, batch = planner(**SUBGOAL).eval(), windows()
    subgoals, value, frames = model.subgoals, model.value, model.frames
    assert subgoals is not None
    assert value is not None
    assert frames is not None
    before, tasks = model.observe(batch.first), model.tasks(model.texts_of(batch))
    later = value.embed(model.observe(frames.ahead(batch, 2).frames))
    optimiser = torch.optim.Adam(subgoals.parameters(), 3e-3)
    nats = []
    for _ in range(100):
        cost, found = subgoals.loss(before, tasks, later, torch.zeros(len(batch)))
        optimiser.zero_grad()
        cost.mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        nats.append(found.mean().item())
    assert nats[-1] < nats[0] - 1
    drawn = subgoals.likeliest(before, tasks)
    own = (drawn - later).square().sum(-1)
    other = (drawn - later.roll(WINDOWS, 0)).square().sum(-1)
    assert (own < 0.5 * other).float().mean() > 0.8


@KINDS
@BUILDS
def test_skills_are_drawn_and_searched_for_with_every_build(
    kind: str, settings: dict[str, Any]
) -> None:
    model, batch = planner(kind, **settings).eval(), part(windows(), slice(0, 2))
    texts = model.texts_of(batch)
    observation, task = model.observe(batch.first), model.tasks(texts)
    draws = [
        model.propose(observation, task, 5, 1.0, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    (codes, tokens, log_prob), again, other = draws
    assert codes.shape == (2, 5, 3, model.skill.code_dim)
    assert tokens.shape == (2, 5, 3 if kind == "fsq" else 0)
    assert log_prob.shape == (2, 5)
    assert torch.equal(codes, again[0])
    assert not torch.equal(codes, other[0])
    for score in ("distance", "value"):
        config = MPCConfig.parse({"horizon": 2, "candidates": 8, "elites": 3, "score": score})
        plan = model.plan(batch.first, texts, goal=batch.last, mpc=config, seed=1)
        assert plan.codes.shape == (2, 2, 3, model.skill.code_dim)
        best, worth = model.elites(batch.first, texts, goal=batch.last, mpc=config, seed=1)
        assert best.shape == (2, 3, 3, model.skill.code_dim)
        torch.testing.assert_close(best[:, 0], plan.first.codes, atol=0, rtol=0)
        torch.testing.assert_close(worth[:, 0], plan.score, atol=0, rtol=0)


def test_a_search_by_value_maximises_the_value_of_where_it_leads() -> None:
    model = planner(**VALUE).eval()
    torch.nn.init.normal_(model.dynamics.change.weight, std=0.3)
    batch = part(windows(), slice(0, 1))
    goal = model.observe(picture(0, WINDOWS)[None])
    config = MPCConfig.parse(
        {"horizon": 1, "candidates": 32, "elites": 4, "prior_weight": 0, "score": "value"}
    )
    plan = model.plan(batch.first, model.texts_of(batch), goal=goal, mpc=config, seed=3)
    assert model.value is not None
    with torch.no_grad():
        after = model.predict(model.observe(batch.first), plan.first.codes)
        torch.testing.assert_close(model.value(after, goal), plan.score)


def test_a_planner_without_a_value_says_what_a_search_by_value_needs() -> None:
    model, batch = planner(), part(windows(), slice(0, 1))
    config = MPCConfig.parse({"score": "value"})
    with pytest.raises(ConfigError, match=r"value\.weight=1"):
        model.plan(batch.first, [""], goal=batch.last, mpc=config)


def test_tasks_are_left_out_in_training_alone_by_sample_and_step() -> None:
    model = planner(**DROPPED).train()
    keys, told = windows().keys, torch.ones(18, 256)
    dropped = model._dropped(told, keys, 1)
    gone = dropped.sum(1) == 0
    assert 3 < int(gone.sum()) < 15
    alone = model._dropped(told[4:5], keys[4:5], 1)
    assert torch.equal(alone[0], dropped[4])
    assert not torch.equal(model._dropped(told, keys, 2), dropped)
    assert torch.equal(model.eval()._dropped(told, keys, 1), told)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subgoal": {"ahead": 2}}, "subgoal.ahead needs a goal value"),
        ({"mpc": {"score": "value"}}, "mpc.score needs a goal value"),
        ({"guidance": {"weight": 2}}, "guidance of task needs a prior that has learned"),
        (
            {"guidance": {"weight": 2, "of": "subgoal"}, **DROPPED},
            "guidance of subgoal needs a prior",
        ),
    ],
)
def test_settings_that_need_others_say_which(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PlannerConfig.parse({**SMALL, **settings})


@pytest.mark.parametrize(("kind", "head"), [("fsq", "mixture"), ("kl", "digits")])
def test_a_head_that_does_not_fit_the_skills_is_refused(kind: str, head: str) -> None:
    with pytest.raises(ConfigError, match=f"prior.head={head} does not fit"):
        planner(kind, prior={**SMALL["prior"], "head": head})


def test_a_planner_that_was_saved_before_these_keys_is_built_as_it_was() -> None:
    saved = PlannerConfig.parse(SMALL).model_dump(mode="json")
    for section in ("goals", "value", "subgoal", "guidance"):
        del saved[section]
    for section, keys in (("prior", ("head", "task_dropout")), ("mpc", ("score", "carries"))):
        for name in keys:
            del saved[section][name]
    found = PlannerConfig.of_saved(saved)
    assert found == PlannerConfig.parse(SMALL)
    assert (found.value.weight, found.subgoal.ahead, found.guidance.weight) == (0, 0, 1)


def test_later_keys_are_left_out_where_they_change_nothing() -> None:
    plain = PlannerConfig().content()
    assert set(plain) == {"text", "text_width", "image_encoder", "prior", "dynamics", "mpc"}
    assert not {"head", "euler_steps", "task_dropout", "subgoal_dropout"} & set(plain["prior"])
    assert not {"score", "carries"} & set(plain["mpc"])
    unused = PlannerConfig.parse({"goals": {"same": 0.5}, "subgoal": {"width": 8}})
    assert unused.content() == plain
    full = PlannerConfig.parse({**SUBGOAL, "mpc": {"score": "value"}}).content()
    assert {"goals", "value", "subgoal"} <= set(full)
    assert full["mpc"]["score"] == "value"
    learned = PlannerConfig.parse(SUBGOAL).learned()
    warmer = PlannerConfig.parse({**SUBGOAL, "subgoal": {**SUBGOAL["subgoal"], "temperature": 1}})
    assert warmer.learned() == learned
    assert "mpc" not in learned
