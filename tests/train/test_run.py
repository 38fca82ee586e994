"""`sofdata train`: the stages together, what is up to date, and what cannot work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import sofdata.models
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.loading.split import Sides
from sofdata.models.files import load_file
from sofdata.models.saved import MODEL, load_skill, save_model
from sofdata.scenes.pushing import write_pushing_demonstrations
from sofdata.shards.layout import SPLIT
from sofdata.storage.tree import Tree
from sofdata.train.config import StageName, TrainConfig, load_train_config
from sofdata.train.encode import encode
from sofdata.train.ranks import Ranks
from sofdata.train.run import train_stage
from sofdata.train.stage import StageJob, build_model, loaders
from tests.helpers import ingest
from tests.helpers import sofdata as command
from tests.train.conftest import TINY, WINDOWS


def sets(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def trained(pushing: Path, demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes. Tests must not change it."""
    out = tmp_path_factory.mktemp("trained") / "models"
    words = ("train", "all", "--data", pushing, "--demos", demonstrations, "--out", out)
    done = command(*words, *sets(TINY), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [stage["stage"] for stage in summary["stages"]] == ["skill", "planner", "decoder"]
    return out


def test_the_report_has_all_stages_beside_their_baselines(trained: Path) -> None:
    report = (trained / "train_report.md").read_text()
    for part in ("flow_energy_explained", "prior_nats_uniform", "action_error_mean", "sha256"):
        assert part in report
    for name in ("skill", "planner", "decoder"):
        assert (trained / name / "curves.png").stat().st_size > 1000


def test_the_same_command_again_trains_nothing(
    trained: Path, pushing: Path, demonstrations: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob(MODEL)}
    words = ("train", "all", "--data", pushing, "--demos", demonstrations, "--out", trained)
    done = command(*words, *sets(TINY), "--json")
    assert done.returncode == 0, done.stderr
    assert all(stage["skipped"] for stage in json.loads(done.stdout)["stages"])
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob(MODEL)}


def test_another_skill_model_makes_the_planner_out_of_date(
    trained: Path, pushing: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "models"
    shutil.copytree(trained, out)
    skill = load_skill(out)
    with torch.no_grad():
        next(skill.parameters()).add_(1.0)
    save_model(out / "skill", "skill", skill)
    with pytest.raises(ConfigError, match="another skill model"):
        sofdata.models.load(out)
    with pytest.raises(ConfigError, match="--restart"):
        train_stage(StageJob("planner", tiny, (str(pushing),), str(out), {}), lambda progress: None)


def test_the_planners_baseline_counts_each_training_window_once(
    trained: Path, pushing: Path, tiny: TrainConfig
) -> None:
    weights = load_file(trained / "planner" / MODEL)["weights"]
    windows = json.loads((trained / "planner" / "done.json").read_text())["windows"]["train"]
    assert weights["seen.counts"].sum(1).tolist() == [windows] * weights["seen.counts"].shape[0]
    job = StageJob("planner", tiny, (str(pushing),), str(trained), {})
    sides = Sides.from_json((trained / "planner" / SPLIT).read_bytes(), SPLIT)
    for rank in (0, 1):  # each worker counts all windows, not its share
        data, _ = loaders(job, Ranks(rank, 2, torch.device("cpu")), sides)
        built = build_model(job, data, torch.device("cpu"))
        assert torch.equal(built.state_dict()["seen.counts"], weights["seen.counts"])


def test_the_policy_plans_and_acts(trained: Path) -> None:
    policy = sofdata.models.load(trained)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    plan = policy.plan(image, "push the disc to the left")
    assert plan.codes.shape[0] == 1
    actions = policy.act(image, plan)
    assert actions.values.shape[0] == 1
    assert bool(torch.isfinite(actions.values).all())
    again = policy.act(image, policy.plan(image, "push the disc to the left"))
    assert torch.equal(actions.values, again.values)
    towards = policy.plan(image, "push the disc up", goal=image)
    assert towards.codes.shape == plan.codes.shape
    with pytest.raises(ConfigError, match="uint8"):
        policy.plan(image.astype(np.float32), "push the disc up")


def test_skills_of_all_windows_lie_beside_the_index(
    trained: Path, pushing: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "dataset"
    shutil.copytree(pushing, dest)
    done = command("encode", dest, "--model", trained, "--json")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(dest / json.loads(done.stdout)["skills"])
    index = pq.read_table(dest / "index.parquet")
    assert table["key"].to_pylist() == index["key"].to_pylist()
    tokens = np.array(table["tokens"].to_pylist())
    size = int(table.schema.metadata[b"sofdata.codebook_size"])
    assert tokens.min() >= 0
    assert tokens.max() < size
    assert verify(Tree(str(dest))).whole
    first = (dest / json.loads(done.stdout)["skills"]).read_bytes()
    path = encode(Tree(str(dest)), load_skill(trained), "again")
    assert (dest / path).read_bytes() == first


def test_short_windows_at_the_end_of_an_episode_are_learned_from(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    write_pushing_demonstrations(tmp_path / "episodes", episodes_per_task=2, seed=5)
    settings = (*WINDOWS, "windows.tail=mask", "windows.stride=1", "with_actions=true")
    ingest(tmp_path / "episodes", tmp_path / "dataset", *settings)
    assert verify(Tree(str(tmp_path / "dataset"))).findings == ()
    place, names = (str(tmp_path / "dataset"),), ("skill", "planner", "decoder")
    for name in cast(tuple[StageName, ...], names):
        job = StageJob(name, tiny, place, str(tmp_path / "models"), {})
        metrics = train_stage(job, lambda progress: None).metrics
        assert metrics
        assert all(np.isfinite(value) for value in metrics.values())
    frame = np.zeros((128, 128, 3), np.uint8)
    policy = sofdata.models.load(tmp_path / "models")
    assert policy.act(frame, policy.plan(frame, "push the disc up")).values.isfinite().all()


def test_a_decoder_needs_actions(pushing: Path, trained: Path, tiny: TrainConfig) -> None:
    job = StageJob("decoder", tiny, (str(pushing),), str(trained), {})
    with pytest.raises(ConfigError, match="--with-actions"):
        train_stage(job, lambda progress: None)


def test_a_planner_needs_a_skill_model(pushing: Path, tiny: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sofdata train skill"):
        train_stage(
            StageJob("planner", tiny, (str(pushing),), str(tmp_path), {}), lambda progress: None
        )


def test_windows_of_another_size_are_refused(
    dataset: Path, trained: Path, tiny: TrainConfig
) -> None:
    with pytest.raises(ConfigError, match="32 px"):
        train_stage(
            StageJob("planner", tiny, (str(dataset),), str(trained), {}), lambda progress: None
        )
    with pytest.raises(ConfigError, match="32 px"):
        encode(Tree(str(dataset)), load_skill(trained))


def test_weights_of_another_architecture_are_refused(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "models"
    shutil.copytree(trained / "skill", out / "skill")
    state = torch.load(out / "skill" / MODEL, weights_only=True)
    spec = json.loads(state["spec"])
    spec["config"]["width"] = 64
    torch.save({**state, "spec": json.dumps(spec)}, out / "skill" / MODEL)
    with pytest.raises(ConfigError, match="another architecture"):
        sofdata.models.load(out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "skill"), "needs --data"),
        (("train", "decoder"), "needs --demos"),
        (("train", "skill", "--data", "nowhere"), "no complete dataset"),
        (("train", "skill", "--data", "nowhere", "--set", "skill.optim.step=5"), "optim.steps"),
    ],
)
def test_wrong_usage_is_one_line(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = command(*words, "--out", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_filter_that_selects_nothing_is_refused(pushing: Path, tmp_path: Path) -> None:
    config = load_train_config(None, [*TINY, "skill.data.where=motion > 1000"])
    with pytest.raises(ConfigError, match="selects none"):
        train_stage(
            StageJob("skill", config, (str(pushing),), str(tmp_path), {}), lambda progress: None
        )
